"""PDB files: every model with its cell, elements that are told, and one ordered structure."""

from pathlib import Path

import pytest
from ase import Atoms

from molnet.graph import drop_placeholder_cell
from molnet.graph.frames import ReadingOptions, StructureFileError, read_frames

CRYST = "CRYST1   10.000   11.000   12.000  90.00  90.00  90.00 P 1           1\n"


def atom(
    name: str,
    x: float,
    element: str = "",
    occupancy: float = 1.0,
    alternative: str = " ",
    residue: str = "LIG",
    number: int = 1,
) -> str:
    return (
        f"HETATM{1:5d} {name:4}{alternative}{residue:3} A{number:4d}    "
        f"{x:8.3f}{0.0:8.3f}{0.0:8.3f}{occupancy:6.2f}{0.0:6.2f}          {element:>2}\n"
    )


def read(path: Path, text: str, **options: object) -> list[Atoms]:
    path.write_text(text)
    return list(read_frames(path, ReadingOptions.of(**options)))  # type: ignore[arg-type]


HF = atom(" H1 ", 0.0, "H") + atom(" F1 ", 0.92, "F")
LONG = atom(" H1 ", 0.0, "H") + atom(" F1 ", 1.02, "F")
WATER = atom(" O  ", 0.0, "O") + atom(" H1 ", 0.96, "H")


def test_a_cell_before_the_models_holds_for_all(tmp_path: Path) -> None:
    text = (
        CRYST + "".join(f"MODEL {i}\n{part}ENDMDL\n" for i, part in enumerate((HF, LONG))) + "END\n"
    )
    first, second = read(tmp_path / "a.pdb", text)
    assert first.cell.lengths().tolist() == second.cell.lengths().tolist() == [10, 11, 12]
    assert second.pbc.all()
    assert second.positions[1, 0] == 1.02


@pytest.mark.parametrize("end", ["END\n", "ENDMDL\n", "TITLE     next\n", CRYST])
def test_nothing_is_lost_behind_an_end(tmp_path: Path, end: str) -> None:
    first, second = read(tmp_path / "a.pdb", CRYST + HF + end + LONG)
    assert (first.positions[1, 0], second.positions[1, 0]) == (0.92, 1.02)
    assert second.pbc.all()  # frames of the same atoms share the cell


def test_another_molecule_behind_an_end_has_no_cell(tmp_path: Path) -> None:
    first, second = read(tmp_path / "a.pdb", CRYST + HF + "END\n" + WATER + "END\n")
    assert first.pbc.all()
    assert not second.pbc.any()


@pytest.mark.parametrize(
    ("name", "residue", "symbol"),
    [
        (" CA ", "LIG", "C"),  # right-justified: the second column is the element's last
        (" HO ", "LIG", "H"),
        ("CL1 ", "LIG", "Cl"),
        ("C12 ", "LIG", "C"),
        ("CA  ", "GLY", "C"),
        ("HG11", "VAL", "H"),
        ("1HB ", "ALA", "H"),
    ],
)
def test_elements_from_names(tmp_path: Path, name: str, residue: str, symbol: str) -> None:
    (atoms,) = read(tmp_path / "a.pdb", atom(name, 0.0, residue=residue))
    assert str(atoms.symbols) == symbol


@pytest.mark.parametrize("name", ["CA  ", "HG  ", "NA  ", "EP  "])
def test_names_that_do_not_tell_the_element(tmp_path: Path, name: str) -> None:
    with pytest.raises(StructureFileError, match=rf"frame 0: .*{name.strip()}.*elements="):
        read(tmp_path / "a.pdb", atom(name, 0.0))
    (atoms,) = read(tmp_path / "a.pdb", atom(name, 0.0), elements={name.strip(): "Ne"})
    assert str(atoms.symbols) == "Ne"


def test_the_column_of_the_element_comes_first(tmp_path: Path) -> None:
    (atoms,) = read(tmp_path / "a.pdb", atom(" CA ", 0.0, "CA") + atom(" D  ", 3.0, "D"))
    assert str(atoms.symbols) == "CaH"
    assert atoms.get_masses()[1] == pytest.approx(2.0141, abs=1e-4)


ALTERNATIVES = (
    atom(" N  ", 0.0, "N")
    + atom(" CB ", 1.4, "C", 0.4, "A")
    + atom(" CB ", 1.5, "C", 0.6, "B")
    + atom(" OG ", 2.7, "O", 0.4, "A")
    + atom(" OG ", 2.9, "O", 0.6, "B")
    + atom(" O  ", 9.0, "O", 0.3, " ", "HOH", 2)
    + atom(" O  ", 15.0, "O", 0.7, " ", "HOH", 3)
)


def test_alternatives_are_refused_or_chosen(tmp_path: Path) -> None:
    with pytest.raises(
        StructureFileError,
        match=r"frame 0 is disordered: CB of LIG 1 \(A, 0.4\).*disorder=majority",
    ):
        read(tmp_path / "a.pdb", ALTERNATIVES)
    (atoms,) = read(tmp_path / "a.pdb", ALTERNATIVES, disorder="majority")
    assert str(atoms.symbols) == "NCO2"
    assert atoms.positions[:, 0].tolist() == [0.0, 1.5, 2.9, 15.0]


def test_alternatives_of_equal_occupancy_are_chosen_by_name(tmp_path: Path) -> None:
    text = atom(" CB ", 1.5, "C", 0.5, "B") + atom(" CB ", 1.4, "C", 0.5, "A")
    (atoms,) = read(tmp_path / "a.pdb", text, disorder="majority")
    assert atoms.positions[:, 0].tolist() == [1.4]


@pytest.mark.parametrize("values", [(0.0, 0.0), (-0.4, 0.4), (0.5, 7.0)])
def test_columns_that_hold_no_occupancies(tmp_path: Path, values: tuple[float, float]) -> None:
    text = atom(" H1 ", 0.0, "H", values[0]) + atom(" F1 ", 0.92, "F", values[1])
    assert len(read(tmp_path / "a.pdb", text)[0]) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HF + LONG[:130], "up to column 54"),
        (HF.replace("HETATM", "HETATL"), "expected ATOM or HETATM before coordinates"),
        ("MODEL 1\n" + HF, "has no ENDMDL: the file was cut short"),
    ],
)
def test_files_at_fault(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StructureFileError, match=rf"a\.pdb, frame 0.*{message}"):
        read(tmp_path / "a.pdb", text)


@pytest.mark.parametrize(
    "cell",
    [
        "    0.000    0.000    0.000   0.00   0.00   0.00",
        "    1.000    1.000    1.000" + 3 * "   0.00",
        "",
    ],
)
def test_a_record_of_zeros_or_blanks_is_no_cell(tmp_path: Path, cell: str) -> None:
    (atoms,) = read(tmp_path / "a.pdb", f"CRYST1{cell:48} P 1           1\n{HF}END\n")
    assert not atoms.cell.any()
    assert "no cell" in str(drop_placeholder_cell(atoms, tmp_path / "a.pdb"))
    assert not atoms.pbc.any()


@pytest.mark.parametrize(
    ("column", "value"),
    [("  10.000", "   0.000"), ("  11.000", "  -1.000"), ("  90.00", " 190.00")],
)
def test_cells_that_are_none(tmp_path: Path, column: str, value: str) -> None:
    with pytest.raises(StructureFileError, match=r"a\.pdb, frame 0.*the cell: expected lengths"):
        read(tmp_path / "a.pdb", CRYST.replace(column, value, 1) + HF)
