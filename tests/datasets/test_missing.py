"""What is said of files of which keys or units are missing: all of it, at once, and right."""

import shlex
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule

from molnet.datasets import Label, MissingSettingsError, StructureFiles
from molnet.datasets.guesses import candidates, remark_on_size
from molnet.datasets.survey import survey
from molnet.graph.frames import DEFAULTS
from molnet.properties import Property, get_property
from molnet.training.missing import whole_command

SHIELDING = Property("shielding", "ppm", "atom", (3, 3))


def ethanols(count: int = 6) -> list[Atoms]:
    """Ethanol with all-electron energies in Hartree, forces on some, and other numbers."""
    rng = np.random.default_rng(0)
    frames = []
    for index in range(count):
        atoms = molecule("CH3CH2OH")
        atoms.rattle(0.05, rng=rng)
        atoms.info |= {
            "REF_energy": -154.7 - 0.01 * index,
            "E_disp": -0.1 - 0.01 * index,
            "dft_dipole": rng.normal(size=3),
            "config_type": "300K",
        }
        if index % 2:
            atoms.arrays["dft_forces"] = rng.normal(scale=0.02, size=(9, 3))
        frames.append(atoms)
    return frames


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    ase.io.write(tmp_path / "mine.xyz", ethanols(), format="extxyz")
    return tmp_path / "mine.xyz"


def refused(path: object, properties: list[str], tmp_path: Path, **labels: Label) -> tuple:
    """The message and the settings that a data set asks for."""
    known = {name: Label(name) for name in ("energy", "forces", "stress", "dipole")} | labels
    data_set = StructureFiles(name="mine", path=path, cache=str(tmp_path / "cache"), labels=known)
    with pytest.raises(MissingSettingsError) as caught:
        data_set.open(properties, {"shielding": SHIELDING})
    return str(caught.value), caught.value.settings


def test_everything_is_said_at_once(mine: Path, tmp_path: Path) -> None:
    message, settings = refused(str(mine), ["energy", "forces"], tmp_path)
    assert settings == {
        "dataset.labels.energy.key": "REF_energy",
        "dataset.labels.energy.unit": "UNIT",
        "dataset.labels.forces.key": "dft_forces",
        "dataset.labels.forces.unit": "UNIT",
    }
    assert "6 frames of 9 atoms (H, C, O)" in message
    lines = {line.split()[0]: line.split() for line in message.splitlines() if line.strip()}
    assert lines["REF_energy"][1:] == ["info", "6", "1", "-154.75", "to", "-154.7", "energy?"]
    assert lines["dft_forces"][1:6] == ["arrays", "3", "N", "×", "3"]
    assert lines["config_type"][1:] == ["info", "6", "text", "300K"]
    assert "with all electrons in Hartree" in message
    assert "usual for Hartree/Bohr or Ry/Bohr" in message


def test_a_wrong_key_is_answered_in_the_same_way(mine: Path, tmp_path: Path) -> None:
    message, settings = refused(str(mine), ["energy"], tmp_path, energy=Label("energy", "Hartree"))
    assert settings == {"dataset.labels.energy.key": "REF_energy"}
    assert "its unit" not in message


def test_databases_other_targets_and_several_files(mine: Path, tmp_path: Path) -> None:
    with ase.db.connect(tmp_path / "a.db") as database:
        for atoms in ethanols(2):
            tensors = np.ones((9, 3, 3))
            database.write(atoms, {"E": -154.7}, data={"F": np.ones((9, 3)), "sigma": tensors})
    _, settings = refused(str(tmp_path / "a.db"), ["energy", "forces"], tmp_path)
    assert settings["dataset.labels.energy.key"] == "E"
    assert settings["dataset.labels.forces.key"] == "F"
    message, settings = refused(str(tmp_path / "a.db"), ["shielding"], tmp_path)
    assert settings == {"+dataset.labels.shielding": "{key: KEY, unit: UNIT}"}
    assert "N × 3 × 3" in message
    files = [str(mine), str(tmp_path / "a.db")]
    message, settings = refused(files, ["dipole"], tmp_path)
    assert settings["dataset.labels.dipole.key"] == "dft_dipole"
    assert message.startswith(f"2 files from {mine}: 8 frames")


def test_units_that_a_database_declares_are_not_asked_for(tmp_path: Path) -> None:
    with ase.db.connect(tmp_path / "a.db") as database:
        database.write(molecule("H2O"), {"E": -76.4}, data={"F": np.ones((3, 3))})
        database.metadata = {"_property_unit_dict": {"E": "Hartree"}}
    _, settings = refused(str(tmp_path / "a.db"), ["energy", "forces"], tmp_path)
    assert "dataset.labels.energy.unit" not in settings
    assert settings["dataset.labels.forces.unit"] == "UNIT"


def test_a_virial_is_offered_for_the_stress(tmp_path: Path) -> None:
    atoms = bulk("Cu")
    atoms.info |= {"energy": -3.5, "virial": np.eye(3)}
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    _, settings = refused(str(tmp_path / "a.xyz"), ["stress"], tmp_path)
    assert settings == {"+dataset.labels.virial": "{key: virial, unit: UNIT}"}


@pytest.mark.parametrize(
    ("keys", "best"),
    [
        (("dft_energy", "energy"), "energy"),
        (("kinetic_energy", "TotEnergy"), "TotEnergy"),
        (("free_energy", "REF_E"), "REF_E"),
        (("E_disp", "E"), "E"),
        (("energy_per_atom", "dftEnergy"), "dftEnergy"),
        (("name_id", "step"), None),
    ],
)
def test_names_of_energies(keys: tuple[str, ...], best: str | None, tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.info |= dict.fromkeys(keys, -76.4)
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    found = candidates(get_property("energy"), survey([tmp_path / "a.xyz"], DEFAULTS))
    assert (found[0].name if found else None) == best


@pytest.mark.parametrize("unit", ["eV", "Hartree", "kcal/mol"])
def test_the_size_of_energies_tells_nothing_false(unit: str, tmp_path: Path) -> None:
    from molnet.units import conversion_factor

    factor = conversion_factor("eV", unit)
    atoms = molecule("CH3CH2OH")
    atoms.info["energy"] = -154.7 * units.Hartree * factor
    atoms.info["binding"] = -32.0 * factor
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    keys = survey([tmp_path / "a.xyz"], DEFAULTS).keys
    energy = get_property("energy")
    assert remark_on_size(keys["energy"], energy).endswith(f"all electrons in {unit}")
    assert remark_on_size(keys["binding"], energy) == ""


def test_energies_of_tight_binding_are_not_taken_for_those_of_all_electrons(
    tmp_path: Path,
) -> None:
    atoms = molecule("CH3CH2OH")
    atoms.info["energy"] = -310.0  # GFN2-xTB, eV
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    (key,) = survey([tmp_path / "a.xyz"], DEFAULTS).keys.values()
    assert remark_on_size(key, get_property("energy")).endswith("tight binding (xTB, DFTB) in eV")


def test_the_whole_command_replaces_what_was_wrong() -> None:
    given = [
        "dataset=structures",
        'dataset.labels.forces.unit="eV/Å"',
        "dataset.labels.energy.key=E",
    ]
    command = whole_command("molnet train", given, {"dataset.labels.energy.key": "REF_E"})
    assert shlex.split(command.replace("\\\n", "")) == [
        *("molnet", "train", "dataset=structures", "dataset.labels.forces.unit=eV/Å"),
        "dataset.labels.energy.key=REF_E",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["dataset=structures", "dataset.path=mine.xyz"], "molnet train mine.xyz"),
        (["dataset=structures", 'dataset.path="my file.xyz"'], "molnet train 'my file.xyz'"),
        (["dataset=structures", "dataset.path=[a.xyz,b.xyz]"], "molnet train a.xyz b.xyz"),
        (
            ["dataset.path='r/*.xyz'", "seed=1", "dataset=structures"],
            "molnet train 'r/*.xyz' seed=1",
        ),
        (["dataset=own", "dataset.path=a.xyz"], "molnet train dataset=own dataset.path=a.xyz"),
    ],
)
def test_the_whole_command_is_short(given: list[str], expected: str) -> None:
    command = whole_command("molnet train", given, {"dataset.labels.energy.unit": "eV"})
    typed = shlex.split(command.replace("\\\n", ""))
    assert typed == [*shlex.split(expected), "dataset.labels.energy.unit=eV"]


@pytest.mark.parametrize("path", ['"k=1.xyz"', '"-a.xyz"', "3"])
def test_files_that_would_be_read_as_something_else_stay_settings(path: str) -> None:
    given = ["dataset=structures", f"dataset.path={path}"]
    assert "dataset.path=" in whole_command("molnet train", given, {})
