"""Files of LAMMPS: no type becomes an element unasked, and no energy comes from nowhere."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule

from molnet.graph.frames import ReadingOptions, StructureFileError, read_frames, units_in_files


def read(path: Path, text: str, **options: object) -> list[Atoms]:
    path.write_text(text)
    return list(read_frames(path, ReadingOptions.of(**options)))  # type: ignore[arg-type]


def dump(columns: str, *rows: str, bounds: str = "pp pp pp", step: int = 0) -> str:
    lines = "".join(f"{row}\n" for row in rows)
    return (
        f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(rows)}\nITEM: BOX BOUNDS {bounds}\n"
        f"0.0 20.0\n0.0 20.0\n0.0 20.0\nITEM: ATOMS {columns}\n{lines}"
    )


TYPES = dump("id type x y z fx fy fz", "2 1 11.1 10 10 -0.5 0 0", "1 2 10 10 10 0.5 0 0")


def test_types_ask_for_elements(tmp_path: Path) -> None:
    message = r"a\.lammpstrj, frame 0: the file has the atom types 1, 2 .*elements=\[C,H\]"
    with pytest.raises(StructureFileError, match=message):
        read(tmp_path / "a.lammpstrj", TYPES)
    with pytest.raises(StructureFileError, match=r"atom types 1, 2 .*got \{'1': 'H'\}"):
        read(tmp_path / "a.lammpstrj", TYPES, elements=["H"])
    for elements in (["H", "C"], {1: "H", "2": "C"}):
        first, second = read(tmp_path / "a.lammpstrj", TYPES * 2, elements=elements)
        assert str(first.symbols) == str(second.symbols) == "CH"  # in the order of the ids
        assert first.positions[:, 0].tolist() == [10, 11.1]
        assert first.pbc.all()


def test_forces_but_no_energy(tmp_path: Path) -> None:
    (atoms,) = read(tmp_path / "a.lammpstrj", TYPES, elements=["H", "C"])
    assert atoms.calc.results.keys() == {"forces"}
    assert atoms.calc.results["forces"][:, 0].tolist() == [0.5, -0.5]


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ("id element x y z", ("1 C 10 10 10", "2 H 11.1 10 10")),
        ("element id type xs ys zs", ("D 2 7 .555 .5 .5", "C1 1 7 .5 .5 .5")),
        ("id type mass x y z", ("1 1 12.011 10 10 10", "2 2 1.0 11.1 10 10")),
    ],
)
def test_elements_and_masses(tmp_path: Path, columns: str, rows: tuple[str, ...]) -> None:
    (atoms,) = read(tmp_path / "a.lammpstrj", dump(columns, *rows))
    assert str(atoms.symbols) == "CH"
    assert np.allclose(atoms.positions[:, 0], [10, 11.1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (dump("id type mass x y z", "1 1 14.5 10 10 10"), "14.5 is the mass of no element"),
        (dump("id x y z", "1 10 10 10"), "neither elements nor types"),
        (dump("id element x y z", "1 CA 10 10 10"), "'CA' may be Ca"),
        (dump("id element x y z", "1 C 10 10 10", bounds=""), "does not say .* periodic"),
        (
            dump("id element x y", "1 C 10 10"),
            "expected coordinates .* columns id element x y",
        ),
        (dump("id element x y z", "1 C 1 1 1", "1 H 2 1 1"), "two atoms have the same id"),
        (TYPES + TYPES[:-25], "frame 1: expected 2 atoms with 8 columns"),
        (TYPES + TYPES[:60], "frame 1: .*cut short"),
    ],
)
def test_dumps_at_fault(tmp_path: Path, text: str, message: str) -> None:
    elements = ["H", "C"] if text.startswith(TYPES) else None
    with pytest.raises(StructureFileError, match=message):
        read(tmp_path / "a.lammpstrj", text, elements=elements)


@pytest.mark.parametrize(
    ("style", "factor", "unit"),
    [("metal", 1.0, "eV/Å"), ("real", 1.0, "kcal/mol/Å"), ("electron", 0.529177, "Hartree/Bohr")],
)
def test_units_that_a_dump_declares(tmp_path: Path, style: str, factor: float, unit: str) -> None:
    path = tmp_path / "a.lammpstrj"
    (atoms,) = read(path, f"ITEM: UNITS\n{style}\n{TYPES}", elements=["H", "C"])
    assert np.allclose(atoms.cell.lengths(), 20 * factor)
    assert np.allclose(atoms.positions[0], 10 * factor)
    assert units_in_files(path) == {"forces": unit}


@pytest.mark.parametrize(
    ("style", "unit"),
    [
        ("metal", units.Ang / (1000 * units.fs)),
        ("real", units.Ang / units.fs),
        ("electron", units.Bohr / (1.03275 * units.fs)),
        ("si", units.m / units.second),
    ],
)
def test_velocities_are_in_the_units_of_the_style(tmp_path: Path, style: str, unit: float) -> None:
    text = (
        f"ITEM: UNITS\n{style}\nITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\n"
        "ITEM: BOX BOUNDS pp pp pp\n0 20\n0 20\n0 20\n"
        "ITEM: ATOMS id element x y z vx vy vz\n1 H 1 2 3 0.5 -0.25 2\n"
    )
    (atoms,) = read(tmp_path / "a.lammpstrj", text)
    np.testing.assert_allclose(
        atoms.get_velocities()[0], np.array([0.5, -0.25, 2.0]) * unit, rtol=1e-6
    )


def test_units_without_a_meaning(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match="LAMMPS's units 'lj'"):
        read(tmp_path / "a.lammpstrj", f"ITEM: UNITS\nlj\n{TYPES}", elements=["H", "C"])


# Data files


def data(path: Path, masses: str = "", first: str = "LAMMPS data file") -> str:
    ase.io.write(path, Atoms(molecule("CO"), cell=[9, 9, 9], pbc=True), format="lammps-data")
    lines = path.read_text().splitlines()[1:]
    at = lines.index("Atoms # atomic") if "Atoms # atomic" in lines else lines.index("Atoms")
    return "\n".join([first, *lines[:at], *masses.splitlines(), "", *lines[at:], ""])


def test_data_files_ask_for_elements(tmp_path: Path) -> None:
    path = tmp_path / "a.data"
    text = data(path)
    with pytest.raises(StructureFileError, match=r"atom types 1, 2 .*elements=\[C,H\]"):
        read(path, text)
    (atoms,) = read(path, text, elements=["C", "O"])  # ASE numbers the types by the alphabet
    assert sorted(atoms.symbols) == ["C", "O"]


@pytest.mark.parametrize(
    "masses", ["Masses\n\n1 12.011\n2 15.9994", "Atom Type Labels\n\n1 C\n2 O_w"]
)
def test_data_files_with_masses_or_labels(tmp_path: Path, masses: str) -> None:
    path = tmp_path / "a.lmp"
    (atoms,) = read(path, data(path, masses))
    assert sorted(atoms.symbols) == ["C", "O"]
    assert atoms.get_distance(0, 1) == pytest.approx(molecule("CO").get_distance(0, 1), abs=1e-6)


def test_data_files_of_other_masses_units_or_several_structures(tmp_path: Path) -> None:
    path = tmp_path / "a.lmp"
    with pytest.raises(StructureFileError, match=r"14\.5 is the mass of no element"):
        read(path, data(path, "Masses\n\n1 14.5\n2 15.9994"))
    text = data(path, "Masses\n\n1 12.011\n2 15.9994")
    with pytest.raises(StructureFileError, match="more than one structure"):
        read(path, text + text)
    for wrong in ("1 atoms", "3 atoms"):
        with pytest.raises(StructureFileError, match=f"expected {wrong}, .* got 2 lines of atoms"):
            read(path, text.replace("2 atoms", wrong))
    (atoms,) = read(path, text.replace("LAMMPS data file", "written, units = electron", 1))
    assert np.allclose(atoms.cell.lengths(), 9 * 0.529177)
