"""Columns: numbers and words that files say of their structures, such as ``config_type=md300``."""

from ase import Atoms

Column = int | float | str

GROUPING = ("config_type", "kind", "name")
"""Columns whose values name kinds of structures: errors are given for each value."""

MOST_GROUPS = 50
"""A column of more values says of each structure which one it is, and not of which kind."""

LONGEST = 200
"""Characters of a word; what is longer is a text."""


def columns_of(atoms: Atoms) -> dict[str, Column]:
    """The numbers and short words in a structure's ``info``, as plain Python values.

    Not among them are truth values, as any word of a comment without a value reads as one, and
    numbers that are not finite.

    >>> columns_of(Atoms("H", info={"name": "a", "step": 3, "flag": True, "list": [1, 2]}))
    {'name': 'a', 'step': 3}
    """
    columns: dict[str, Column] = {}
    for name, value in atoms.info.items():
        if getattr(value, "shape", None) == ():
            value = value.item()  # a number of NumPy
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if (is_number and abs(value) < float("inf")) or (
            isinstance(value, str) and len(value) <= LONGEST
        ):
            columns[str(name)] = value
    return columns
