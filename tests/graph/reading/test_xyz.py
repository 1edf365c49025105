"""XYZ files of all spellings: read where they can be understood, refused by line where not."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import voigt_6_to_full_3x3_stress

from molnet.graph.frames import (
    ReadingOptions,
    StructureFileError,
    check_ending,
    count_frames,
    frame_ranges,
    read_frames,
)

CELL = "9.0 0.0 0.0 0.0 8.0 0.0 1.0 0.0 7.0"
WATER = "O 0.0 0.0 0.1173\nH 0.0 0.7572 -0.4692\nH 0.0 -0.7572 -0.4692\n"


def read(path: Path, text: str | bytes, **options: object) -> list[Atoms]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_frames(path, ReadingOptions.of(**options)))  # type: ignore[arg-type]


def water(comment: str = "water", rows: str = WATER) -> str:
    return f"3\n{comment}\n{rows}"


# Encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = water("na\u00efve \u00b5=1.5").encode(encoding) * (1 if encoding == "utf-16" else 2)
    frames = read(tmp_path / "a.xyz", text)
    assert [str(atoms.symbols) for atoms in frames] == ["OH2"] * len(frames)
    assert frames[0].info["\u00b5"] == 1.5
    assert count_frames(tmp_path / "a.xyz") == len(frames)
    check_ending(tmp_path / "a.xyz")


def test_an_unended_last_line_is_found_in_every_encoding(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "a.xyz").write_bytes(water().rstrip("\n").encode(encoding))
        with pytest.raises(StructureFileError, match="does not end with a line end"):
            check_ending(tmp_path / "a.xyz")


@pytest.mark.parametrize(
    ("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_compressed_files_with_comments_of_other_formats(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    (atoms,) = read(
        tmp_path / f"OUTCAR.xyz.{suffix}", pack(b"\xef\xbb\xbf" + water("SLAB").encode())
    )
    assert str(atoms.symbols) == "OH2"


# Parts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_parts_hold_all_frames(tmp_path: Path, encoding: str, end: str) -> None:
    cell = "VEC1 5 0 0\nVEC2 0 5 0\nVEC3 0 0 5\n"
    text = "".join(
        water("na\u00efve", WATER.replace("0.1173", f"{i}.5"))
        + (cell if i % 3 == 0 else "")
        + "\n" * (i % 4)
        for i in range(20)
    )
    path = tmp_path / "a.xyz"
    path.write_bytes(text.replace("\n", end).encode(encoding))
    for size in (1, 200, 500, 1 << 20):
        parts = frame_ranges(path, size)
        assert parts is not None
        frames = [atoms for part in parts for atoms in read_frames(path, part=part)]
        assert [atoms.positions[0, 2] for atoms in frames] == [i + 0.5 for i in range(20)]
        assert [atoms.pbc.all() for atoms in frames] == [i % 3 == 0 for i in range(20)]
        assert [part.first for part in parts] == [*np.cumsum([0, *(p.count for p in parts[:-1])])]
    assert len(frame_ranges(path, 1) or []) == 20
    assert len(frame_ranges(path, 1 << 20) or []) == 1


def test_faults_in_parts_are_named_as_in_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    text = water() * 5 + "\n" + water(rows=WATER.replace("0.7572", "x")) + water()
    path.write_text(text)
    parts = frame_ranges(path, 1)
    assert parts is not None
    with pytest.raises(StructureFileError, match=r"frame 5: line 30: .*'x'") as whole:
        list(read_frames(path))
    with pytest.raises(StructureFileError) as of_part:
        list(read_frames(path, part=parts[5]))
    assert str(of_part.value) == str(whole.value)
    path.write_text(text + "4\nna\u00efve\n" + WATER)
    with pytest.raises(StructureFileError, match="frame 7: expected 4 atoms, but the file ends"):
        frame_ranges(path, 1)
    path.write_text(text + "na\u00efve\n")
    with pytest.raises(StructureFileError, match="got 'na\u00efve' in line 37"):
        frame_ranges(path, 1)


def test_files_that_must_be_read_from_their_beginning_have_no_parts(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(water().encode("utf-16"))
    (tmp_path / "b.xyz.gz").write_bytes(gzip.compress(water().encode()))
    ase.io.write(tmp_path / "c.traj", Atoms("H"))
    assert [frame_ranges(path, 1) for path in sorted(tmp_path.iterdir())] == [None, None, None]


# Keys


@pytest.mark.parametrize(
    "comment",
    [
        f'lattice="{CELL}" properties=species:S:1:pos:R:3 pbc="T T F"',
        f'LATTICE="{CELL}" PROPERTIES=Species:s:1:Pos:r:3 PBC="T T F"',
        f"Lattice = '{CELL}' Properties=symbols:S:1:positions:R:3 Pbc=[T, T, F]",
        f'Lattice={{{CELL}}} properties="element:S:1:pos:R:3" pbc="1 1 0"',
        f'lattice="{CELL}" pbc=TTF',
    ],
)
def test_keys_in_any_case(tmp_path: Path, comment: str) -> None:
    (atoms,) = read(tmp_path / "a.xyz", water(comment))
    assert atoms.cell.tolist() == [[9, 0, 0], [0, 8, 0], [1, 0, 7]]
    assert atoms.pbc.tolist() == [True, True, False]
    assert atoms.positions[0].tolist() == [0, 0, 0.1173]
    assert not atoms.info


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        (
            f'Lattice="{CELL}" lattice="5 0 0 0 5 0 0 0 5"',
            "Lattice=.* contradicts lattice=.*keep one",
        ),
        (f'Lattice="{CELL}" pbc="T T T" PBC="F F F"', "pbc='\"T T T\"' contradicts PBC"),
        ('Lattice="9.0 8.0 7.0"', "Lattice: expected nine numbers"),
        ('lattice="9 8 7 90 90 90"', "lattice: expected nine numbers"),
        ('Lattice="9 0 0 0 8 0 0 0 x"', "Lattice: expected nine numbers"),
        ("Lattice=[[9, 0, 0], [0, 8, 0], [0, 0, 7]]", "Lattice: expected nine numbers"),
        (f'Lattice="{CELL}" pbc="T T"', "pbc: expected three of T and F"),
        (f'Lattice="{CELL}" pbc=xyz', "pbc: expected three of T and F"),
        ('cell="9 0 0 0 8 0 0 0 7"', "has cell but no Lattice"),
        ('Box="9 8 7"', "has Box but no Lattice"),
        ("# CELL(abcABC): 9 8 7 90 90 90 Step: 0 positions{angstrom}", "i-PI"),
        ("Properties=species:S:1:pos:R", "expected name:type:columns"),
        ("Properties=species:S:1:force:R:3", "expected columns of elements .* and positions"),
        ("Properties=species:S:1:pos:R:3:Pos:R:3", "column 'pos' occurs twice"),
        ("stress=T", "stress: expected nine numbers .* or six .*, got T"),
        ("virial=[[1,0,0],[0,1,0],[0,0,1]]", "virial: expected nine numbers"),
        ("energy=-1.0 energy=-2.0", "energy='-1.0' contradicts energy='-2.0'"),
    ],
)
def test_headers_that_would_be_misread(tmp_path: Path, comment: str, message: str) -> None:
    with pytest.raises(StructureFileError, match=rf"a\.xyz, frame 1: .*{message}"):
        read(tmp_path / "a.xyz", water() + water(comment))


def test_what_stands_twice_with_one_value_is_read(tmp_path: Path) -> None:
    (atoms,) = read(tmp_path / "a.xyz", water(f'Lattice="{CELL}" lattice="{CELL}"'))
    assert atoms.pbc.all()
    (atoms,) = read(tmp_path / "a.xyz", water('cell="9 8 7" pbc="F F F"'))
    assert not atoms.pbc.any()  # said to be a molecule


@pytest.mark.parametrize("comment", ["\\", '""', "= a", "[] b=1"])
def test_comments_without_a_key_can_be_written_again(tmp_path: Path, comment: str) -> None:
    (atoms,) = read(tmp_path / "a.xyz", water(comment))
    assert "" not in atoms.info
    ase.io.write(tmp_path / "b.extxyz", atoms)
    assert len(ase.io.read(tmp_path / "b.extxyz")) == 3


def test_values_are_converted_as_ase_does(tmp_path: Path) -> None:
    atoms = Atoms("OH2", [[0, 0, 0.1], [0, 0.7, -0.4], [0, -0.7, -0.4]], cell=[9, 8, 7], pbc=True)
    atoms.info = {
        "text": 'a "quoted" word',
        "list": [1, 2, 3],
        "nested": {"a": [1.5]},
        "flag": True,
        "matrix": np.arange(9.0).reshape(3, 3),
        "uid": "0123",
    }
    ase.io.write(tmp_path / "a.extxyz", atoms)
    ours, theirs = next(read_frames(tmp_path / "a.extxyz")), ase.io.read(tmp_path / "a.extxyz")
    assert ours.info.keys() == theirs.info.keys() == atoms.info.keys()
    for key, value in theirs.info.items():
        assert np.array_equal(ours.info[key], value), key
    assert ours == theirs


@pytest.mark.parametrize("key", ["stress", "virial", "my_stress"])
def test_six_numbers_are_in_voigt_order(tmp_path: Path, key: str) -> None:
    (atoms,) = read(tmp_path / "a.xyz", water(f'Lattice="{CELL}" {key}="1 2 3 4 5 6"'))
    found = np.asarray(atoms.calc.results[key] if key == "stress" else atoms.info[key], float)
    full = voigt_6_to_full_3x3_stress(found) if found.shape == (6,) else found
    assert full.tolist() == [[1, 6, 5], [6, 2, 4], [5, 4, 3]]
    # what was read can be written for ASE's reader
    ase.io.write(tmp_path / "b.extxyz", atoms)
    assert len(ase.io.read(tmp_path / "b.extxyz")) == 3


def test_nine_numbers_are_a_matrix_as_ase_writes_it(tmp_path: Path) -> None:
    matrix = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]])
    text = " ".join(map(str, matrix.reshape(9)))
    (atoms,) = read(tmp_path / "a.xyz", water(f'Lattice="{CELL}" stress="{text}" virial="{text}"'))
    assert atoms.calc.results["stress"].tolist() == [1, 2, 3, 4, 5, 6]
    assert atoms.info["virial"].tolist() == matrix.tolist()
    crystal = Atoms("Cu", cell=[3, 3, 3], pbc=True)
    crystal.calc = SinglePointCalculator(crystal, stress=np.array([1.0, 2, 3, 4, 5, 6]))
    ase.io.write(tmp_path / "b.extxyz", crystal)
    (again,) = read_frames(tmp_path / "b.extxyz")
    assert again.calc.results["stress"].tolist() == [1, 2, 3, 4, 5, 6]


# Rows


@pytest.mark.parametrize(
    ("word", "symbol", "mass"),
    [
        ("O1", "O", 15.999),
        ("8", "O", 15.999),
        ("C_a", "C", 12.011),
        ("Fe2+", "Fe", 55.845),
        ("CL", "Cl", 35.45),
        ("HB1", "H", 1.008),
        ("D", "H", 2.01410177812),
        ("T", "H", 3.01604928199),
        ("d1", "H", 2.01410177812),
        ("Ca", "Ca", 40.078),
    ],
)
def test_words_for_elements(tmp_path: Path, word: str, symbol: str, mass: float) -> None:
    rows = f"C 0 0 0\n{word} 0 0 1.1\nC 0 1 0\n"
    (atoms,) = read(tmp_path / "a.xyz", water(rows=rows))
    assert atoms.symbols[1] == symbol
    assert atoms.get_masses().tolist() == pytest.approx([12.011, mass, 12.011])


@pytest.mark.parametrize("word", ["CA", "ca", "CD", "HO", "HG1", "NA", "X", "Qq", "DU", "119", "0"])
def test_words_that_may_be_two_elements_or_none(tmp_path: Path, word: str) -> None:
    rows = f"C 0 0 0\n{word} 0 0 1.1\nC 0 1 0\n"
    with pytest.raises(StructureFileError, match=rf"a\.xyz, frame 1: line 9: '?{word}'? "):
        read(tmp_path / "a.xyz", water() + water(rows=rows))


def test_the_user_says_what_a_word_means(tmp_path: Path) -> None:
    rows = "CA 0 0 0\nC 0 0 1.5\nCA 0 1.5 0\n"
    (atoms,) = read(tmp_path / "a.xyz", water(rows=rows), elements={"CA": "Ca"})
    assert str(atoms.symbols) == "CaCCa"


@pytest.mark.parametrize("comment", ["water", "Atoms. Timestep: 0"])
def test_types_are_no_atomic_numbers(tmp_path: Path, comment: str) -> None:
    rows = "1 0 0 0\n2 0 0 1\n2 0 1 0\n"
    with pytest.raises(StructureFileError, match=r"named 1, 2\. .* atom types.*elements=\[C,H\]"):
        read(tmp_path / "a.xyz", water(comment, rows))
    (atoms,) = read(tmp_path / "a.xyz", water(comment, rows), elements=["O", "H"])
    assert str(atoms.symbols) == "OH2"
    numbers = "8 0 0 0\n1 0 0 1\n1 0 1 0\n"
    assert str(read(tmp_path / "a.xyz", water(rows=numbers))[0].symbols) == "OH2"


@pytest.mark.parametrize("word", ["1.0D-03", "1.0d-03", "0.1D-2", "1.e-3"])
def test_exponents(tmp_path: Path, word: str) -> None:
    rows = f"C {word} 0 0\nC 0 0 1.1\nC 0 1 0\n"
    (atoms,) = read(tmp_path / "a.xyz", water("energy=-1.5D+01", rows))
    assert atoms.positions[0, 0] == 1e-3
    assert atoms.calc.results["energy"] == -15.0


@pytest.mark.parametrize("word", ["0,5", "1_0", "zero", "0x1", "1e", "\u0661", "--1", "1.0.0"])
def test_what_is_no_number(tmp_path: Path, word: str) -> None:
    rows = f"C 0 0 0\nC 0 {word} 1.1\nC 0 1 0\n"
    with pytest.raises(StructureFileError, match=r"frame 0: line 4: expected a number, got"):
        read(tmp_path / "a.xyz", water(rows=rows))


def test_rows_that_are_short_or_blank(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match="line 4: expected 4 columns, got 'C 0 0'"):
        read(tmp_path / "a.xyz", water(rows="C 0 0 0\nC 0 0\nC 0 1 0\n"))
    with pytest.raises(StructureFileError, match="line 4: expected an atom, got ''"):
        read(tmp_path / "a.xyz", water(rows="C 0 0 0\n\nC 0 1 0\n"))


def test_a_cell_in_lines_and_in_the_comment(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match="the cell is given twice"):
        read(tmp_path / "a.xyz", water(f'Lattice="{CELL}"') + "VEC1 9 0 0\n")
