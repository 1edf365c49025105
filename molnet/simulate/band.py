"""Images of a path between two structures, as ASE's NEB wants them, evaluated in one batch."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from molnet.models import FrozenModel
from molnet.simulate.many import Many, Potential


class Band:
    """Gives images calculators of which the first that is asked evaluates all images.

    ASE's NEB asks image by image, after it has moved all of them: that is one evaluation a step.

    Args:
        model: with an energy and forces.
        images: structures with the same atoms, whose positions change and whose cells do not.

    Attributes:
        evaluations: how many batches were evaluated.
    """

    def __init__(self, model: FrozenModel, images: Sequence[Atoms]) -> None:
        self.images = list(images)
        many = Many(self.images)
        self._potential, self._cells = Potential(model, many), many.cells
        self._parts = [many.atoms_of(place) for place in range(len(many))]
        self.evaluations = 0
        for image in self.images:
            image.calc = ImageCalculator(self)

    def evaluate(self) -> None:
        """Evaluates all images where they are now.

        Raises:
            StructureError: atoms in one place; ``index`` is the image.
            PredictionError: a prediction that is not finite.
        """
        positions = np.concatenate([image.positions for image in self.images])
        found = self._potential(positions, self._cells)
        self.evaluations += 1
        for image, part, energy in zip(self.images, self._parts, found.energies, strict=True):
            image.calc.atoms = image.copy()
            image.calc.results = {
                "energy": float(energy),
                "free_energy": float(energy),
                "forces": found.forces[part].copy(),
            }


class ImageCalculator(Calculator):
    """The calculator of one image of a :class:`Band`."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces"]

    def __init__(self, band: Band) -> None:
        super().__init__()
        self._band = band

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = (),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluates all images."""
        self._band.evaluate()
