"""From the settings of structure files to their store."""

from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import units
from ase.build import molecule
from hydra import compose, initialize_config_dir

from molnet.bundled import CONF
from molnet.datasets import DataSetError, StructureFiles
from molnet.graph.frames import StructureFileError
from molnet.training.config import checked_train


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLNET_CACHE", str(tmp_path / "cache"))


def dataset(path: Path, *overrides: str) -> StructureFiles:
    """The settings as the command line makes them."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(
            "train",
            ["run_folder=somewhere", "dataset=structures", f"dataset.path={path}", *overrides],
        )
    return checked_train(config).dataset  # type: ignore[no-any-return]


def test_units_of_a_database_need_not_be_given(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    with ase.db.connect(tmp_path / "a.db") as database:
        database.write(atoms, data={"energy": np.array([-76.0]), "forces": np.ones((3, 3))})
        database.metadata = {"_property_unit_dict": {"energy": "Hartree", "forces": "eV/Ang"}}
    store = dataset(tmp_path / "a.db").open(["energy", "forces"], {})
    assert store.labels["energy"].tolist() == pytest.approx([-76 * units.Hartree])
    wrong = dataset(tmp_path / "a.db", "dataset.labels.energy.unit=kcal/mol")
    with pytest.raises(ValueError, match=r"files declare 'Hartree' for 'energy', got 'kcal/mol'"):
        wrong.open(["energy"], {})


def test_units_of_other_files_must_be_given(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.xyz", molecule("H2O"))
    with pytest.raises(DataSetError, match="energy: its unit"):
        dataset(tmp_path / "a.xyz").open(["energy"], {})


@pytest.mark.parametrize("elements", ["[O,H]", "{1: O, 2: H}", "{1:O,2:H}"])
def test_elements_and_formats_on_the_command_line(tmp_path: Path, elements: str) -> None:
    text = "3\nenergy=-1.0\n1 0 0 0\n2 0 0 1.4\n2 0 1.4 0\n"
    (tmp_path / "a.foo").write_text(text)
    unit = "dataset.labels.energy.unit=eV"
    options = ["dataset.format=xyz", unit, f"dataset.elements={elements}"]
    store = dataset(tmp_path / "a.foo", *options).open(["energy"], {})
    assert store.species.tolist() == [8, 1, 1]
    options += ["dataset.positions_unit=Bohr"]
    other = dataset(tmp_path / "a.foo", *options).open(["energy"], {})
    assert other.path != store.path
    assert other.positions.max() == pytest.approx(1.4 * units.Bohr)


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ("format=extxys", StructureFileError, "Did you mean 'extxyz'"),
        ("elements=[C,Hh]", DataSetError, "dataset: elements: expected the symbol .* 2, got 'Hh'"),
        (
            "elements=C",
            DataSetError,
            r"dataset: elements: expected a list such as \[C,H\], got 'C'",
        ),
        ("positions_unit=Bor", DataSetError, "dataset: positions_unit: unknown unit 'Bor'"),
        ("positions_unit=eV", DataSetError, "dataset: positions_unit: cannot convert"),
        ("disorder=yes", DataSetError, "dataset: expected disorder=majority, or null"),
    ],
)
def test_mistakes(tmp_path: Path, option: str, error: type[Exception], message: str) -> None:
    ase.io.write(tmp_path / "a.xyz", molecule("H2O"))
    settings = dataset(tmp_path / "a.xyz", "dataset.labels.energy.unit=eV", f"dataset.{option}")
    with pytest.raises(error, match=message):
        settings.open(["energy"], {})
