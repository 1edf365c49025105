"""Second derivatives of the energy, and derivatives of the dipole, by automatic differentiation.

Row (a, x) of the Hessian is the gradient of −F_ax. Many rows are taken at once: the batch holds one
copy of the structure for each of them, and each copy is asked for its own component of the forces.
"""

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from molnet.graph import exact_dtype, from_atoms
from molnet.models import FrozenModel, Model

Array = NDArray[np.float64]

MAX_ATOMS = 2000
"""Most atoms in the copies that are evaluated at once."""


def hessian(
    model: Model | FrozenModel, atoms: Atoms, indices: Sequence[int] | None = None
) -> Array:
    """∂²E/∂r_ax ∂r_by of one structure.

    Args:
        model: with an energy and forces.
        atoms: the structure, periodic or not; with a cell the derivatives are those of all periodic
            images together (the Γ point).
        indices: atoms a, b of the derivatives; by default all.

    Returns:
        [n, 3, n, 3] in eV/Å², symmetric, for n atoms.

    Raises:
        ValueError: the model predicts no forces.
        StructureError: the structure cannot be evaluated.
        IndexError: ``indices`` are not those of atoms.
    """
    chosen = _chosen(atoms, indices)
    rows = derivatives(model, atoms, "forces", [(int(a), x) for a in chosen for x in range(3)])
    square = -rows[:, chosen].reshape(3 * len(chosen), 3 * len(chosen))
    square = (square + square.T) / 2  # rounding alone makes the halves differ
    return np.asarray(square.reshape(len(chosen), 3, len(chosen), 3))


def dipole_derivatives(model: Model | FrozenModel, atoms: Atoms) -> Array:
    """∂μ_x/∂r_by, [3, N, 3] in e.

    Raises:
        ValueError: the model predicts no dipole.
    """
    return derivatives(model, atoms, "dipole", [(0, x) for x in range(3)])


def derivatives(
    model: Model | FrozenModel, atoms: Atoms, name: str, components: Sequence[tuple[int, int]]
) -> Array:
    """Derivatives of components of a predicted vector by all positions.

    Args:
        model: any model that predicts it.
        atoms: one structure.
        name: ``forces`` or ``dipole``.
        components: atom (0 for a property of the structure) and direction of each.

    Returns:
        [components, N, 3] in the property's unit per Å.
    """
    frozen = FrozenModel.of(model)
    check_predicted(frozen.model, name)
    at_once = max(1, MAX_ATOMS // max(len(atoms), 1))
    parts = [
        _of_copies(frozen.model, atoms, name, components[start : start + at_once])
        for start in range(0, len(components), at_once)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, len(atoms), 3))


def check_predicted(model: Model, name: str) -> None:
    """Raises ValueError for a property that the model does not predict."""
    if name not in model.properties:
        raise ValueError(
            f"the model predicts no {name}, only {', '.join(model.properties)}. Take a model that "
            "was trained on it."
        )


def _of_copies(
    model: Model, atoms: Atoms, name: str, components: Sequence[tuple[int, int]]
) -> Array:
    copies = len(components)
    graph = from_atoms([atoms] * copies, model.cutoff, exact_dtype(model.device)).to(model.device)
    with torch.enable_grad():
        graph.pos.requires_grad_()
        values = model(graph)[name]
        each = values.reshape(copies, -1, 3)  # forces [copies, N, 3], dipoles [copies, 1, 3]
        wanted = sum(each[copy, atom, x] for copy, (atom, x) in enumerate(components))
        (gradients,) = torch.autograd.grad(wanted, graph.pos, materialize_grads=True)
    return np.asarray(gradients.reshape(copies, len(atoms), 3).double().cpu().numpy())


def _chosen(atoms: Atoms, indices: Sequence[int] | None) -> NDArray[np.int64]:
    if indices is None:
        return np.arange(len(atoms))
    chosen = np.asarray(indices, dtype=np.int64)
    outside = (chosen < 0) | (chosen >= len(atoms))
    if outside.any():
        raise IndexError(
            f"expected indices of atoms from 0 to {len(atoms) - 1}, received {chosen[outside][0]}"
        )
    return chosen
