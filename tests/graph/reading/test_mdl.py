"""SD files and molfiles: every record, with charges, data items and isotopes."""

from pathlib import Path

import pytest
from ase import Atoms

from molnet.graph.frames import ReadingOptions, StructureFileError, read_frames


def read(path: Path, text: str) -> list[Atoms]:
    path.write_text(text)
    return list(read_frames(path, ReadingOptions()))


def row(symbol: str, x: float, charge: int = 0) -> str:
    return f"{x:10.4f}{0.0:10.4f}{0.1:10.4f} {symbol:3} 0{charge:3d}  0  0  0\n"


def table(
    rows: str, more: str = "", title: str = "name", flags: str = "  molnet  0101260000"
) -> str:
    atoms = rows.count("\n")
    counts = f"{atoms:3d}  0  0  0  0  0  0  0  0  0999 V2000\n"
    return f"{title}\n{flags}\n\n{counts}{rows}{more}M  END\n"


HF = table(row("H", 0.0) + row("F", 0.92))
WATER = table(row("O", 0.0) + row("H", 0.96) + row("H", -0.96), title="water")
V3000 = """ammonium
  molnet  01012600003D

  0  0  0     0  0            999 V3000
M  V30 BEGIN CTAB
M  V30 COUNTS 5 4 0 0 0
M  V30 BEGIN ATOM
M  V30 1 N 0 0 0 0 CHG=1
M  V30 2 H 1.0 0 -
M  V30 0 0
M  V30 3 H -1.0 0 0 0
M  V30 4 H 0 1.0 0 0
M  V30 5 H 0 -1.0 0 0
M  V30 END ATOM
M  V30 END CTAB
M  END
"""


@pytest.mark.parametrize("between", ["$$$$\n", "", "\n> <energy>\n-3.5\n\n$$$$\n"])
@pytest.mark.parametrize("suffix", ["sdf", "mol"])
def test_every_record_is_read(tmp_path: Path, between: str, suffix: str) -> None:
    frames = read(tmp_path / f"a.{suffix}", HF + between + WATER + between + V3000 + between)
    assert [str(atoms.symbols) for atoms in frames] == ["HF", "OH2", "NH4"]
    assert [atoms.info["name"] for atoms in frames] == ["name", "water", "ammonium"]
    assert [atoms.info["charge"] for atoms in frames] == [0, 0, 1]
    assert [atoms.info.get("energy") for atoms in frames] == [
        -3.5 if "energy" in between else None
    ] * 3
    assert frames[2].positions[1].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("rows", "more", "charge"),
    [
        (row("N", 0.0, 3) + row("O", 1.2), "", 1),
        (row("N", 0.0, 3) + row("O", 1.2, 5), "", 0),
        (row("N", 0.0, 1) + row("O", 1.2, 7), "", 0),
        (row("N", 0.0, 4) + row("O", 1.2), "", 0),  # a radical
        (row("N", 0.0) + row("O", 1.2), "M  CHG  2   1   1   2  -2\n", -1),
        (row("N", 0.0) + row("O", 1.2), "M  CHG  1   1   1\nM  CHG  1   2   1\n", 2),
        (row("N", 0.0, 3) + row("O", 1.2, 3), "M  CHG  1   1  -1\n", -1),  # instead of the rows'
    ],
)
def test_formal_charges(tmp_path: Path, rows: str, more: str, charge: int) -> None:
    (atoms,) = read(tmp_path / "a.mol", table(rows, more))
    assert atoms.info["charge"] == charge


def test_a_charge_among_the_data_items(tmp_path: Path) -> None:
    (atoms,) = read(tmp_path / "a.sdf", HF + "> <charge>\n1\n\n$$$$\n")
    assert atoms.info["charge"] == 1


@pytest.mark.parametrize("bond", ["  1  3  1  0\n", "1 3 1 0\n", "1 3\n"])
def test_bonds_in_fixed_and_free_columns(tmp_path: Path, bond: str) -> None:
    text = WATER.replace("  3  0  0", "  3  1  0").replace("M  END", bond + "M  END")
    assert len(read(tmp_path / "a.mol", text)[0]) == 3


def test_deuterium_and_free_columns(tmp_path: Path) -> None:
    text = HF.replace(row("H", 0.0), "0.0 0.0 0.0 D 0 0\n")
    (atoms,) = read(tmp_path / "a.mol", text)
    assert str(atoms.symbols) == "HF"
    assert atoms.get_masses()[0] == pytest.approx(2.0141, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HF + "$$$$\n" + WATER[:120], r"frame 1, line 9: .*3 atoms and 0 bonds"),
        (HF + "rubbish\n", "got 'rubbish'"),
        (HF + "$$$$\nrubbish\n", "frame 1, line 9: .*it has 1 lines only"),
        (table(row("R#", 0.0)), "atom 1, .*'R#' is no element"),
        (table(row("*", 0.0)), "atom 1"),
        (table(row("H", 0.0).replace("0.1000", "0.0000"), flags=" " * 20 + "2D"), "drawing"),
        (WATER.replace("  3  0  0", "  2  0  0"), "2 atoms are said, but another follows"),
        (WATER.replace("  3  0  0", "  2  1  0"), "expected a bond between two of 2 atoms"),
        (WATER.replace("  3  0  0", "  3  1  0"), "expected a bond between two of 3 atoms"),
        (table(row("H", 0.0), "M  CHG  1   2   1\n"), "expected charges of the 1 atoms"),
        (V3000.replace("M  END\n", ""), "without atoms or without M  END"),
    ],
)
def test_records_at_fault(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StructureFileError, match=rf"a\.sdf, {message}|a\.sdf.*{message}"):
        read(tmp_path / "a.sdf", text)
