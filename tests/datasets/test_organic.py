"""The bundled set says the truth about itself: what is in the file is what GFN2-xTB gives."""

import gzip
import importlib.util
import io
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase import Atoms
from ase.io import read

PROJECT = Path(__file__).resolve().parents[2]
FILE = PROJECT / "data" / "organic" / "organic.extxyz.gz"
PROVENANCE = FILE.with_name("PROVENANCE.md")


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    # decompressed first: ASE seeks backwards, which in a gzip file takes minutes
    return read(io.StringIO(gzip.decompress(FILE.read_bytes()).decode()), ":", format="extxyz")


@pytest.fixture(scope="module")
def make_organic() -> ModuleType:
    pytest.importorskip("tblite")
    spec = importlib.util.spec_from_file_location(
        "make_organic", PROJECT / "scripts" / "make_organic.py"
    )
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PROJECT / "scripts")  # where a script finds its own modules
        spec.loader.exec_module(module)
    return module


def test_the_file_is_small_enough_for_a_repository() -> None:
    assert FILE.stat().st_size <= 4e6


def test_contents_agree_with_the_provenance_file(frames: list[Atoms]) -> None:
    text = PROVENANCE.read_text()
    names = {atoms.info["name"] for atoms in frames}
    assert f"{len(frames)} frames of {len(names)} molecules" in text
    assert f"{sum(map(len, frames)):,} atoms" in text
    for kind, count in Counter(atoms.info["kind"] for atoms in frames).items():
        assert re.search(rf"^\| {kind} \| {count} \|", text, flags=re.MULTILINE)
    listed = set(re.split(r"[:.,]\s+", " ".join(text.split("## Molecules")[1].split())))
    assert names <= listed


def test_frames_are_closed_shell_molecules_of_five_elements(frames: list[Atoms]) -> None:
    for atoms in frames:
        assert set(atoms.symbols) <= set("HCNOF")
        assert atoms.numbers.sum() % 2 == 0
        assert not atoms.pbc.any()


def test_forces_are_moderate_and_do_not_push_the_molecule(frames: list[Atoms]) -> None:
    forces = [atoms.get_forces() for atoms in frames]
    components = np.concatenate(forces)
    assert 0.8 < np.sqrt(np.mean(components**2)) < 1.6  # eV/Å
    assert np.linalg.norm(components, axis=1).max() <= 15.0
    # no external field: each frame's forces add up to nothing but rounding
    assert max(np.abs(f.sum(axis=0)).max() for f in forces) < 1e-4


def test_equilibrium_is_the_lowest_frame_of_its_molecule(frames: list[Atoms]) -> None:
    lowest = {
        atoms.info["name"]: atoms.get_potential_energy()
        for atoms in frames
        if atoms.info["kind"] == "equilibrium"
    }
    for atoms in frames:
        above = atoms.get_potential_energy() - lowest[atoms.info["name"]]
        # a floppy molecule may find a conformer below the one that it was relaxed to
        assert above > -0.2


def test_labels_are_those_of_gfn2_at_the_stored_positions(
    frames: list[Atoms], make_organic: ModuleType
) -> None:
    for atoms in frames[::211]:
        energy, forces = make_organic.label(atoms.numbers, atoms.positions)
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=2e-6)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=2e-5)


def test_forces_are_the_derivative_of_the_energy(
    frames: list[Atoms], make_organic: ModuleType
) -> None:
    atoms = next(a for a in frames if a.info["kind"] == "md1000" and a.info["name"] == "formamide")
    step = 1e-3
    for atom, axis in ((0, 0), (1, 2), (4, 1)):
        energies = []
        for sign in (1, -1):
            positions = atoms.positions.copy()
            positions[atom, axis] += sign * step
            energies.append(make_organic.label(atoms.numbers, positions)[0])
        force = (energies[1] - energies[0]) / (2 * step)
        assert force == pytest.approx(atoms.get_forces()[atom, axis], abs=1e-3)


def test_the_script_repeats_a_molecule_frame_by_frame(
    frames: list[Atoms], make_organic: ModuleType
) -> None:
    index = make_organic.NAMES.index("water")
    rng = np.random.default_rng([2024, index])
    molecule = make_organic.Molecule.relaxed("water", rng)
    assert len(molecule.modes) == 3
    made = [frame for frame, _ in zip(make_organic.frames_of(molecule, rng), range(20))]  # noqa: B905
    stored = [atoms for atoms in frames if atoms.info["name"] == "water"][:20]
    for frame, atoms in zip(made, stored, strict=True):
        assert frame.kind == atoms.info["kind"]
        # relaxed on another machine, the same to within the convergence of the forces
        np.testing.assert_allclose(frame.positions, atoms.positions, atol=1e-3)


@pytest.mark.parametrize("name", ["fluorobenzene", "glycine", "imidazole", "urea"])
def test_built_molecules_have_the_composition_of_their_name(
    make_organic: ModuleType, name: str
) -> None:
    formula = {
        "fluorobenzene": "C6H5F",
        "glycine": "C2H5NO2",
        "imidazole": "C3H4N2",
        "urea": "CH4N2O",
    }
    assert make_organic.build(name).get_chemical_formula() == formula[name]


def test_broken_bonds_and_new_contacts_are_refused(make_organic: ModuleType) -> None:
    water = make_organic.Molecule.relaxed("water", np.random.default_rng(0))
    positions = water.atoms.positions
    oxygen = int(np.flatnonzero(water.atoms.numbers == 8)[0])
    first, second = np.flatnonzero(water.atoms.numbers == 1)
    assert water.is_intact(positions)
    torn = positions.copy()
    torn[first] += 0.5 * (positions[first] - positions[oxygen])
    assert not water.is_intact(torn)
    pinched = positions.copy()
    pinched[[first, second]] = positions[oxygen] + 0.9 * np.array([[1, 0.4, 0], [1, -0.4, 0]])
    assert not water.is_intact(pinched)


def test_open_shells_are_refused(make_organic: ModuleType) -> None:
    # ethene twisted by a right angle: two singly occupied orbitals
    numbers = np.array([6, 6, 1, 1, 1, 1])
    half = [[0.0, 0.0, 0.0], [-0.6, 0.9, 0.0], [-0.6, -0.9, 0.0]]
    other = [[1.35, 0.0, 0.0], [1.95, 0.0, 0.9], [1.95, 0.0, -0.9]]
    positions = np.array([half[0], other[0], *half[1:], *other[1:]])
    assert make_organic.label(numbers, positions) is None
