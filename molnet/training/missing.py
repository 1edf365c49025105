"""The command that a user has to type where settings are missing."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from molnet.datasets.base import DataSetError, MissingSettingsError
from molnet.training.invocation import command
from molnet.training.overrides import readable

CHOSEN_BY_USER = ("KEY", "UNIT")


@contextmanager
def missing_settings_named(arguments: Sequence[str]) -> Iterator[None]:
    """Within this block the error of missing settings ends with the whole command to paste.

    Args:
        arguments: the command line so far.

    Raises:
        DataSetError: in place of a :class:`MissingSettingsError`.
    """
    try:
        yield
    except MissingSettingsError as error:
        whole = whole_command(command("train"), arguments, error.settings)
        words = " and ".join(
            word for word in CHOSEN_BY_USER if any(word in v for v in error.settings.values())
        )
        put = f" Put yours in the place of {words}." if words else ""
        raise DataSetError(f"{error}\n\nThe whole command:{put}\n\n{whole}\n") from error


def whole_command(program: str, given: Sequence[str], settings: Mapping[str, str]) -> str:
    """The arguments that were given and the settings to add, over several lines.

    Args:
        program: how it is called.
        given: arguments.
        settings: to add, or to put in the place of given ones.
    """
    replaced = {key.lstrip("+") for key in settings}
    kept = [word for word in given if word.partition("=")[0].lstrip("+") not in replaced]
    added = [f"{key}={value}" for key, value in settings.items()]
    words = [shlex.quote(_as_typed(word)) for word in (*kept, *added)]
    return " \\\n".join(f"  {line}" for line in [f"{program} {words[0]}", *indented(words[1:])])


def _as_typed(argument: str) -> str:
    """Without the quotation marks that :func:`readable` has added."""
    plain = re.sub(r'="([^"\\]*)"$', r"=\1", argument)
    return plain if readable(plain) == argument else argument


def indented(words: Sequence[str]) -> list[str]:
    """Continued lines."""
    return [f"    {word}" for word in words]
