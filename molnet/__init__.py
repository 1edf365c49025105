"""molnet: equivariant message-passing networks for molecular properties.

>>> import molnet                                             # doctest: +SKIP
>>> model = molnet.load("outputs/2026-01-31/12-00-00/model")  # doctest: +SKIP
>>> atoms.calc = molnet.Calculator(model)                     # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Calculator", "Model", "load"]

if TYPE_CHECKING:
    from molnet.models import Model
    from molnet.models import load_model as load
    from molnet.simulate import Calculator


def __getattr__(name: str) -> Any:
    """Import the main entries on first use, so that ``from molnet import o3`` stays light."""
    if name == "Calculator":
        from molnet.simulate import Calculator

        return Calculator
    if name == "Model":
        from molnet.models import Model

        return Model
    if name == "load":
        from molnet.models import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
