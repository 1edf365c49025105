"""Reference energies and scales: exact where they can be, silent nowhere, training part only."""

import json
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.data import atomic_numbers

from molnet.datasets import references as references_module
from molnet.datasets import statistics as statistics_module
from molnet.datasets.dataset import GraphDataset
from molnet.datasets.references import fit_reference_energies, read_isolated_atoms
from molnet.datasets.statistics import compute_statistics
from molnet.datasets.store import ArrayStore, StoreWriter
from molnet.datasets.structures import open_structures
from molnet.graph.frames import StructureFileError
from molnet.properties import get_property
from molnet.units import UnitError

TRUE = {"H": -13.6, "C": -1029.5, "N": -1485.0, "O": -2042.0}
FORMULAS = ["H2", "CH4", "NH3", "H2O", "CO", "C2H6", "CH3OH", "N2", "HCN", "CO2"]

Build = Callable[..., ArrayStore]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """A function that makes a store of molecules with given values of given properties."""

    def build(formulas: list[str], **labels: list) -> ArrayStore:
        folder = tmp_path / f"store{len(list(tmp_path.iterdir()))}"
        with StoreWriter(folder, [get_property(name) for name in labels], {}) as writer:
            for i, formula in enumerate(formulas):
                atoms = molecule(formula)
                values = {name: values[i] for name, values in labels.items()}
                writer.add(atoms.numbers, atoms.positions, labels=values)
        return ArrayStore.open(folder)

    return build


def energies(formulas: list[str], noise: float = 0.0) -> list[float]:
    rng = np.random.default_rng(0)
    return [
        sum(TRUE[symbol] for symbol in molecule(formula).symbols) + noise * rng.normal()
        for formula in formulas
    ]


# Reference energies


@pytest.mark.parametrize("chunk", [1, 3, 8192])
def test_exact_sums_are_recovered(
    build: Build, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references_module, "CHUNK", chunk)
    formulas = 20 * FORMULAS
    fit = fit_reference_energies(build(formulas, energy=energies(formulas)), np.arange(200))
    assert fit.energies == pytest.approx(TRUE, abs=1e-8)
    assert list(fit.energies) == ["H", "C", "N", "O"]
    assert fit.residual_rmse < 1e-8
    assert fit.fitted
    assert fit.undetermined == fit.absent == fit.notes == ()


def test_fit_equals_dense_least_squares(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references_module, "CHUNK", 7)
    formulas = 5 * FORMULAS
    values = np.array(energies(formulas, noise=0.3))
    indices = np.arange(0, 50, 2)
    fit = fit_reference_energies(build(formulas, energy=values), indices)

    counts = np.array(
        [[molecule(f).numbers.tolist().count(z) for z in (1, 6, 7, 8)] for f in formulas]
    )[indices]
    expected, *_ = np.linalg.lstsq(counts, values[indices])
    residuals = values[indices] - counts @ expected
    assert np.allclose(list(fit.energies.values()), expected, atol=1e-9)
    assert fit.residual_rmse == pytest.approx(np.sqrt(np.mean(residuals**2)))
    assert fit.residual_std_per_atom == pytest.approx(np.std(residuals / counts.sum(axis=1)))


def test_one_molecule_does_not_determine_its_species(build: Build) -> None:
    formulas = 6 * ["CH3OH"]
    values = energies(formulas, noise=0.1)
    fit = fit_reference_energies(build(formulas, energy=values), np.arange(6))
    assert set(fit.undetermined) == {"H", "C", "O"}
    # All atoms the same, and the sum is right.
    assert np.ptp(list(fit.energies.values())) < 1e-8
    total = sum(fit.energies[symbol] for symbol in molecule("CH3OH").symbols)
    assert total == pytest.approx(np.mean(values))
    assert fit.residual_rmse == pytest.approx(np.std(values))
    assert "do not determine the reference energies of H, C, O" in fit.notes[0]


def test_species_in_a_fixed_ratio_are_singled_out(build: Build) -> None:
    formulas = ["N2", "CO", "CO", "N2"]  # N is determined, C and O only together
    fit = fit_reference_energies(build(formulas, energy=energies(formulas)), np.arange(4))
    assert fit.undetermined == ("C", "O")
    assert fit.energies["N"] == pytest.approx(TRUE["N"])
    assert fit.energies["C"] + fit.energies["O"] == pytest.approx(TRUE["C"] + TRUE["O"])


def test_species_outside_the_training_part_are_reported(build: Build) -> None:
    formulas = ["H2", "CH4", "C2H6", "NH3"]
    fit = fit_reference_energies(build(formulas, energy=energies(formulas)), np.array([0, 1, 2]))
    assert fit.absent == ("N",)
    assert "N" not in fit.energies
    assert "no training structure has N, but the data set does" in fit.notes[0]


def test_mixed_units_are_noticed(build: Build) -> None:
    values = np.array(energies(FORMULAS))
    values[3] /= 27.2114
    fit = fit_reference_energies(build(FORMULAS, energy=values), np.arange(len(FORMULAS)))
    assert any("Are the unit and the level of theory the same" in note for note in fit.notes)


def test_given_references_are_taken(build: Build) -> None:
    store = build(FORMULAS, energy=energies(FORMULAS))
    fit = fit_reference_energies(store, np.arange(len(FORMULAS)), given=TRUE | {"F": -2700.0})
    assert fit.energies == TRUE
    assert not fit.fitted
    assert fit.residual_rmse < 1e-9
    in_hartree = {symbol: energy / 27.2114 for symbol, energy in TRUE.items()}
    wrong = fit_reference_energies(store, np.arange(len(FORMULAS)), given=in_hartree)
    assert any("Are the references in eV" in note for note in wrong.notes)
    with pytest.raises(ValueError, match="also have N, O"):
        fit_reference_energies(store, np.arange(10), given={"H": -13.6, "C": -1029.5})
    with pytest.raises(ValueError, match="'Xy' is not the symbol of an element"):
        fit_reference_energies(store, np.arange(10), given=TRUE | {"Xy": 0.0})


def test_what_cannot_have_references(build: Build) -> None:
    store = build(["H2"], homo=[-10.0], energy=[-30.0])
    with pytest.raises(ValueError, match="'homo' is not one"):
        fit_reference_energies(store, np.arange(1), "homo")
    with pytest.raises(ValueError, match="at least one training structure"):
        fit_reference_energies(store, np.array([], dtype=int))


def test_isolated_atoms_of_published_sets(shared_data: Path, tmp_path: Path) -> None:
    given = read_isolated_atoms(shared_data / "acac" / "isolated_atoms.xyz", "energy", "eV")
    assert given["H"] == pytest.approx(-13.568422178253735)
    path = shared_data / "acac" / "train_300K.xyz"
    store = open_structures(path, {"energy": {"key": "energy", "unit": "eV"}}, cache=tmp_path)
    fit = fit_reference_energies(store, np.arange(len(store)), given=given)
    atoms = sum(given[symbol] for symbol in ase.io.read(path).symbols)  # all frames are alike
    binding = store.labels["energy"] - atoms
    assert -100 < np.mean(binding) < -60  # fifteen atoms bound by about 5 eV each
    assert fit.residual_rmse == pytest.approx(np.sqrt(np.mean(np.square(binding))))
    assert fit.notes == ()


def test_isolated_atoms_at_fault(tmp_path: Path) -> None:
    def read(*frames: Atoms, key: str = "energy", unit: str = "eV") -> dict[str, float]:
        ase.io.write(tmp_path / "atoms.xyz", frames, format="extxyz")
        return read_isolated_atoms(tmp_path / "atoms.xyz", key, unit)

    hydrogen = Atoms("H", info={"energy": -0.5})
    assert read(hydrogen, hydrogen, unit="Hartree") == {"H": pytest.approx(-13.6057, abs=1e-4)}
    with pytest.raises(StructureFileError, match=r"frame 1: the energy of H is -0\.4 eV here, but"):
        read(hydrogen, Atoms("H", info={"energy": -0.4}))
    with pytest.raises(StructureFileError, match="frame 0: expected one isolated atom, got 2"):
        read(Atoms("H2", [[0, 0, 0], [0, 0, 1]], info={"energy": -1.0}))
    with pytest.raises(
        StructureFileError, match=r"frame 0: expected an energy under 'e', .*found 'energy'"
    ):
        read(hydrogen, key="e")
    with pytest.raises(UnitError, match="no unit"):
        read(hydrogen, unit="")


# Statistics


def random_labels(formulas: list[str], seed: int = 0) -> dict[str, list]:
    rng = np.random.default_rng(seed)
    return {
        "energy": energies(formulas, noise=0.5),
        "forces": [2.0 * rng.normal(size=(len(molecule(f)), 3)) for f in formulas],
        "homo": (-6 + 0.5 * rng.normal(size=len(formulas))).tolist(),
        "dipole": [rng.normal(size=3) for _ in formulas],
        "charges": [rng.normal(size=len(molecule(f))) for f in formulas],
        "alpha": [float(3 + len(molecule(f))) for f in formulas],
    }


@pytest.mark.parametrize("chunk", [2, 8192])
def test_statistics_are_those_of_numpy(
    build: Build, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics_module, "CHUNK", chunk)
    formulas = 3 * FORMULAS
    labels = random_labels(formulas)
    store = build(formulas, **labels)
    indices = np.arange(20)
    statistics = compute_statistics(GraphDataset(store, indices, 3.0, list(labels)))

    targets = statistics["targets"]
    rms = np.sqrt(np.mean(np.concatenate(labels["forces"][:20]) ** 2))
    assert targets["forces"] == {"scale": pytest.approx(rms)}
    assert targets["energy"]["scale"] == pytest.approx(rms)
    fit = fit_reference_energies(store, indices)
    assert targets["energy"]["references"] == fit.energies
    assert targets["energy"]["residual_rmse"] == fit.residual_rmse
    homo = labels["homo"][:20]
    assert targets["homo"] == {
        "mean": pytest.approx(np.mean(homo)),
        "scale": pytest.approx(np.std(homo)),
    }
    dipole = np.sqrt(np.mean(np.square(labels["dipole"][:20])))
    assert targets["dipole"] == {"scale": pytest.approx(dipole)}
    charges = np.sqrt(np.mean(np.concatenate(labels["charges"][:20]) ** 2))
    assert targets["charges"] == {"scale": pytest.approx(charges)}
    assert set(targets["alpha"]) == {"references", "residual_rmse", "scale"}
    graphs = [GraphDataset(store, indices, 3.0)[i] for i in range(20)]
    edges, atoms = (sum(g[k].shape[i] for g in graphs) for k, i in (("edge_index", 1), ("pos", 0)))
    assert statistics["mean_neighbours"] == pytest.approx(edges / atoms)
    assert json.loads(json.dumps(statistics)) == statistics


def test_without_forces_the_energy_has_its_own_scale(build: Build) -> None:
    formulas = 2 * FORMULAS
    labels = random_labels(formulas)
    store = build(formulas, **labels)
    statistics = compute_statistics(GraphDataset(store, range(20), 3.0, ["energy"]))
    fit = fit_reference_energies(store, np.arange(20))
    assert statistics["targets"]["energy"]["scale"] == fit.residual_std_per_atom


def test_only_the_training_part_is_looked_at(build: Build) -> None:
    formulas = 2 * FORMULAS
    labels, others = random_labels(formulas), random_labels(formulas, seed=1)
    changed = {name: [*labels[name][:10], *others[name][10:]] for name in labels}
    changed["energy"] = [*labels["energy"][:10], *(1e3 * np.arange(10))]

    def statistics(values: dict[str, list], indices: range) -> dict:
        dataset = GraphDataset(build(formulas, **values), indices, 3.0, list(labels))
        return compute_statistics(dataset)

    assert statistics(changed, range(10)) == statistics(labels, range(10))
    assert statistics(changed, range(11)) != statistics(labels, range(11))


def test_given_references_reach_the_statistics(build: Build) -> None:
    store = build(FORMULAS, energy=energies(FORMULAS, noise=0.1))
    dataset = GraphDataset(store, range(10), 3.0, ["energy"])
    statistics = compute_statistics(dataset, {"energy": TRUE})
    assert statistics["targets"]["energy"]["references"] == TRUE
    with pytest.raises(ValueError, match="references are given for 'u0', which is not a target"):
        compute_statistics(dataset, {"u0": TRUE})


def test_nothing_is_divided_by_zero(build: Build, tmp_path: Path) -> None:
    store = build(["H2"], energy=[-31.0], homo=[-10.0])
    statistics = compute_statistics(GraphDataset(store, [0], 3.0, ["energy", "homo"]))
    assert statistics["targets"]["energy"]["scale"] == 1.0
    assert statistics["targets"]["homo"] == {"mean": -10.0, "scale": 1.0}
    assert sum("no spread" in note for note in statistics["notes"]) == 2

    exact = build(FORMULAS, energy=energies(FORMULAS, noise=0.0))  # but for rounding
    statistics = compute_statistics(GraphDataset(exact, range(len(FORMULAS)), 3.0, ["energy"]))
    assert statistics["targets"]["energy"]["scale"] == 1.0
    assert any("no spread" in note for note in statistics["notes"])

    with StoreWriter(tmp_path / "isolated", [], {}) as writer:
        writer.add([atomic_numbers["He"]], [[0, 0, 0]])
    alone = GraphDataset(ArrayStore.open(tmp_path / "isolated"), [0], 3.0)
    assert compute_statistics(alone)["mean_neighbours"] == 1.0
    with pytest.raises(ValueError, match="at least one training structure"):
        compute_statistics(GraphDataset(store, [], 3.0, ["energy"]))


def test_stress_of_crystals_among_molecules(tmp_path: Path) -> None:
    stress = np.arange(9.0).reshape(3, 3)
    with StoreWriter(tmp_path / "s", [get_property("stress")], {}) as writer:
        writer.add([1], [[0, 0, 0]])
        writer.add([1], [[0, 0, 0]], 3 * np.eye(3), [True] * 3, {"stress": stress})
    store = ArrayStore.open(tmp_path / "s")
    statistics = compute_statistics(GraphDataset(store, [0, 1], 2.0, ["stress"]))
    assert statistics["targets"]["stress"]["scale"] == pytest.approx(np.sqrt(np.mean(stress**2)))
    with pytest.raises(ValueError, match="no training structure has a label for 'stress'"):
        compute_statistics(GraphDataset(store, [0], 2.0, ["stress"]))
