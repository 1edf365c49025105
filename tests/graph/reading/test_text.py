"""Encodings and numbers in text files of many formats."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from molnet.graph.frames import ReadingOptions, StructureFileError, read_frames
from molnet.graph.reading.text import read_text, with_plain_exponents

CIF = """data_mol\u00e9cule
_cell_length_a 8
_cell_length_b 8
_cell_length_c 8
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
O1 0 0 0.25
H1 0 0.125 0.25
"""
FILES = {
    "geometry.in": "atom 0.0 0.0 2.0 O\natom 0.0 1.0 2.0 H\n# mol\u00e9cule\n",
    "coord": "$coord\n0.0 0.0 3.779452 o\n0.0 1.889726 3.779452 h\n$end\n# mol\u00e9cule\n",
    "POSCAR": "mol\u00e9cule\n1.0\n8 0 0\n0 8 0\n0 0 8\nO H\n1 1\nDirect\n0 0 0.25\n0 0.125 0.25\n",
    "a.gen": "2 C\nO H\n1 1 0.0 0.0 2.0\n2 2 0.0 1.0 2.0\n# mol\u00e9cule\n",
    "a.xsf": "ATOMS\n8 0.0 0.0 2.0\n1 0.0 1.0 2.0\n# mol\u00e9cule\n",
    "a.xyz": "2\nmol\u00e9cule\nO 0.0 0.0 2.0\nH 0.0 1.0 2.0\n",
    "a.cif": CIF,
    "a.sdf": "mol\u00e9cule\n\n\n  2  0  0  0  0  0  0  0  0  0999 V2000\n"
    "    0.0000    0.0000    2.0000 O   0  0\n    0.0000    1.0000    2.0000 H   0  0\nM  END\n",
}


def read(path: Path) -> Atoms:
    (atoms,) = read_frames(path, ReadingOptions())
    return atoms


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("name", FILES)
def test_encodings(tmp_path: Path, name: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(FILES[name].encode(encoding))
    atoms = read(tmp_path / name)
    assert str(atoms.symbols) == "OH"
    assert np.allclose(atoms.positions, [[0, 0, 2], [0, 1, 2]], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("POSCAR", "0.125", "1.25D-01"),
        ("POSCAR", "1.0\n8", "1.0d0\n8"),
        ("coord", "1.889726", "0.1889726D+01"),
        ("a.gen", "1.0 2.0", "1.0D0 .2D1"),
        ("a.xyz", "1.0 2.0", "1.D0 2.0d+00"),
    ],
)
def test_exponents_of_fortran(tmp_path: Path, name: str, old: str, new: str) -> None:
    assert old in FILES[name]
    (tmp_path / name).write_text(FILES[name].replace(old, new))
    assert np.allclose(read(tmp_path / name).positions[1], [0, 1, 2], atol=1e-5)


def test_only_numbers_are_taken_for_numbers() -> None:
    words = "C1D2 1D2 5D 0.5D a1.0D2 1.0D2b D1 1.2.3D4"
    assert with_plain_exponents(words) == words
    assert with_plain_exponents("1.0D-03,-.5d2") == "1.0e-03,-.5e2"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("POSCAR", "0.125", "0,125", "line 10: expected a number, got '0,125', write a decimal"),
        ("a.gen", "1.0 2.0", "1,0 2.0", "line 4: expected a number, got '1,0', write a decimal"),
        ("a.xyz", "1.0 2.0", "1,0 2.0", "line 4: expected a number, got '1,0'. Write a decimal"),
        ("a.cif", "0.125", "0,125", "the site H1: expected a position, got '0 0,125 0.25'"),
        ("a.sdf", "1.0000", "1,0000", "atom 2, .*'1,0000'"),
        ("coord", "1.889726", "1,889726", "could not convert string to float: '1,889726'"),
    ],
)
def test_what_is_no_number_is_named(
    tmp_path: Path, name: str, old: str, new: str, message: str
) -> None:
    (tmp_path / name).write_text(FILES[name].replace(old, new))
    with pytest.raises(StructureFileError, match=rf"{name}.*{message}"):
        read(tmp_path / name)


def test_compressed_text(tmp_path: Path) -> None:
    packed = gzip.compress(FILES["POSCAR"].encode("utf-8-sig"))
    (tmp_path / "POSCAR.gz").write_bytes(packed)
    assert str(read(tmp_path / "POSCAR.gz").symbols) == "OH"
    (tmp_path / "POSCAR.gz").write_bytes(packed[:-10])
    with pytest.raises(StructureFileError, match="damaged or was cut short"):
        read_text(tmp_path / "POSCAR.gz")
