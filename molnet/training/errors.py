"""Errors in the settings, and the wording of their messages."""

from collections.abc import Iterable
from typing import Any

from molnet.nearest import nearest


class ConfigError(ValueError):
    """A setting is unknown, missing, of a wrong type, or contradicts another one."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that names the known word nearest to ``name``, or else all of them."""
    known = sorted(known)
    found = nearest(name, known)
    return f"expected one of {', '.join(known)}" if found is None else f"did you mean {found!r}?"


def typed(value: Any) -> str:
    """A value as one types it on the command line.

    >>> typed(None), typed(True), typed([1, "a"])
    ('null', 'true', '[1,a]')
    """
    if isinstance(value, list | tuple):
        return f"[{','.join(map(typed, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
