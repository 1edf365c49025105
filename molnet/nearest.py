"""What somebody meant who wrote a name that does not exist."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that is most like ``name``: the same in other letters, or else alike.

    Args:
        name: as it was written.
        known: the names that there are.
        cutoff: least similarity, from 0 to 1, see :func:`difflib.get_close_matches`.

    >>> nearest("HARTREE", ["kcal", "Hartree"]), nearest("energi", ["energy"]), nearest("x", ["y"])
    ('Hartree', 'energy', None)
    """
    known = list(known)
    same = [each for each in known if each.lower() == name.lower()]
    return next(iter(same or difflib.get_close_matches(name, known, 1, cutoff)), None)


def hint(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The sentence ``" Did you mean '...'?"`` to append to another one; empty if none is alike."""
    found = nearest(name, known, cutoff)
    return "" if found is None else f" Did you mean {found!r}?"
