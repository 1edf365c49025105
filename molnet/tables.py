"""Tables of text."""

import io
from collections.abc import Collection, Sequence

WIDEST = 200
"""Columns of text after which a table folds its cells."""


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
