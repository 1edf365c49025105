"""The shift of reference energies from what a model predicts to labels of another level of theory.

The shift e_Z minimises Σ_s (E_s − P_s − Σ_Z n_sZ e_Z)², with labels E and predictions P of the
structures s, and n_sZ atoms of species Z.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from molnet.datasets.references import (
    IMPLAUSIBLE_RESIDUAL,
    compositions,
    least_squares,
    no_label,
    species_of,
)
from molnet.datasets.store import ArrayStore


@dataclass(frozen=True)
class Shift:
    """A shift of reference energies.

    Attributes:
        energies: by symbol, to be added, in the property's internal unit.
        mean: what is added to a structure, per atom, on average.
        rmse: what the shift leaves of the differences, root mean square per atom.
        left_open: directions, by symbol, that neither the structures nor isolated atoms determine.
        by_atoms: whether isolated atoms decide what the structures leave open.
        missed: by how much structures would be off by the shift of isolated atoms alone, per atom
            on average; None where not all elements have one.
    """

    energies: dict[str, float]
    mean: float
    rmse: float
    left_open: tuple[dict[str, float], ...]
    by_atoms: bool
    missed: float | None


def fit_shift(
    store: ArrayStore,
    indices: NDArray[np.int64],
    name: str,
    predicted: NDArray[np.float64],
    of_atoms: Mapping[str, float] | None = None,
) -> Shift:
    """Fit a shift for each species by least squares.

    Structures of few compositions do not determine it. Of all solutions the one is taken that is
    nearest to the shift of isolated atoms, if the model has learned them: then it binds the
    structures about as much as the labels do. Otherwise the nearest to one shift per atom is taken.

    Args:
        store: the data set.
        indices: [n], structures; those without a label count for nothing.
        name: an extensive property with one number for each structure.
        predicted: [n], the model's predictions.
        of_atoms: labels of isolated atoms less predictions, by symbol.

    Raises:
        ValueError: no structure has a label.
    """
    species = species_of(store, indices)
    symbols = [chemical_symbols[z] for z in species]
    of_all = np.zeros(len(store))
    of_all[indices] = predicted
    chunks = [
        (part, counts, values - of_all[part])
        for part, counts, values in compositions(store, indices, name, species)
        if len(part)
    ]
    if not chunks:
        raise ValueError(no_label(name))
    atoms, missed = None, None
    if of_atoms is not None and set(symbols) <= set(of_atoms):
        atoms = np.array([of_atoms[symbol] for symbol in symbols])
        missed = float(_per_atom(chunks, atoms).mean())
    by_atoms = missed is not None and abs(missed) <= IMPLAUSIBLE_RESIDUAL
    energies, left_open = least_squares(iter(chunks), name, atoms if by_atoms else None)
    rest = _per_atom(chunks, energies)
    return Shift(
        energies=dict(zip(symbols, energies.tolist(), strict=True)),
        mean=float(_per_atom(chunks, 0 * energies).mean()),
        rmse=float(np.sqrt(np.mean(rest**2))),
        left_open=()
        if by_atoms
        else tuple(
            {symbol: round(float(x), 9) for symbol, x in zip(symbols, row, strict=True) if x}
            for row in left_open
        ),
        by_atoms=by_atoms and len(left_open) > 0,
        missed=missed,
    )


def _per_atom(
    chunks: Iterable[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]], energies: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What energies of the atoms leave of each structure's value, per atom."""
    return np.concatenate(
        [(values - counts @ energies) / counts.sum(axis=1) for _, counts, values in chunks]
    )
