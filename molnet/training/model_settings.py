"""The settings of network and heads, checked as those of a saved model are."""

from molnet.models.settings import check_heads, check_network
from molnet.training.config import ConfigError, TrainConfig


def check_model(settings: TrainConfig) -> None:
    """Check ``model`` and ``target.heads``.

    Raises:
        ConfigError: an option that is unknown, of a wrong type or out of its range.
    """
    for where, check, node in (
        ("model: ", check_network, vars(settings.model)),
        ("target.heads: ", check_heads, settings.target.heads),
    ):
        try:
            check(node)
        except ValueError as error:
            raise ConfigError(f"{where}{error}") from error
