"""Predictions for files that leave something open, such as elements, units, or their format."""

from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.lj import LennardJones

from molnet.graph.frames import StructureFileError
from molnet.models import Model
from molnet.simulate import predict_files

MakeModel = Callable[..., Model]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def dump(atoms: Atoms, forces: np.ndarray) -> str:
    """A dump of types: carbon, oxygen."""
    rows = "".join(
        f"{i + 1} {1 if symbol == 'C' else 2} {' '.join(map(str, [*position, *force]))}\n"
        for i, (symbol, position, force) in enumerate(
            zip(atoms.symbols, atoms.positions, forces, strict=True)
        )
    )
    return (
        f"ITEM: UNITS\nreal\nITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{len(atoms)}\n"
        "ITEM: BOX BOUNDS ff ff ff\n0 20\n0 20\n0 20\nITEM: ATOMS id type x y z fx fy fz\n" + rows
    )


def test_types_and_units_of_a_dump(make_model: MakeModel, reference: LennardJones) -> None:
    atoms = molecule("CO")
    atoms.positions *= 1.8
    atoms.calc = reference
    in_kcal = atoms.get_forces() * 23.0605
    Path("in.lammpstrj").write_text(dump(atoms, in_kcal))
    with pytest.raises(StructureFileError, match=r"in\.lammpstrj, frame 0: .*elements=\[C,H\]"):
        predict_files(make_model(), "in.lammpstrj")
    summary = predict_files(make_model(), "in.lammpstrj", elements=["C", "O"])
    (found,) = ase.io.read("in.predicted.extxyz", ":")
    assert str(found.symbols) == str(atoms.symbols)
    assert summary.errors[("force components", "meV/Å")].mean < 0.1  # compared in eV/Å
    assert ("energy per atom", "meV") not in summary.errors


def test_positions_formats_and_disorder(make_model: MakeModel) -> None:
    atoms = molecule("CH3OH")
    atoms.positions /= 0.529177
    ase.io.write("in.dat", [atoms] * 2, format="extxyz")
    predict_files(make_model(), "in.dat", "out.xyz", format="xyz", positions_unit="Bohr")
    found = ase.io.read("out.xyz", ":")
    assert len(found) == 2
    assert np.allclose(found[0].positions, molecule("CH3OH").positions, atol=1e-5)
    with pytest.raises(ValueError, match="expected disorder=majority"):
        predict_files(make_model(), "in.dat", disorder="most")


SDF = """x


  1  0  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 C   0  0
M  END
$$$$
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("in.sdf", SDF),
        ("in.gen", "1 C\nC\n1 1 0.0 0.0 0.0\n"),
        ("in.vasp", "t\n1.0\n9 0 0\n0 9 0\n0 0 9\nC\n1\nDirect\n0.0 0.0 0.0\n"),
        ("OUTCAR.xyz", "1\nSLAB\nC 0.0 0.0 0.0\n"),
    ],
)
@pytest.mark.parametrize("times", [1, 4])
def test_every_structure_is_predicted(
    make_model: MakeModel, name: str, text: str, times: int
) -> None:
    Path(name).write_text(text * times)
    assert predict_files(make_model(), name, "out.csv").structures == times
