"""Minimum-energy paths between two structures, by ASE's nudged elastic band."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.geometry import find_mic
from ase.mep import NEB
from ase.optimize import LBFGS
from ase.utils.forcecurve import fit_images
from numpy.typing import NDArray

from molnet.models import FrozenModel, Model
from molnet.simulate.band import Band

Array = NDArray[np.float64]

SPRING = 0.1
"""eV/Å², between neighbouring images; it moves images along the path and not across."""

NEAR = 10.0
"""The highest image climbs once the forces are below so many times their limit."""

CAREFUL = {"maxstep": 0.05, "damping": 0.7}
"""Of L-BFGS: an elastic band has no energy by which a step that is too long is seen. Longer ones
lead astray from poor first guesses, and FIRE is slower."""


@dataclass(frozen=True)
class MinimumEnergyPath:
    """Images along a path from one minimum to another.

    Attributes:
        images: with energies and forces, the ends included.
        force: the largest force on an atom across the path, and of the highest image also along it,
            in eV/Å.
        converged: whether that is below its limit.
        steps: how many were taken.
    """

    images: list[Atoms]
    force: float
    converged: bool
    steps: int

    @property
    def energies(self) -> Array:
        """[I], eV."""
        return np.array([image.get_potential_energy() for image in self.images])

    @property
    def lengths(self) -> Array:
        """[I], Å, from the first image along the path: √Σ |Δr|² over the atoms."""
        steps = [
            find_mic(after.positions - before.positions, after.cell, after.pbc)[0]
            for before, after in zip(self.images[:-1], self.images[1:], strict=True)
        ]
        return np.concatenate([[0.0], np.cumsum([np.linalg.norm(step) for step in steps])])

    @property
    def highest(self) -> int:
        """The image with the highest energy; an end if there is no barrier."""
        return int(self.energies.argmax())

    @property
    def barrier(self) -> float:
        """eV, from the first image up to the highest; 0 if that is the first."""
        return float(self.energies.max() - self.energies[0])

    @property
    def barrier_back(self) -> float:
        """eV, from the last image up to the highest."""
        return float(self.energies.max() - self.energies[-1])

    @property
    def reaction_energy(self) -> float:
        """eV, of the last image above the first."""
        return float(self.energies[-1] - self.energies[0])

    @property
    def intermediates(self) -> list[int]:
        """Images between the ends that are lower than both of their neighbours."""
        energies = self.energies
        inner = range(1, len(energies) - 1)
        return [i for i in inner if energies[i] < min(energies[i - 1], energies[i + 1])]

    def curve(self) -> tuple[Array, Array]:
        """A smooth line through energies and slopes of the images: lengths in Å, energies in eV."""
        fit = fit_images(self.images)
        return np.asarray(fit.fit_path), np.asarray(fit.fit_energies) + self.energies[0]


def interpolated(first: Atoms, last: Atoms, images: int) -> list[Atoms]:
    """Images between two structures whose distances change evenly, as far as they can.

    Smidstrup, Pedersen, Stokbro, Jónsson, J. Chem. Phys. 140, 214106 (2014), as ASE has it.

    Args:
        first: the constraints of all images are those of this one.
        last: with the same atoms in the same order; molecules are turned onto the first.
        images: how many, the ends included.
    """
    if images < 3:
        raise ValueError(f"expected images >= 3, both ends among them, received {images}")
    path = [first.copy() for _ in range(images - 1)] + [last.copy()]
    path[-1].set_constraint(first.constraints)
    _elastic_band(path, False).interpolate("idpp", mic=bool(first.pbc.any()), apply_constraint=True)
    return path


def minimum_energy_path(
    model: Model | FrozenModel,
    images: Sequence[Atoms],
    *,
    fmax: float = 0.03,
    steps: int = 500,
    climb: bool = True,
    advance: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> MinimumEnergyPath:
    """The path of lowest energy between the first image and the last, which do not move.

    ASE's nudged elastic band with improved tangents (Henkelman, Jónsson, J. Chem. Phys. 113, 9978
    (2000)) and L-BFGS; all images are evaluated as one batch. Molecules neither drift nor turn.

    Args:
        model: with an energy and forces.
        images: a guess of the path, as :func:`interpolated` makes it; not changed.
        fmax: eV/Å, the largest force across the path at which it is converged.
        steps: most steps.
        climb: whether the highest image climbs to the saddle point.
        advance: called at each step.
        stop: asked after each step whether the path shall be given as it is.

    Raises:
        ValueError: fewer than three images, a setting that is not possible, or a model without
            forces.
        StructureError: an image cannot be evaluated; ``index`` is its place.
    """
    if len(images) < 3 or fmax <= 0 or steps < 0:
        raise ValueError(
            f"expected 3 images or more, fmax > 0 and steps >= 0, received {len(images)} images, "
            f"fmax={fmax:g} and steps={steps}"
        )
    frozen = FrozenModel.of(model)
    path = [image.copy() for image in images]
    Band(frozen, path)
    done = 0
    for limit, climbs in ((NEAR * fmax, False), (fmax, climb)):
        band = _elastic_band(path, climbs)
        optimiser = LBFGS(band, logfile=None, **CAREFUL)
        optimiser.attach(advance)
        for converged in optimiser.irun(fmax=limit, steps=steps - done):
            if converged or stop():
                break
        done += optimiser.nsteps
        if stop():
            break
    force = float(np.linalg.norm(band.get_forces(), axis=1).max())
    return MinimumEnergyPath([_with_results(image) for image in path], force, bool(converged), done)


def _elastic_band(images: list[Atoms], climb: bool) -> NEB:
    # What is fixed in space cannot be turned.
    free = not images[0].pbc.any() and not images[0].constraints
    return NEB(
        images,
        k=SPRING,
        climb=climb,
        method="improvedtangent",
        remove_rotation_and_translation=free,
    )


def _with_results(image: Atoms) -> Atoms:
    atoms = image.copy()
    forces = image.get_forces(apply_constraint=False)
    atoms.calc = SinglePointCalculator(atoms, energy=image.get_potential_energy(), forces=forces)
    return atoms
