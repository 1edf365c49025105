"""No structure of a file is passed over: all are read, or an error says where the next begins."""

import warnings
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io.formats import ioformats

from molnet.graph.frames import ReadingOptions, StructureFileError, read_frames

READ_ALL = {
    "cif",
    "dmol-arc",
    "extxyz",
    "gen",
    "gromacs",
    "gromos",
    "mol",
    "proteindatabank",
    "res",
}
READ_ALL |= {"runnerdata", "sdf", "vasp", "vasp-xdatcar", "xyz"}
"""Formats of which every structure of a joined file is read."""

NOT_TEXT = {"json", "xtd"}
"""Files of which one is not what ``cat`` makes of two: JSON, and one of a pair of files."""


def read(path: Path, **options: object) -> list[Atoms]:
    return list(read_frames(path, ReadingOptions.of(**options)))  # type: ignore[arg-type]


def structure(periodic: bool, seed: int) -> Atoms:
    """Different elements and atoms for each seed."""
    if periodic:
        atoms = bulk(["NaCl", "MgO"][seed], "rocksalt", a=5.6, cubic=True)
    else:
        atoms = molecule(["CH3OH", "H2O"][seed])
        atoms.positions += 5
    atoms.positions += np.random.default_rng(seed).normal(scale=0.05, size=(len(atoms), 3))
    return atoms


def texts(tmp_path: Path, format: str, periodic: bool) -> list[str]:
    """Two structures as ASE writes them; the test is passed over where it cannot."""
    written = []
    for seed in (0, 1):
        path = tmp_path / f"written{seed}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ase.io.write(path, structure(periodic, seed), format=format)
                ase.io.read(path, format=format)
        except Exception as error:  # noqa: BLE001
            pytest.skip(f"ASE cannot write and read this one: {error}")
        written.append(path.read_text())
    return written


@pytest.mark.parametrize("periodic", [False, True], ids=["molecule", "crystal"])
@pytest.mark.parametrize(
    "format",
    sorted(
        name
        for name, entry in ioformats.items()
        if entry.can_read
        and entry.can_write
        and name not in NOT_TEXT
        and entry.acceptsfd
        and (not entry.isbinary or name == "cif")
    ),
)
def test_two_files_joined(tmp_path: Path, format: str, periodic: bool) -> None:
    first, second = texts(tmp_path, format, periodic)
    elements = ["Cl", "Na"] if format == "lammps-data" else None
    path = tmp_path / "joined"
    path.write_text(first)
    (whole,) = read(path, format=format, elements=elements)
    assert whole.symbols.formula.count() == structure(periodic, 0).symbols.formula.count()
    path.write_text(first + second)
    try:
        frames = read(path, format=format, elements=elements)
    except StructureFileError:
        assert format not in READ_ALL
    else:
        assert format in READ_ALL
        for seed, atoms in enumerate(frames):
            expected = structure(periodic, seed).symbols.formula.count()
            assert atoms.symbols.formula.count() == expected


PWSCF = """&system
 ibrav=0, nat=2, ntyp=1
/
ATOMIC_SPECIES
Si 28.0 Si.upf
ATOMIC_POSITIONS angstrom
Si 0 0 0
Si 1.36 1.36 1.36
CELL_PARAMETERS angstrom
 0 2.7 2.7
 2.7 0 2.7
 2.7 2.7 0
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("coord", "$coord\n0 0 0 o\n0 1.5 -1 h\n0 -1.5 -1 h\n$end\n"),
        ("a.xsf", "ATOMS\n8 0 0 0\n1 0 0 1\n"),
        ("a.xsf", "CRYSTAL\nPRIMVEC\n4 0 0\n0 4 0\n0 0 4\nPRIMCOORD\n2 1\n11 0 0 0\n17 2 2 2\n"),
        (
            "a.gjf",
            "%chk=a\n#P PBE/def2SVP\n\nt\n\n0 1\n"
            "O 0.0 0.0 0.1\nH 0.0 0.7 -0.4\nH 0.0 -0.7 -0.4\n\n",
        ),
        ("geometry.in", "# made by hand\n# twice\natom 0 0 0.1 O\natom 0 0.7 -0.4 H\n"),
        ("POSCAR.pwi", PWSCF),
        ("a.car", "!BIOSYM archive 3\nPBC=OFF\n\n!DATE\nO1 0 0 0.1 XXXX 1 xx O 0.0\nend\nend\n"),
    ],
)
def test_formats_of_one_structure(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert len(read(tmp_path / name)) == 1
    separator = "--Link1--\n" if name == "a.gjf" else ""
    (tmp_path / name).write_text(text + separator + text)
    with pytest.raises(StructureFileError, match=r"more than one structure.*about line"):
        read(tmp_path / name)


def test_joined_trajectories(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.traj", [molecule("H2O")] * 2)
    assert len(read(tmp_path / "a.traj")) == 2
    (tmp_path / "b.traj").write_bytes(2 * (tmp_path / "a.traj").read_bytes())
    with pytest.raises(StructureFileError, match=r"joined.*another begins at byte"):
        read(tmp_path / "b.traj")


# VASP

POSCAR = """water
1.0
8.0 0 0
0 8.0 0
0 0 8.0
O H
1 2
Cartesian
0.0 0.0 0.1173
0.0 0.7572 -0.4692
0.0 -0.7572 -0.4692
"""
VELOCITIES = "\n 0.1 0.2 0.3\n 0.1 0.2 0.3\n 0.1 0.2 0.3\n"
PREDICTOR = "\n 1\n 0.5\n 0.0 0.0 0.0\n 0.1 0.2 0.3\n 0.1 0.2 0.3\n 0.1 0.2 0.3\n"
LATTICE = "Lattice velocities and vectors\n 1\n" + " 0 0 0\n" * 3 + " 8 0 0\n 0 8 0\n 0 0 8\n"
DENSITY = "\n 2 2 2\n 0.1 0.2 0.3 0.4 0.5\n 0.1 0.2 0.3\naugmentation occupancies 1 2\n 0.1 0.2\n"


@pytest.mark.parametrize(
    "more", ["", "\n\n", VELOCITIES, VELOCITIES + PREDICTOR, LATTICE + VELOCITIES, DENSITY]
)
def test_what_belongs_to_a_poscar(tmp_path: Path, more: str) -> None:
    path = tmp_path / "CONTCAR"
    path.write_text(POSCAR + more)
    assert len(read(path)) == 1
    path.write_text(POSCAR + more + POSCAR.replace("0.75", "0.85") + more + POSCAR)
    frames = read(path)
    assert [round(atoms.positions[1, 1], 4) for atoms in frames] == [0.7572, 0.8572, 0.7572]
    path.write_text(POSCAR.replace("water", "") * 2)
    assert len(read(path)) == 2


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("rubbish\n", 12),
        ("0.0 0.0 3.0\n", 12),  # more positions than are counted
        ("0.0 0.0 3.0\n" + VELOCITIES, 12),
        (POSCAR[:-30], 12),
        (POSCAR[:-21], 12),
        (VELOCITIES + "rubbish 1 2\n", 16),
    ],
)
def test_the_rest_of_a_poscar_is_no_structure(tmp_path: Path, more: str, line: int) -> None:
    (tmp_path / "POSCAR").write_text(POSCAR + more)
    with pytest.raises(StructureFileError, match=rf"POSCAR, frame 1, line {line}: .*would be lost"):
        read(tmp_path / "POSCAR")


def test_elements_of_a_poscar(tmp_path: Path) -> None:
    path = tmp_path / "POSCAR"
    old = POSCAR.replace("O H\n", "")
    for title in ("water", "H2O in a box", "O H and more", "O"):
        path.write_text(old.replace("water", title))
        with pytest.raises(
            StructureFileError, match=r"only 2 types \(1, 2 atoms\).*elements=\[C,H\]"
        ):
            read(path)
        assert str(read(path, elements=["O", "H"])[0].symbols) == "OH2"
    path.write_text(old.replace("water", "O H"))
    assert str(read(path)[0].symbols) == "OH2"
    path.write_text(POSCAR.replace("O H", "O_h H/6a2f546d"))
    assert str(read(path)[0].symbols) == "OH2"
    path.write_text(POSCAR.replace("O H", "O H C"))
    with pytest.raises(StructureFileError, match="as many elements as counts"):
        read(path)


# DFTB+, SHELX


def test_gen_files(tmp_path: Path) -> None:
    path = tmp_path / "a.gen"
    text = "2 C\nO H\n1 1 0 0 0\n2 2 0 0 {}\n"
    path.write_text("# two\n" + text.format(1.0) + "\n" + text.format(1.1))
    assert [atoms.positions[1, 2] for atoms in read(path)] == [1.0, 1.1]
    for rest in ("rubbish\n", "2 C\nO H\n1 1 0 0 0\n"):
        path.write_text(text.format(1.0) + rest)
        with pytest.raises(
            StructureFileError, match=r"a\.gen, frame 1, line 5: expected a structure"
        ):
            read(path)


RES = """TITL seed-1 0.1 64.0 -123.5 0 0 2 (P1) n - 1
CELL 1.54 4 4 4 90 90 90
LATT -1
SFAC Na Cl
Na 1 0.0 0.0 0.0 1.0
Cl1 2 0.5 0.5 0.5 1.0
END
"""


def test_res_files(tmp_path: Path) -> None:
    path = tmp_path / "a.res"
    path.write_text(RES + RES.replace("-123.5", "-124.5").replace("SFAC Na Cl", "SFAC NA BR"))
    first, second = read(path)
    assert (str(first.symbols), str(second.symbols)) == ("NaCl", "NaBr")
    energies = [atoms.calc.results["energy"] for atoms in (first, second)]
    assert energies == [-123.5, -124.5]


def test_res_files_at_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.res"
    for text, message in (
        (RES[:-5], "does not end with END"),
        (RES.replace("0.5 0.5 0.5", "0.5 0.x5 0.5"), "line 6: .*expected to be an atom"),
    ):
        path.write_text(text)
        with pytest.raises(StructureFileError, match=message):
            read(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LATT -1", "LATT 1"),
        ("LATT -1", "LATT -1\nSYMM -X, -Y, -Z"),
        ("0.5 0.5 0.5 1.0", "0.5 0.5 0.5 10.5"),
        ("Cl1", "PART 1\nCl1"),
    ],
)
def test_symmetry_and_disorder_in_res_files(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "a.res").write_text(RES.replace(old, new))
    with pytest.raises(
        StructureFileError, match=r"a\.res, frame 0, line \d: .*Convert the file to CIF"
    ):
        read(tmp_path / "a.res")
