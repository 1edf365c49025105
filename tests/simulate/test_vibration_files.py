"""Vibrations of structures in files: what is written and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from ase.io import read, write

from molnet.graph.frames import StructureFileError
from molnet.models import Model
from molnet.simulate.vibration_files import vibrations_of_files


@pytest.fixture(scope="module")
def model() -> Model:
    """Untrained, in float64."""
    torch.manual_seed(0)
    network = {"cutoff": 3.0, "channels": 4, "l_max": 1, "num_layers": 1, "radial_hidden": [8]}
    heads = {"energy": {"kind": "extensive", "forces": True}}
    statistics = {"mean_neighbours": 5.0, "targets": {"energy": {"scale": 3.0}}}
    network |= {"correlation": 1, "aggregation": "mean"}
    return Model(network, heads, [1, 8], statistics).double().eval()


def water() -> Atoms:
    return Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])


def test_a_folder_holds_numbers_and_modes(model: Model, tmp_path: Path) -> None:
    write(tmp_path / "water.xyz", water())
    (result,) = vibrations_of_files(
        model,
        tmp_path / "water.xyz",
        tmp_path / "out",
        fmax=None,
        temperature=400.0,
        symmetry_number=2,
    )
    content = json.loads((tmp_path / "out" / "vibrations.json").read_text())
    assert content["frequencies"] == pytest.approx(result.vibrations.frequencies.tolist())
    assert np.array(content["hessian"]).shape == (3, 3, 3, 3)
    table = (tmp_path / "out" / "frequencies.csv").read_text().splitlines()
    assert len(table) == 1 + len(result.vibrations.frequencies) == 4
    for mode, row in enumerate(table[1:]):
        period = read(tmp_path / "out" / f"mode-{mode + 1}.extxyz", ":")
        moved = [
            np.abs(frame.positions - result.vibrations.atoms.positions).max() for frame in period
        ]
        assert max(moved) == pytest.approx(0.3, rel=0.05)
        assert period[0].info["frequency"] == pytest.approx(float(row.split(",")[1]), abs=1e-3)
    text = str(result)
    assert "water (H2O)" in text
    assert "at 400 K and 1 bar" in text
    assert "symmetry number 2 and spin 0" in text
    expected = result.vibrations.free_energy(400.0, 1.0, 2)
    assert content["free_energy"] == result.free_energy == expected
    if result.vibrations.imaginary:
        assert "the structure is no minimum" in text


def test_a_structure_that_is_not_relaxed_is_pointed_out(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "water.xyz", water())
    (result,) = vibrations_of_files(model, tmp_path / "water.xyz", tmp_path / "out", fmax=None)
    assert (result.force > 0.05) == ("no stationary point" in caplog.text)
    assert result.force > 0.05, "an untrained model has its minimum elsewhere"


def test_fixed_atoms_do_not_vibrate(model: Model, tmp_path: Path) -> None:
    held = water()
    held.set_constraint(FixAtoms([0, 2]))
    write(tmp_path / "held.traj", [held, water()])
    both = list(vibrations_of_files(model, tmp_path / "held.traj", tmp_path / "out", fmax=None))
    assert [one.vibrations.indices.tolist() for one in both] == [[1], [0, 1, 2]]
    assert (tmp_path / "out" / "held-0" / "vibrations.json").exists()
    (chosen,) = list(
        vibrations_of_files(
            model, tmp_path / "held.traj", tmp_path / "two", fmax=None, indices=[1, 2]
        )
    )[:1]
    assert chosen.vibrations.indices.tolist() == [1, 2]


def test_other_constraints_and_single_atoms_are_refused(model: Model, tmp_path: Path) -> None:
    held = water()
    held.set_constraint(FixCartesian([0]))
    write(tmp_path / "held.traj", held)
    with pytest.raises(StructureFileError, match=r"held\.traj.*FixCartesian.*indices="):
        list(vibrations_of_files(model, tmp_path / "held.traj", tmp_path / "out", fmax=None))
    write(tmp_path / "atom.xyz", Atoms("H", [[0, 0, 0]]))
    with pytest.raises(StructureFileError, match=r"atom\.xyz.*one atom alone"):
        list(vibrations_of_files(model, tmp_path / "atom.xyz", tmp_path / "out", fmax=None))


def test_files_of_one_name_have_folders_of_their_own(model: Model, tmp_path: Path) -> None:
    files = [tmp_path / name / "mol.xyz" for name in ("first", "second")]
    for file in files:
        file.parent.mkdir()
        write(file, water())
    results = list(vibrations_of_files(model, files, tmp_path / "out", fmax=None))
    assert [result.name for result in results] == ["first/mol", "second/mol"]
    assert [result.folder.name for result in results] == ["first-mol", "second-mol"]


def test_what_cannot_be_done_is_refused(model: Model, tmp_path: Path) -> None:
    write(tmp_path / "water.xyz", water())
    list(vibrations_of_files(model, tmp_path / "water.xyz", tmp_path / "out", fmax=None))
    with pytest.raises(ValueError, match="holds vibrations already"):
        list(vibrations_of_files(model, tmp_path / "water.xyz", tmp_path / "out", fmax=None))
    for setting in ({"temperature": 0}, {"symmetry_number": 0}, {"spin": 0.3}, {"pressure": -1}):
        with pytest.raises(ValueError, match=f"received {'='.join(map(str, *setting.items()))}"):
            list(vibrations_of_files(model, tmp_path / "water.xyz", **setting))
    with pytest.raises(StructureFileError, match="frame 0: expected indices of atoms from 0 to 2"):
        list(
            vibrations_of_files(
                model, tmp_path / "water.xyz", tmp_path / "new", fmax=None, indices=[3]
            )
        )
    write(tmp_path / "methane.xyz", Atoms("CH", [[0, 0, 0], [1.1, 0, 0]]))
    with pytest.raises(StructureFileError, match=r"methane.xyz, frame 0: the structure holds C"):
        list(vibrations_of_files(model, tmp_path / "methane.xyz", tmp_path / "new"))
