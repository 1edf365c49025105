"""The command that a user has to type where settings are missing."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from molnet.datasets.base import DataSetError, MissingSettingsError
from molnet.training.invocation import command
from molnet.training.overrides import readable

CHOSEN_BY_USER = ("KEY", "UNIT")
"""What stands in the settings where only the user knows the value."""


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
    files, others = _files_first(kept)
    words = [shlex.quote(_as_typed(word)) for word in (*others, *added)]
    if not files:
        files, words = words[:1], words[1:]
    first = " ".join([program, *files])
    return " \\\n".join(f"  {line}" for line in [first, *indented(words)])


def _files_first(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Structure files as plain names, which stand for two settings, and all other arguments.

    Files stay a setting where a plain name would be read as something else.
    """
    named = [word for word in given if word.startswith("dataset.path=")]
    if "dataset=structures" not in given or len(named) != 1:
        return [], list(given)
    override = OverridesParser.create().parse_override(named[0])
    value: Any = None if override.is_sweep_override() else override.value()
    files = value if isinstance(value, list) else [value]
    if not all(isinstance(file, str) and re.match(r"[^-+~=][^=]*$", file) for file in files):
        return [], list(given)
    others = [word for word in given if word not in ("dataset=structures", *named)]
    return [shlex.quote(file) for file in files], others


def _as_typed(argument: str) -> str:
    """Without the quotation marks that :func:`readable` has added."""
    plain = re.sub(r'="([^"\\]*)"$', r"=\1", argument)
    return plain if readable(plain) == argument else argument


def indented(words: Sequence[str]) -> list[str]:
    """Continued lines."""
    return [f"    {word}" for word in words]
