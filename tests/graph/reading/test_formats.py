"""Which format a file has: the user's word, the suffix, the content."""

from pathlib import Path

import pytest

from molnet.graph.frames import ReadingOptions, StructureFileError, read_frames
from molnet.graph.reading.formats import format_of

XYZ = "2\n{comment}\nO 0 0 0\nH 0 0 1\n"


def format_in(path: Path, text: str, format: str | None = None) -> str:
    path.write_text(text)
    return format_of(path, ReadingOptions(format))


@pytest.mark.parametrize(
    "name", ["OUTCAR.xyz", "CONFIG_1.xyz", "POSCAR.extxyz", "vasprun.xml.xyz", "HISTORY.XYZ"]
)
@pytest.mark.parametrize(
    "comment", ["SLAB", "MOLECULE", "CRYSTAL", "ATOMS", "GAMESS", "O   R   C   A", "$coord", "x"]
)
def test_xyz_whatever_its_name_and_comment(tmp_path: Path, name: str, comment: str) -> None:
    path = tmp_path / name
    assert format_in(path, XYZ.format(comment=comment)) == "extxyz"
    assert len(list(read_frames(path))) == 1


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("POSCAR.cif", "cif"),
        ("OUTCAR_1.pdb", "proteindatabank"),
        ("CONFIG.sdf", "sdf"),
        ("my.poscar", "vasp"),
        ("slab.vasp", "vasp"),
        ("POSCAR_1", "vasp"),
        ("CONTCAR", "vasp"),
        ("coord", "turbomole"),
        ("a.gen", "gen"),
        ("traj.lammpstrj.gz", "lammps-dump-text"),
        ("a.cell", "castep-cell"),
    ],
)
def test_suffixes_and_names(tmp_path: Path, name: str, format: str) -> None:
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(b"")
        assert format_of(path, ReadingOptions()) == format
    else:
        assert format_in(path, "GAMESS\nMOLECULE\n") == format


@pytest.mark.parametrize(
    ("text", "format"),
    [
        (XYZ.format(comment="GAMESS"), "extxyz"),
        (XYZ.format(comment="CRYSTAL").replace("O 0", "8 0").replace("H 0", "O1 0"), "extxyz"),
        ("ITEM: TIMESTEP\n0\n", "lammps-dump-text"),
        ("title\n\n2 atoms\n1 atom types\n", "lammps-data"),
        ("\n  x\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n", "sdf"),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a", "a.unknown", "OUTCAR.txt"])
def test_content_of_files_with_other_suffixes(
    tmp_path: Path, name: str, text: str, format: str
) -> None:
    if text.startswith("2\nCRYSTAL"):
        text = text.replace("8 0 0", "O 0 0")
    assert format_in(tmp_path / name, text) == format


def test_an_unknown_content_is_answered_with_the_formats(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=r"a\.txt.*format=NAME.*extxyz, cif, vasp"):
        format_in(tmp_path / "a.txt", "hello\nworld\n")


@pytest.mark.parametrize(
    ("given", "format"),
    [
        ("xyz", "extxyz"),
        ("extxyz", "extxyz"),
        ("POSCAR", "vasp"),
        ("pdb", "proteindatabank"),
        (".cif", "cif"),
        ("lammpstrj", "lammps-dump-text"),
        ("lammps-data", "lammps-data"),
    ],
)
def test_the_users_word(tmp_path: Path, given: str, format: str) -> None:
    assert format_in(tmp_path / "a.foo", "anything", given) == format


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("extxys", "extxyz"), ("vaps", "vasp"), ("lammps-dmp-text", "lammps-dump-text")],
)
def test_a_wrong_word_is_answered_with_the_nearest(
    tmp_path: Path, given: str, nearest: str
) -> None:
    with pytest.raises(
        StructureFileError, match=f"unknown format={given}. Did you mean '{nearest}'"
    ):
        format_in(tmp_path / "a.xyz", "anything", given)
