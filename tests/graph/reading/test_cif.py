"""CIF: ordered structures as ASE reads them, disorder refused or resolved in one way."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from molnet.graph.frames import ReadingOptions, StructureFileError, read_frames

CELL = """_cell_length_a 8.0
_cell_length_b 8.0
_cell_length_c 8.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
"""
COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")


def block(*rows: str, more: tuple[str, ...] = (), spacegroup: str = "P 1", name: str = "x") -> str:
    columns = "".join(f"_atom_site_{column}\n" for column in (*COLUMNS, *more))
    lines = "\n".join(rows)
    group = f"_symmetry_space_group_name_H-M '{spacegroup}'\n"
    return f"data_{name}\n{CELL}{group}loop_\n{columns}{lines}\n\n"


def read(path: Path, text: str, **options: object) -> list[Atoms]:
    path.write_text(text)
    return list(read_frames(path, ReadingOptions.of(**options)))  # type: ignore[arg-type]


OCCUPANCY = ("occupancy",)
GROUPS = ("occupancy", "disorder_assembly", "disorder_group")


def test_several_blocks_and_blocks_without_sites(tmp_path: Path) -> None:
    text = (
        "data_global\n_journal_year 2020\n\n"
        + block("Na1 Na 0 0 0", "Cl1 Cl .5 .5 .5")
        + block("K1 K 0 0 0", "Cl1 Cl .5 .5 .5", spacegroup="P -1", name="y")
    )
    first, second = read(tmp_path / "a.cif", text)
    assert str(first.symbols) == "NaCl"
    assert str(second.symbols) == "KCl"
    assert second.pbc.all()


def test_ordered_structures_are_those_of_ase(tmp_path: Path) -> None:
    text = block("Na1 Na+ 0 0 0 1.0", "Cl1 Cl- .5 .5 .5 1", more=OCCUPANCY, spacegroup="F m -3 m")
    (atoms,) = read(tmp_path / "a.cif", text)
    theirs = ase.io.read(tmp_path / "a.cif")
    assert len(atoms) == 8
    assert np.array_equal(atoms.numbers, theirs.numbers)
    assert np.allclose(atoms.positions, theirs.positions)


@pytest.mark.parametrize(
    ("kind", "label", "symbol"),
    [("CL", "x", "Cl"), ("FE3+", "x", "Fe"), ("CA", "x", "Ca"), ("D", "x", "H"), ("O2-", "x", "O")],
)
def test_types_are_elements_in_any_case(tmp_path: Path, kind: str, label: str, symbol: str) -> None:
    (atoms,) = read(tmp_path / "a.cif", block(f"{label} {kind} 0 0 0", "C1 C .5 .5 .5"))
    assert atoms.symbols[0] == symbol


def test_labels_are_elements_where_there_is_one_reading(tmp_path: Path) -> None:
    text = block("CL1 x 0 0 0", "O1W x .5 .5 .5").replace("_atom_site_type_symbol\n", "")
    text = text.replace(" x ", " ")
    (atoms,) = read(tmp_path / "a.cif", text)
    assert str(atoms.symbols) == "ClO"
    with pytest.raises(StructureFileError, match="'CA1' may be Ca"):
        read(tmp_path / "a.cif", text.replace("CL1", "CA1"))
    (atoms,) = read(tmp_path / "a.cif", text.replace("CL1", "CA1"), elements={"CA1": "C"})
    assert str(atoms.symbols) == "CO"


@pytest.mark.parametrize(
    ("rows", "more", "named", "symbols"),
    [
        # one place for two elements
        (("C1 C 0 0 0 .6", "N1 N 0 0 0 .4", "O1 O .5 .5 .5 1"), OCCUPANCY, "C1.*N1", "CO"),
        (("C1 C 0 0 0 .4", "N1 N 0 0 0 .6", "O1 O .5 .5 .5 1"), OCCUPANCY, "C1.*N1", "NO"),
        (("C1 C 0 0 0 .5", "N1 N 0 0 0 .5", "O1 O .5 .5 .5 1"), OCCUPANCY, "C1.*N1", "CO"),
        (("C1 C 0 0 0", "N1 N 1.0 0 0", "O1 O .5 .5 .5"), (), "C1.*N1", "CO"),
        # an atom that may be missing
        (("C1 C 0 0 0 .3", "O1 O .5 .5 .5 1"), OCCUPANCY, "C1", "O"),
        (("C1 C 0 0 0 .7", "O1 O .5 .5 .5 1"), OCCUPANCY, "C1", "CO"),
        # two places for one atom, also across the cell's face
        (("C1 C 0.02 0 0 .4", "C2 C .98 0 0 .6", "O1 O .5 .5 .5 1"), OCCUPANCY, "C1.*C2", "CO"),
        # groups: the more occupied one, whole
        (
            (
                *("C1 C 0 0 0 1 . .", "O1 O .15 0 0 .4 A 1", "O2 O 0 .15 0 .6 A 2"),
                *("H1 H .3 0 0 .4 A 1", "H2 H 0 .3 0 .6 A 2"),
            ),
            GROUPS,
            "O1 .O, group 1, 0.4.*O2",
            "COH",
        ),
        (("C1 C 0 0 0 1 . .", "N1 N .15 0 0 .5 . 1", "O2 O 0 .15 0 .5 . 2"), GROUPS, "N1", "CN"),
        # two assemblies are chosen apart from each other
        (
            (
                "N1 N 0 0 0 .4 A 1",
                "O1 O .05 0 0 .6 A 2",
                "F1 F .5 0 0 .6 B 1",
                "S1 S .55 0 0 .4 B 2",
            ),
            GROUPS,
            "N1.*S1",
            "OF",
        ),
    ],
)
def test_disorder_is_refused_or_the_majority_taken(
    tmp_path: Path, rows: tuple[str, ...], more: tuple[str, ...], named: str, symbols: str
) -> None:
    text = block(*rows, more=more)
    with pytest.raises(StructureFileError, match=rf"data_x.* is disordered: .*{named}.*disorder="):
        read(tmp_path / "a.cif", text)
    (atoms,) = read(tmp_path / "a.cif", text, disorder="majority")
    assert str(atoms.symbols) == symbols
    assert atoms.pbc.all()
    (again,) = read(tmp_path / "a.cif", text, disorder="majority")
    assert again == atoms


def test_the_more_occupied_of_two_places(tmp_path: Path) -> None:
    text = block("C1 C 0.02 0 0 .4", "C2 C .98 0 0 .6", more=OCCUPANCY)
    (atoms,) = read(tmp_path / "a.cif", text, disorder="majority")
    assert np.allclose(atoms.get_scaled_positions(), [[0.98, 0, 0]])


@pytest.mark.parametrize(
    ("element", "radius"), [("F", 1.25), ("H", 1.02), ("Cl", 1.66), ("O", 1.35)]
)
def test_a_group_that_turns(tmp_path: Path, element: str, radius: float) -> None:
    """Six half-occupied places on a circle: every other one is an atom."""
    angles = np.arange(6) * np.pi / 3
    rows = [
        f"X{i} {element} {radius * np.cos(a) / 8:.5f} {radius * np.sin(a) / 8:.5f} 0.05 .5"
        for i, a in enumerate(angles)
    ]
    text = block("C1 C 0 0 0 1", *rows, more=OCCUPANCY)
    (atoms,) = read(tmp_path / "a.cif", text, disorder="majority")
    assert str(atoms.symbols) == f"C{element}3"
    distances = atoms.get_all_distances(mic=True)[1:, 1:][np.triu_indices(3, 1)]
    assert np.allclose(distances, np.sqrt(3) * radius, atol=1e-3)


def test_disorder_with_symmetry(tmp_path: Path) -> None:
    mixed = block(
        "Na1 Na 0 0 0 .7",
        "K1 K 0 0 0 .3",
        "Cl1 Cl .5 .5 .5 1",
        more=OCCUPANCY,
        spacegroup="F m -3 m",
    )
    (atoms,) = read(tmp_path / "a.cif", mixed, disorder="majority")
    assert atoms.symbols.formula.count() == {"Na": 4, "Cl": 4}
    # an atom beside a centre of inversion: one of the two places
    split = block("C1 C 0.03 0 0 .5", "O1 O .5 .5 .5 1", more=OCCUPANCY, spacegroup="P -1")
    (atoms,) = read(tmp_path / "a.cif", split, disorder="majority")
    assert atoms.symbols.formula.count() == {"C": 1, "O": 1}


def test_disorder_that_no_choice_orders(tmp_path: Path) -> None:
    text = block("C1 C 0.03 0 0 .5 A -1", more=GROUPS, spacegroup="P -1")
    with pytest.raises(StructureFileError, match=r"C1 .*disordered about a symmetry element"):
        read(tmp_path / "a.cif", text, disorder="majority")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (block("C1 ? 0 0 0"), "the site C1 has no element"),
        (
            block("x C 0 0 0").replace("_atom_site_label", "_atom_site_a").replace("type_", "b_"),
            "expected a label or an element",
        ),
        (block("C1 C 0 0 ?"), "cannot be read as cif|expected"),
        (block("Xx1 Xx 0 0 0"), "'Xx' is no element"),
        (block("C1 C 0 0 0 full", more=OCCUPANCY), "expected an occupancy, got 'full'"),
        (block("C1 C 0 0 0 nan", more=OCCUPANCY), "expected an occupancy, got 'nan'"),
        (block("C1 C 0 0 0 -.5", more=OCCUPANCY), "expected an occupancy, got '-0.5'"),
    ],
)
def test_sites_at_fault(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StructureFileError, match=message):
        read(tmp_path / "a.cif", text)


@pytest.mark.parametrize(
    ("tag", "value", "message"),
    [
        ("length_a 8.0", "length_a 0.0", "the cell: expected lengths above 0"),
        ("length_b 8.0", "length_b -8.0", "the cell: expected lengths above 0"),
        ("alpha 90", "alpha 0", "the cell: .*angles between 0 and 180"),
        ("beta 90", "beta 190", "the cell: .*angles between 0 and 180"),
        ("alpha 90", "alpha 20", "that enclose a volume"),
        ("length_c 8.0", "length_c ?", "the cell: expected three lengths and angles"),
        ("_cell_length_a 8.0\n", "", "expected a cell .* for fractional coordinates"),
    ],
)
def test_cells_at_fault(tmp_path: Path, tag: str, value: str, message: str) -> None:
    text = block("C1 C 0 0 0", "O1 O .1 0 0").replace("gamma 90", "gamma 120").replace(tag, value)
    with pytest.raises(StructureFileError, match=message):
        read(tmp_path / "a.cif", text)


def test_unknown_ways_to_treat_disorder() -> None:
    with pytest.raises(ValueError, match="expected disorder=majority, or null, got 'minority'"):
        ReadingOptions.of(disorder="minority")


@pytest.mark.parametrize("suffix", ["traj", "extxyz"])
def test_what_ase_has_made_of_a_disordered_structure(tmp_path: Path, suffix: str) -> None:
    mixed = block("C1 C 0 0 0 .6", "N1 N 0 0 0 .4", "O1 O .5 .5 .5 1", more=OCCUPANCY)
    (tmp_path / "a.cif").write_text(mixed)
    ordered = block("C1 C 0 0 0 1", "O1 O .5 .5 .5 1", more=OCCUPANCY)
    (tmp_path / "b.cif").write_text(ordered)
    for name in ("a", "b"):
        atoms = ase.io.read(tmp_path / f"{name}.cif")
        del atoms.info["spacegroup"]  # an object of ASE's, which few formats keep
        ase.io.write(tmp_path / f"{name}.{suffix}", atoms)
    assert len(list(read_frames(tmp_path / f"b.{suffix}"))) == 1
    with pytest.raises(StructureFileError, match=r"filling every site.*C 0\.6, N 0\.4"):
        list(read_frames(tmp_path / f"a.{suffix}"))
