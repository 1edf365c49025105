"""Names of a package that are imported on first use, so that importing the package is quick."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def on_first_use(
    package: str, names: Mapping[str, Sequence[str]], modules: Sequence[str] = ()
) -> Callable[[str], Any]:
    """``__getattr__`` of a package.

    Args:
        package: its ``__name__``.
        names: what the package takes from each of its modules; ``"NAME as OTHER"`` renames.
        modules: those that are names of the package themselves.
    """
    places = {}
    for module, taken in names.items():
        for each in taken:
            there, _, here = each.partition(" as ")
            places[here or there] = f"{package}.{module}", there

    def get(name: str) -> Any:
        if name in modules:
            return import_module(f"{package}.{name}")
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, there = places[name]
        found = getattr(import_module(module), there)
        setattr(sys.modules[package], name, found)
        return found

    return get
