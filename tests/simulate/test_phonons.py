"""Phonons against ASE's own, against the exact Hessian, and against phonopy with its files."""

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.cell import Cell
from ase.phonons import Phonons as PhononsOfASE

from molnet.models import Model
from molnet.simulate import Calculator
from molnet.simulate.hessian import hessian
from molnet.simulate.phonon_files import PhononsOfFile
from molnet.simulate.phonons import (
    WAVENUMBER,
    MissingPhonopyError,
    frequencies_at,
    multiples_of,
    path_of,
    phonons,
)
from molnet.simulate.vibration_files import vibrations_of_files
from molnet.simulate.vibrations import FREQUENCY

phonopy = pytest.importorskip("phonopy")

MakeModel = Callable[..., Model]


@pytest.fixture(autouse=True)
def _recursion_limit() -> Iterator[None]:
    """``phonopy.load`` imports a package that raises the limit so far that deep JSON crashes."""
    limit = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(limit)


COPPER = bulk("Cu", a=3.5)


def test_agrees_with_ase(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    found = phonons(model, COPPER, [3, 3, 3])
    theirs = PhononsOfASE(
        COPPER, Calculator(model), supercell=(3, 3, 3), delta=0.01, name=str(tmp_path / "ase")
    )
    theirs.run()
    theirs.read(acoustic=True)
    # Between waves that fit into the supercell the two interpolate differently.
    points = np.array([[1, 0, 0], [1, 1, 0], [2, 1, 0]]) / 3
    expected = theirs.band_structure(points) / ase.units.invcm
    # The primitive cells need not be the same: q in 1/Å is what both mean.
    own = points @ COPPER.cell.reciprocal() @ found.calculation.primitive.cell.T
    frequencies = [frequencies_at(found.calculation, point) for point in own]
    np.testing.assert_allclose(frequencies, expected, rtol=1e-3)
    assert found.spacegroup == "Fm-3m (225)"
    assert len(found.calculation.displacements) == 1


def test_agrees_with_the_exact_hessian_of_the_supercell() -> None:
    torch.manual_seed(0)
    network = {"cutoff": 3.0, "channels": 4, "l_max": 1, "num_layers": 2, "radial_hidden": [8]}
    network |= {"correlation": 1, "aggregation": "mean"}  # less stiff with random weights
    statistics = {"mean_neighbours": 6.0, "targets": {"energy": {"scale": 3.0}}}
    heads = {"energy": {"kind": "extensive", "forces": True}}
    model = Model(network, heads, [1, 8], statistics).double().eval()
    cell = Atoms("OH", [[0, 0, 0], [0.9, 0.3, 0.2]], cell=[2.3, 2.5, 2.7], pbc=True)
    found = phonons(model, cell, [2, 2, 2])
    points = itertools.product([0.0, 0.5], repeat=3)
    frequencies = np.sort(np.concatenate([frequencies_at(found.calculation, q) for q in points]))

    whole = cell * (2, 2, 2)
    weights = np.repeat(whole.get_masses() ** -0.5, 3)
    matrix = weights[:, None] * hessian(model, whole).reshape(48, 48) * weights
    expected = np.linalg.eigvalsh(matrix) * FREQUENCY**2
    squares = np.sign(frequencies) * frequencies**2
    # What displacements of 0.01 Å leave of higher orders is of this size for such a stiff model.
    np.testing.assert_allclose(squares, expected, atol=1e-3 * np.abs(expected).max())


def test_the_density_of_states_counts_all_modes_of_the_cell(make_model: MakeModel) -> None:
    small, large = (
        phonons(make_model(), atoms, 7.0) for atoms in (COPPER, bulk("Cu", a=3.5, cubic=True))
    )
    for found, atoms in ((small, 1), (large, 4)):
        levels, density = found.density
        assert np.trapezoid(density, levels) == pytest.approx(3 * atoms, rel=0.02)
        assert found.lowest[0] > -0.1
        # Classical limit: k_B for each mode.
        capacity = found.thermal([3000.0])[0, 2]
        assert capacity == pytest.approx(3 * atoms * ase.units.kB, rel=0.01)
    assert small.supercell == (4, 4, 4)
    assert large.supercell == (2, 2, 2)


def test_left_handed_cells_are_the_same_crystal(make_model: MakeModel) -> None:
    left = COPPER.copy()
    left.set_cell(left.cell.array[[1, 0, 2]])
    assert left.cell.handedness == -1
    found, expected = (phonons(make_model(), atoms, [2, 2, 2]) for atoms in (left, COPPER))
    assert found.highest == pytest.approx(expected.highest, rel=1e-6)


def test_paths_go_through_special_points() -> None:
    path = path_of(COPPER.cell)
    assert "".join(path.labels) == "ΓXWKΓLUWLKUX"
    assert path.connected.count(False) == 2
    lattice = Cell(COPPER.cell.array[[2, 0, 1]])  # another order of the same vectors
    assert path_of(lattice).lengths == pytest.approx(path.lengths)
    for line, after, connected in zip(path.lines, path.lines[1:], path.connected, strict=False):
        assert np.allclose(line[-1], after[0]) == connected


@pytest.mark.parametrize("given", [0.0, -3.0, [2, 2], [2, 2, 0], [2, 2, 1.5]])
def test_impossible_supercells_are_refused(given: float | list[int]) -> None:
    with pytest.raises(ValueError, match="expected a supercell"):
        multiples_of(COPPER.cell, given)


def test_molecules_have_no_phonons(make_model: MakeModel) -> None:
    with pytest.raises(ValueError, match="periodic in three directions"):
        phonons(make_model(), molecule("H2O"))


@pytest.fixture
def crystal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the working folder: copper whose atoms have been moved a little."""
    monkeypatch.chdir(tmp_path)
    atoms = bulk("Cu", a=3.4, cubic=True)
    atoms.positions[0, 0] += 0.02
    ase.io.write("copper.extxyz", atoms)
    return Path("copper.extxyz")


def test_phonopy_goes_on_with_the_files(make_model: MakeModel, crystal: Path) -> None:
    (result,) = vibrations_of_files(make_model(), crystal, supercell=[2, 2, 2], symprec=1e-3)
    assert isinstance(result, PhononsOfFile)
    found = result.phonons
    assert found.spacegroup == "Fm-3m (225)"  # relaxed before
    folder = Path("copper.vibrations")
    again = phonopy.load(folder / "phonopy_params.yaml", log_level=0)
    again.run_qpoints([[0.5, 0.5, 0.0]])
    expected = frequencies_at(found.calculation, [0.5, 0.5, 0.0])
    np.testing.assert_allclose(WAVENUMBER * again.qpoints.frequencies[0], expected, rtol=1e-3)
    names = {"band.yaml", "total_dos.dat", "thermal_properties.yaml", "phonons.json"}
    assert names <= {path.name for path in folder.iterdir()}
    text = str(result)
    for words in ("copper (Cu4), Fm-3m (225)", "2 × 2 × 2, 32 atoms; displacements: 1", "of Cu4"):
        assert words in text
    assert "molnet relax cell=full relaxes it" in text
    assert "imaginary" not in text
    with pytest.raises(ValueError, match="holds vibrations already"):
        list(vibrations_of_files(make_model(), crystal))


def test_unstable_crystals_are_told(make_model: MakeModel, crystal: Path) -> None:
    ase.io.write(crystal, bulk("Cu", crystalstructure="sc", a=2.45, cubic=True))
    (result,) = vibrations_of_files(make_model(), crystal, supercell=[2, 2, 2])
    assert isinstance(result, PhononsOfFile)
    assert result.imaginary
    assert "the structure is no minimum" in str(result)


def test_crystals_vibrate_alone_if_asked(make_model: MakeModel, crystal: Path) -> None:
    (result,) = vibrations_of_files(make_model(), crystal, "alone", supercell=None)
    assert not isinstance(result, PhononsOfFile)
    (result,) = vibrations_of_files(make_model(), crystal, "held", indices=[0])
    assert not isinstance(result, PhononsOfFile)
    assert len(result.vibrations.frequencies) == 3


def test_a_missing_phonopy_is_told_before_anything_is_computed(
    make_model: MakeModel, crystal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "phonopy", None)
    with pytest.raises(MissingPhonopyError, match=r"copper.extxyz, frame 0.*pip install phonopy"):
        list(vibrations_of_files(make_model(), crystal))
    assert not Path("copper.vibrations").exists()
