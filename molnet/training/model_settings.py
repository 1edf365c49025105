"""Checks of the settings of network and heads, the same as for a saved model."""

from molnet.models.settings import (
    check_features,
    check_heads,
    check_network,
    check_shapes,
)
from molnet.properties import get_property
from molnet.training.config import ConfigError, TrainConfig


def check_model(settings: TrainConfig) -> None:
    """Check ``model`` and ``target.heads``, and that each head can predict its property.

    Raises:
        ConfigError: an option is unknown, of a wrong type or out of range, or a head cannot predict
            the shape of its property.
    """
    for where, check, node in (
        ("model: ", check_network, vars(settings.model)),
        ("target.heads: ", check_heads, settings.target.heads),
    ):
        try:
            check(node)
        except ValueError as error:
            raise ConfigError(f"{where}{error}") from error
    declared = settings.target.declared()
    try:
        check_shapes(
            settings.target.heads,
            {name: get_property(name, declared) for name in settings.target.heads},
        )
        check_features(vars(settings.model), settings.target.heads)
    except ValueError as error:
        raise ConfigError(str(error)) from error
