"""Errors in the settings, and the wording of their messages."""

import difflib
from collections.abc import Iterable
from typing import Any


class ConfigError(ValueError):
    """A setting is unknown, missing, of a wrong type, or contradicts another one."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that names the known word nearest to ``name``, or else all of them."""
    known = sorted(known)
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"expected one of {', '.join(known)}"


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
