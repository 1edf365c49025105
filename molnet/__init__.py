"""molnet: equivariant message-passing networks for molecular properties.

Predict with a model that comes with molnet, or with one of your own (the folder of a run):

>>> import molnet                                            # doctest: +SKIP
>>> model = molnet.load("organic")                           # doctest: +SKIP
>>> model                                                    # doctest: +SKIP
>>> model.predict(atoms)["energy"], model.predict("a.xyz")   # doctest: +SKIP
>>> atoms.calc = molnet.Calculator("organic")                # doctest: +SKIP

Train one:

>>> run = molnet.train("mine.xyz", energy=("energy", "eV"), max_time="10m")  # doctest: +SKIP
>>> run.model, run.metrics, run.folder                                       # doctest: +SKIP

Layers for networks of your own are in :mod:`molnet.o3` and :mod:`molnet.nn`; structures become
graphs in :mod:`molnet.graph`, and files of structures data sets in :mod:`molnet.datasets`.
"""

from typing import TYPE_CHECKING

from molnet.lazy import on_first_use

__version__ = "0.1.0"
__all__ = [
    "Calculator",
    "Model",
    "Run",
    "datasets",
    "graph",
    "kernels",
    "load",
    "models",
    "nn",
    "o3",
    "simulate",
    "train",
    "training",
    "units",
]

if TYPE_CHECKING:
    from molnet import datasets, graph, kernels, models, nn, o3, simulate, training, units
    from molnet.commands.in_python import Run, train
    from molnet.models import Model
    from molnet.models import load_model as load
    from molnet.simulate import Calculator

if not TYPE_CHECKING:  # else every name would be there
    __getattr__ = on_first_use(
        __name__,
        {
            "commands.in_python": ["Run", "train"],
            "models": ["Model", "load_model as load"],
            "simulate": ["Calculator"],
        },
        ["datasets", "graph", "kernels", "models", "nn", "o3", "simulate", "training", "units"],
    )


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
