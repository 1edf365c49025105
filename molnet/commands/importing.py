"""Imports of what is heavy, such as PyTorch, where a command first needs it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from molnet.training.interruption import ends_at_once


@contextmanager
def importing() -> Iterator[None]:
    """Within this block libraries are imported, and a signal ends the program at once.

    The garbage collector rests: it would look a hundred times through objects that all stay, which
    is a tenth of the time that the imports take. It does not look at them later, either.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        with ends_at_once():
            yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()
