"""Tables of text."""

import io
from collections.abc import Collection, Mapping, Sequence

WIDEST = 200
"""Columns of text after which a table folds its cells."""

GROUPS_SHOWN = 6
"""Rows of a table of groups."""

LONGEST_GROUP = 24
"""Characters of a group's name."""


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], words: Collection[int] = (0,)
) -> str:
    """A table without colours, for logs and terminals alike.

    Args:
        header: names of the columns.
        rows: the cells.
        words: numbers of the columns that hold words, which stand to the left. Others hold
            numbers, which stand to the right.
    """
    # Imported here, as it takes time that a command without a table need not spend.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1))
    for number, name in enumerate(header):
        grid.add_column(Text(name), justify="left" if number in words else "right")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    file = io.StringIO()
    Console(file=file, width=WIDEST, color_system=None).print(grid)
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip().splitlines())


def table_of_groups(title: str, by: str, errors: Mapping[str, Mapping[str, float]]) -> str:
    """A table of the groups with the largest errors, measured against the mean of all groups.

    Args:
        title: what the numbers are.
        by: what tells the groups apart.
        errors: by group and column; a group may lack some columns.
    """
    columns = list(dict.fromkeys(name for row in errors.values() for name in row))
    mean = {
        name: sum(row.get(name, 0.0) for row in errors.values()) / len(errors) or 1.0
        for name in columns
    }
    worst = sorted(errors, key=lambda group: -max(x / mean[n] for n, x in errors[group].items()))
    rows = [
        (
            group if len(group) <= LONGEST_GROUP else f"{group[: LONGEST_GROUP - 1]}…",
            *(f"{errors[group][n]:.4g}" if n in errors[group] else "" for n in columns),
        )
        for group in worst[:GROUPS_SHOWN]
    ]
    cut = f" (worst {len(rows)} of {len(errors)})" if len(rows) < len(errors) else ""
    return table((f"{title}\nby {by}{cut}", *columns), rows)
