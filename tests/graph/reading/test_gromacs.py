"""Gromacs and Gromos: every frame, nm, and names that are taken for elements with care."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from molnet.graph.frames import ReadingOptions, StructureFileError, read_frames

GRO = """water
    3
    1SOL     OW    1   0.126   1.624   1.679  0.1227 -0.0580  0.0434
    1SOL    HW1    2   0.190   1.661   1.747  0.8085  0.3191 -0.7791
    1SOL    HW2    3   0.177   1.568   1.613 -0.9045 -2.6469  1.3180
   1.82060   1.82060   1.82060
"""
PRECISE = """water
2
    1LIG     C1    1   0.126123   1.624123   1.679123
    1LIG    CL2    2   0.190123   1.661123   1.747123
   2.0 2.0 2.0 0.0 0.0 1.0 0.0 0.0 0.0
"""
G96 = """TITLE
water
END
POSITION
    1 SOL   OW         1    0.126    1.624    1.679
    1 SOL   HW1        2    0.190    1.661    1.747
END
BOX
    2.0 2.0 2.0
END
"""


def read(path: Path, text: str, **options: object) -> list[Atoms]:
    path.write_text(text)
    return list(read_frames(path, ReadingOptions.of(**options)))  # type: ignore[arg-type]


def test_gro_frames(tmp_path: Path) -> None:
    first, second = read(tmp_path / "a.gro", GRO + GRO.replace("0.126", "0.136") + "\n")
    assert str(first.symbols) == "OH2"
    assert np.allclose(first.positions[0], [1.26, 16.24, 16.79])
    assert np.allclose(second.positions[0], [1.36, 16.24, 16.79])
    assert np.allclose(first.cell.lengths(), 18.206)
    assert first.pbc.all()


def test_precise_gro_files_and_oblique_boxes(tmp_path: Path) -> None:
    (atoms,) = read(tmp_path / "a.gro", PRECISE)
    assert str(atoms.symbols) == "CCl"
    assert np.allclose(atoms.positions[1], [1.90123, 16.61123, 17.47123])
    # xx yy zz xy xz yx yz zx zy: the first letter names the vector, the second its component
    assert np.allclose(atoms.cell.array, [[20, 0, 0], [10, 20, 0], [0, 0, 20]])


def test_a_box_of_zeros_is_none(tmp_path: Path) -> None:
    (atoms,) = read(tmp_path / "a.gro", GRO.replace("   1.82060   1.82060   1.82060", " 0 0 0"))
    assert not atoms.pbc.any()


def test_g96_frames(tmp_path: Path) -> None:
    first, second = read(tmp_path / "a.g96", G96 + G96.replace("0.126", "0.136"))
    assert str(first.symbols) == "OH"
    assert (first.positions[0, 0], second.positions[0, 0]) == pytest.approx((1.26, 1.36))
    assert first.pbc.all()
    assert np.allclose(second.cell.lengths(), 20)


@pytest.mark.parametrize(("suffix", "text"), [("gro", GRO), ("g96", G96)])
def test_names_that_may_be_two_elements(tmp_path: Path, suffix: str, text: str) -> None:
    text = text.replace("SOL", "LIG").replace("OW", "CA")
    with pytest.raises(StructureFileError, match=r"frame 0.*'CA' may be Ca"):
        read(tmp_path / f"a.{suffix}", text)
    (atoms,) = read(tmp_path / f"a.{suffix}", text, elements={"CA": "C"})
    assert atoms.symbols[0] == "C"


def test_gro_files_at_fault(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=r"frame 1 .*the file ends before"):
        read(tmp_path / "a.gro", GRO + GRO[:-100])
    with pytest.raises(StructureFileError, match=r"frame 0 .*atom 2, "):
        read(tmp_path / "a.gro", GRO.replace("0.190", "0.x90"))
    with pytest.raises(StructureFileError, match="expected a box of three or nine"):
        read(tmp_path / "a.gro", GRO.replace("   1.82060   1.82060   1.82060", " 1 1"))
    with pytest.raises(StructureFileError, match="POSITION has no END"):
        read(tmp_path / "a.g96", G96[:90])
