"""What is done with structures of files before or after their own simulation, and told the user."""

import logging
import warnings
from collections.abc import Sequence

from ase import Atoms

from molnet.graph.frames import StructureFileError
from molnet.models import FrozenModel, Model, OutsideDomainWarning, UnseenChargeWarning
from molnet.models.domain import DISTANCES, Outside
from molnet.simulate.relaxation import relax

logger = logging.getLogger(__name__)

STEPS = 2000
"""Most steps of a relaxation that comes before something else."""


def relaxed_first(
    model: Model | FrozenModel,
    structures: Sequence[Atoms],
    places: Sequence[str],
    fmax: float,
    setting: str = "fmax",
) -> list[Atoms]:
    """The structures relaxed, in their order; one that has not converged is told.

    Args:
        model: with an energy and forces.
        structures: which are not changed.
        places: where each was read.
        fmax: eV/Å.
        setting: how the user calls ``fmax``.

    Raises:
        StructureFileError: one of them cannot be relaxed.
    """
    found = sorted(relax(model, structures, fmax=fmax, steps=STEPS), key=lambda one: one.place)
    for one, place in zip(found, places, strict=True):
        if one.fault is not None:
            raise StructureFileError(f"{place}: {one.fault}")
        if not one.converged:
            logger.warning(
                "%s: not relaxed after %d steps, the largest force is %.4f eV/Å (%s=%g)",
                *(place, one.steps, one.force, setting, fmax),
            )
    return [one.atoms for one in found]


def outside_of(model: FrozenModel, structures: Sequence[Atoms], names: Sequence[str]) -> Outside:
    """Those of the structures that are outside of the model's domain, by their names.

    Nothing is warned of: what is returned tells it.
    """
    outside = Outside()
    with warnings.catch_warnings():
        for kind in (UnseenChargeWarning, OutsideDomainWarning):
            warnings.simplefilter("ignore", kind)
        predictions = model.predict(structures, 64, lambda *_: None)
    for name, atoms, prediction in zip(names, structures, predictions, strict=True):
        if DISTANCES in prediction:
            outside.add(name, prediction[DISTANCES], atoms.numbers)
    return outside
