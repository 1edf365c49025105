"""Data sets are plain Python classes: they are made, asked and opened without any settings file."""

from pathlib import Path

import ase.io
import pytest
from ase.build import molecule

from molnet.datasets import QM9, DataSet, DataSetError, Label, StructureFiles

SPLIT = {"train_size": 0.8, "validation_size": 0.1}


@pytest.fixture
def water(tmp_path: Path) -> Path:
    atoms = molecule("H2O")
    atoms.info["E"] = -1.0
    ase.io.write(tmp_path / "a.xyz", [atoms, atoms])
    return tmp_path / "a.xyz"


def test_structure_files_know_their_labels_and_open(water: Path, tmp_path: Path) -> None:
    labels = {
        "energy": Label("E", "Hartree"),
        "forces": Label("forces"),
        "virial": Label("virial", "eV"),
    }
    data_set = StructureFiles(
        name="water", path=str(water), cache=str(tmp_path / "cache"), labels=labels, **SPLIT
    )
    assert data_set.labelled(["stress", "forces", "energy", "dipole"]) == ["stress", "energy"]
    assert data_set.open(["energy"], {}).labels["energy"] == pytest.approx([-27.2114] * 2, abs=1e-4)
    with pytest.raises(DataSetError, match="forces: its unit"):
        data_set.open(["forces"], {})
    with pytest.raises(DataSetError, match="dipole: there is no 'dipole'"):
        data_set.open(["dipole"], {})


def test_qm9_knows_its_labels_before_it_is_opened() -> None:
    data_set = QM9(name="qm9", **SPLIT)
    known = ["u0", "charges", "polarizability"]
    assert data_set.labelled(["energy", *known, "forces"]) == known


def test_a_data_set_must_say_how_it_opens_and_what_it_has() -> None:
    with pytest.raises(TypeError, match="abstract"):
        DataSet(name="none", **SPLIT)  # type: ignore[abstract]
    with pytest.raises(TypeError, match="path"):
        StructureFiles(name="none", **SPLIT)
