"""Reference energies: the contribution of each species to an extensive scalar.

The references e_Z minimise Σ_s (E_s − Σ_Z n_sZ e_Z)² over the training structures s, where n_sZ
counts the atoms of species Z. What remains is what a model has to learn.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from molnet.datasets.dataset import rows_of
from molnet.datasets.labels import parse_label_keys, read_label
from molnet.datasets.store import ArrayStore
from molnet.graph.frames import StructureFileError, frame_name, read_frames, resolve_paths
from molnet.properties import PROPERTIES, Property

CHUNK = 8192  # structures held in memory at a time
SMALLEST_SINGULAR_VALUE = 1e-9  # relative to the largest; compositions are small integers
IMPLAUSIBLE_RESIDUAL = 1.0  # eV per atom, spread over structures
IMPLAUSIBLE_BINDING = 20.0  # eV per atom, mean over structures


@dataclass(frozen=True)
class ReferenceFit:
    """Reference energies and how well they alone describe the training structures.

    Attributes:
        energies: by symbol, in the property's internal unit (eV for energies).
        residual_rmse: root mean square over structures of E − Σ n_Z e_Z.
        residual_mean_per_atom: mean over structures of (E − Σ n_Z e_Z) / N.
        residual_std_per_atom: standard deviation of the same.
        fitted: False when the energies were given.
        undetermined: species whose reference the compositions do not determine, e.g. all of them
            when every structure is the same molecule. Of all solutions the nearest to one common
            energy per atom is taken. Sums over the compositions of the training set are right in
            any case.
        left_open: directions, by symbol, along which references may change without a change of
            any training structure's sum. The sum of a composition is determined if it has no
            component along them.
        absent: species that occur in the data set but in no training structure; they have none.
        notes: sentences for the user about what deserves attention.
    """

    energies: dict[str, float]
    residual_rmse: float
    residual_mean_per_atom: float
    residual_std_per_atom: float
    fitted: bool
    undetermined: tuple[str, ...]
    left_open: tuple[dict[str, float], ...]
    absent: tuple[str, ...]
    notes: tuple[str, ...]


def fit_reference_energies(
    store: ArrayStore,
    indices: np.ndarray,
    name: str = "energy",
    given: Mapping[str, float] | None = None,
) -> ReferenceFit:
    """Fits one reference for each species to an extensive scalar by least squares, or takes them.

    There is no intercept: references add up over separate molecules. The fit is a sequential QR
    decomposition: it streams over the structures and keeps one triangular factor with a row for
    each species. It is accurate for large data sets and for large energies.

    Args:
        store: the data set.
        indices: the training structures.
        name: an extensive property with one number for each structure.
        given: references by symbol, which are then not fitted. Without them the energies of
            isolated atoms in the store's source are taken; only what is left is fitted.

    Raises:
        ValueError: there is no training structure, none has a label, the property is not
            extensive, or a species of the training structures is not among the given ones.
    """
    indices = np.asarray(indices, dtype=np.int64)
    property = store.properties[name]
    if len(indices) == 0:
        raise ValueError("expected at least one training structure, got none")
    if not property.extensive or property.per != "structure" or property.shape != ():
        raise ValueError(f"only extensive scalars have reference energies; {name!r} is not one")

    species = species_of(store, indices)
    symbols = [chemical_symbols[z] for z in species]
    absent = tuple(symbol for symbol in store.elements if symbol not in symbols)
    isolated = store.manifest["source"].get("isolated_atoms", {}).get(name, {})
    left_open = np.zeros((0, len(symbols)))
    if given is None:
        energies, left_open = _fitted(store, indices, name, species, isolated)
    else:
        energies = _given(symbols, given)
    undetermined = tuple(
        symbol for symbol, column in zip(symbols, left_open.T, strict=True) if column.any()
    )

    squares = per_atom_squares = 0.0
    n, total, worst = 0, 0.0, (0.0, -1)
    for part, counts, values in compositions(store, indices, name, species):
        if not len(part):
            continue
        n += len(part)
        residuals = values - counts @ energies
        per_atom = residuals / counts.sum(axis=1)
        squares += float(residuals @ residuals)
        per_atom_squares += float(per_atom @ per_atom)
        total += float(per_atom.sum())
        furthest = int(np.abs(per_atom).argmax())
        worst = max(worst, (abs(float(per_atom[furthest])), int(part[furthest])))
    if n == 0:
        raise ValueError(no_label(name))
    mean = total / n
    std = max(per_atom_squares / n - mean**2, 0.0) ** 0.5

    notes = _notes(name, undetermined, absent)
    if given is None and isolated and (fitted := [s for s in symbols if s not in isolated]):
        notes.append(
            f"{name}: there is no isolated atom of {', '.join(fitted)}, of which the reference "
            "energies are fitted: they hold the bonds of these atoms, too."
        )
    if property.unit == "eV" and (given or isolated) and abs(mean) > IMPLAUSIBLE_BINDING:
        notes.append(
            f"{name}: the references of isolated atoms leave {mean:.3g} eV per atom on average, "
            f"but atoms bind by less than {IMPLAUSIBLE_BINDING:g}. Are the references in eV, and "
            "of the same level of theory as the data?"
        )
    if property.unit == "eV" and std > IMPLAUSIBLE_RESIDUAL:
        notes.append(
            f"{name}: after subtraction of the reference energies the spread is {std:.3g} eV per "
            f"atom (largest in structure {worst[1]}: {worst[0]:.3g} eV per atom); chemical bonds "
            f"explain less than {IMPLAUSIBLE_RESIDUAL:g}. Are the unit and the level of theory the "
            "same everywhere?"
        )
    return ReferenceFit(
        energies=dict(zip(symbols, energies.tolist(), strict=True)),
        residual_rmse=(squares / n) ** 0.5,
        residual_mean_per_atom=mean,
        residual_std_per_atom=std,
        fitted=given is None and not set(symbols) <= set(isolated),
        left_open=tuple(
            {symbol: round(float(x), 9) for symbol, x in zip(symbols, row, strict=True) if x}
            for row in left_open
        ),
        undetermined=undetermined,
        absent=absent,
        notes=tuple(notes),
    )


def no_label(name: str) -> str:
    """The message where a target has nothing to be trained on."""
    return (
        f"no training structure has a label for {name!r}. Choose another target, or other "
        "training structures."
    )


def read_isolated_atoms(
    path: str | Path | Iterable[str | Path], key: str, unit: str, quantity: Property | None = None
) -> dict[str, float]:
    """Energies of isolated atoms in eV, by symbol, from files with one atom in each frame.

    Args:
        path: a file, a glob, or several of these.
        key: under which the energy stands in the files.
        unit: of the energy there.
        quantity: which energy it is; by default the potential energy.

    Raises:
        UnitError: the unit is missing, unknown, or not one of energy.
        StructureFileError: a frame has no energy or more than one atom, or an element occurs twice
            with different energies.
    """
    quantity = quantity or PROPERTIES["energy"]
    (label,) = parse_label_keys(
        {quantity.name: {"key": key, "unit": unit}}, {quantity.name: quantity}
    )
    energies: dict[str, float] = {}
    for file in resolve_paths(path):
        for frame, atoms in enumerate(read_frames(file)):
            place = frame_name(file, frame)
            if len(atoms) != 1:
                raise StructureFileError(
                    f"{place}: expected one isolated atom, got {len(atoms)} atoms"
                )
            energy = read_label(atoms, label)
            if energy is None:
                found = sorted({*atoms.info, *(atoms.calc.results if atoms.calc else ())})
                raise StructureFileError(
                    f"{place}: expected an energy under {key!r}, as in the structures; found "
                    f"{', '.join(map(repr, found)) or 'nothing'}. Name it alike there, or give the "
                    f"values: '+target.references.{quantity.name}={{unit: UNIT, H: ..., C: ...}}'"
                )
            (symbol,) = atoms.symbols
            if energies.setdefault(symbol, float(energy)) != float(energy):
                raise StructureFileError(
                    f"{place}: the energy of {symbol} is {float(energy)} eV here, but "
                    f"{energies[symbol]} eV before. Keep one of them."
                )
    return energies


def species_of(store: ArrayStore, indices: np.ndarray) -> np.ndarray:
    """Atomic numbers that occur in these structures, ascending."""
    found = np.zeros(len(chemical_symbols), dtype=bool)
    for start in range(0, len(indices), CHUNK):
        rows, _ = rows_of(store.offsets, indices[start : start + CHUNK])
        found[store.species[rows]] = True
    return np.flatnonzero(found)


def compositions(
    store: ArrayStore, indices: np.ndarray, name: str, species: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Chunks of structures: indices [m], atoms of each species [m, Z], values [m]."""
    column = np.zeros(len(chemical_symbols), dtype=np.int64)
    column[species] = np.arange(len(species))
    for start in range(0, len(indices), CHUNK):
        part = indices[start : start + CHUNK]
        rows, counts = rows_of(store.offsets, part)
        cell = np.repeat(np.arange(len(part)), counts) * len(species) + column[store.species[rows]]
        table = np.bincount(cell, minlength=len(part) * len(species))
        values = store.labels[name][part]
        known = ~np.isnan(values)
        counts = table.reshape(len(part), -1).astype(np.float64)
        yield part[known], counts[known], values[known]


def _fitted(
    store: ArrayStore,
    indices: np.ndarray,
    name: str,
    species: np.ndarray,
    isolated: Mapping[str, float],
) -> tuple[np.ndarray, np.ndarray]:
    """References by species [Z], fitted where no isolated atom gives them, and what is left open.

    The second is [k, Z], the directions in which the references are not determined.
    """
    known = np.array([chemical_symbols[z] in isolated for z in species])
    energies = np.array([isolated.get(chemical_symbols[z], 0.0) for z in species])
    left_open = np.zeros((0, len(species)))
    if not known.all():
        rest = (
            (part, counts[:, ~known], values - counts @ energies)
            for part, counts, values in compositions(store, indices, name, species)
            if len(part)
        )
        energies[~known], free = least_squares(rest, name)
        left_open = np.zeros((len(free), len(species)))
        left_open[:, ~known] = free
    return energies, left_open


def least_squares(
    chunks: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]],
    name: str,
    expected: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The energies of the atoms whose sums are nearest to values.

    Args:
        chunks: as :func:`compositions` gives them.
        name: of the property.
        expected: [Z], to which the solution is nearest where there are many; by default one
            common energy per atom.

    Returns:
        The solution [Z], and directions [k, Z] that are left open.
    """
    triangle: np.ndarray | None = None  # R of the QR decomposition of [counts | values] so far
    atoms = value_sum = 0.0
    for _, counts, values in chunks:
        rows = np.column_stack([counts, values])
        stacked = rows if triangle is None else np.vstack([triangle, rows])
        triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
        atoms += counts.sum()
        value_sum += values.sum()
    if triangle is None:
        raise ValueError(no_label(name))
    matrix, right = triangle[:, :-1], triangle[:, -1]
    common = np.full(matrix.shape[1], value_sum / max(atoms, 1)) if expected is None else expected
    u, singular, vt = np.linalg.svd(matrix, full_matrices=True)
    rank = int((singular > SMALLEST_SINGULAR_VALUE * singular[0]).sum())
    deviation = vt[:rank].T @ ((u[:, :rank].T @ (right - matrix @ common)) / singular[:rank])
    free = vt[rank:]
    return common + deviation, np.where(np.abs(free) > 1e-6, free, 0.0)


def _given(symbols: list[str], given: Mapping[str, float]) -> np.ndarray:
    unknown = [symbol for symbol in given if symbol not in atomic_numbers]
    if unknown:
        raise ValueError(f"references: {unknown[0]!r} is not the symbol of an element")
    missing = [symbol for symbol in symbols if symbol not in given]
    if missing:
        raise ValueError(
            f"references are given for {', '.join(given) or 'no element'}, but the training "
            f"structures also have {', '.join(missing)}. Add them, or give no references: all are "
            "then fitted."
        )
    return np.array([given[symbol] for symbol in symbols], dtype=np.float64)


def _notes(name: str, undetermined: tuple[str, ...], absent: tuple[str, ...]) -> list[str]:
    notes = []
    if undetermined:
        notes.append(
            f"{name}: the training structures' compositions do not determine the reference "
            f"energies of {', '.join(undetermined)} one by one, only their sums. Predictions for "
            "other compositions will be wrong and warn of it; to avoid this, give the energies of "
            "isolated atoms: as frames of one atom, in a file (dataset.isolated_atoms=FILE), or as "
            f"values ('+target.references.{name}={{unit: eV, H: ...}}')."
        )
    if absent:
        notes.append(
            f"no training structure has {', '.join(absent)}, but the data set does: the model "
            "cannot predict these elements. Choose another dataset.split_seed or a larger "
            "dataset.train_size."
        )
    return notes
