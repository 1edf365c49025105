"""The class of a head by its name: a word for those of molnet, MODULE.CLASS for one's own.

Nothing is imported because a saved model names it. A head of one's own is found among the classes
of the running program, so its module has to be imported before the model is loaded.
"""

from collections.abc import Iterator
from typing import Any

from molnet.models.head import Head
from molnet.models.heads import HEADS
from molnet.nearest import nearest


class NotImportedError(ValueError):
    """A model has a head of one's own, and its module is not imported."""


def head_class(kind: object) -> type[Head]:
    """The head that the setting ``kind`` names.

    Raises:
        NotImportedError: it names a class that the running program does not have.
        ValueError: there is none; names the nearest one.
    """
    if isinstance(kind, str) and kind in HEADS:
        return HEADS[kind]
    for head in _subclasses(Head):
        if f"{head.__module__}.{head.__qualname__}" == kind:
            return head
    if isinstance(kind, str) and "." in kind:
        module = kind.rpartition(".")[0]
        raise NotImportedError(
            f"kind {kind!r} is a head of one's own, which this program has not imported: import "
            f"{module} first (on the command line imports=[{module}]), if you trust it. Nothing "
            "that a model names is imported by itself"
        )
    found = nearest(str(kind), HEADS)
    meant = f"known are {', '.join(HEADS)}" if found is None else f"did you mean {found!r}?"
    raise ValueError(f"unknown kind {kind!r}, {meant}")


def _subclasses(base: type[Any]) -> Iterator[type[Any]]:
    for subclass in base.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
