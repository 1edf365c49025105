"""Libraries that not everybody needs, and how to get them."""

from collections.abc import Iterator
from contextlib import contextmanager

from molnet.training.errors import ConfigError


@contextmanager
def needs(library: str, setting: str, extra: str) -> Iterator[None]:
    """Within this block a library is imported for a setting.

    Args:
        library: its module.
        setting: what needs it.
        extra: of molnet, which installs it.

    Raises:
        ConfigError: it is not installed; says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != library:
            raise
        raise ConfigError(
            f"{setting} needs {library}, which is not installed: pip install 'molnet[{extra}]'"
        ) from error
