"""The parts of a data set: from files of their own, by groups, from a file; and what they share."""

from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from omegaconf import DictConfig

from molnet.datasets import ArrayStore, DataSetError, Label, StructureFiles
from molnet.datasets.duplicates import count_shared
from molnet.datasets.splits import load_split
from molnet.graph.frames import StructureFileError
from molnet.training.config import ConfigError, checked_train
from molnet.training.run import train
from molnet.training.sources import draw_split


def waters(count: int, seed: int) -> list[Atoms]:
    """Rattled water molecules with an energy, three frames of one name after the other."""
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(count):
        atoms = molecule("H2O")
        atoms.rattle(0.05, rng=rng)
        atoms.info |= {"energy": -14.0 - float(np.ptp(atoms.positions)), "name": f"w{index // 3}"}
        frames.append(atoms)
    return frames


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Files of 12, 4 and 5 frames; the last frame of the third is the first of the first."""
    frames = {"train": waters(12, 0), "validation": waters(4, 1), "test": waters(4, 2)}
    frames["test"].append(frames["train"][0])
    paths = {name: tmp_path / f"{name}.xyz" for name in frames}
    for name, path in paths.items():
        ase.io.write(path, frames[name], format="extxyz")
    return paths


@pytest.fixture
def opened(files: dict[str, Path], tmp_path: Path) -> Callable[..., tuple[ArrayStore, dict]]:
    """Opens the first file with options; returns the store and the parts of the split."""

    def open_with(**options: object) -> tuple[ArrayStore, dict]:
        data_set = StructureFiles(
            name="waters",
            path=str(files["train"]),
            labels={"energy": Label("energy", "eV")},
            cache=str(tmp_path),
            **options,  # type: ignore[arg-type]
        )
        store = data_set.open(["energy"], {})
        return store, draw_split(store, data_set).parts

    return open_with


def test_files_of_their_own(
    files: dict[str, Path], opened: Callable[..., tuple[ArrayStore, dict]]
) -> None:
    store, parts = opened(test_path=str(files["test"]))
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 11,
        "validation": 1,
        "test": 5,
    }
    assert parts["test"].tolist() == [12, 13, 14, 15, 16]
    assert max(parts["train"].max(), parts["validation"].max()) < 12
    store, parts = opened(
        validation_path=[str(files["validation"])], test_path=str(files["test"]), train_size=6
    )
    assert len(store) == 21
    assert len(parts["train"]) == 6
    assert parts["validation"].tolist() == [12, 13, 14, 15]
    assert parts["test"].tolist() == [16, 17, 18, 19, 20]
    assert store.positions[store.offsets[16]] == pytest.approx(
        ase.io.read(files["test"], 0).positions[0]
    )


def test_one_file_is_in_one_part(
    files: dict[str, Path], opened: Callable[..., tuple[ArrayStore, dict]], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.xyz"
    copy.write_bytes(files["train"].read_bytes())
    with pytest.raises(StructureFileError, match=r"dataset\.test_path: .*copy\.xyz has the same"):
        opened(test_path=str(copy))


def test_structures_of_one_group_stay_together(
    opened: Callable[..., tuple[ArrayStore, dict]],
) -> None:
    store, parts = opened(split_by="name", validation_size=0.25)
    assert [len(part) for part in parts.values()] == [6, 3, 3]
    groups = [set(store.group[part].tolist()) for part in parts.values()]  # type: ignore[index]
    assert sum(map(len, groups)) == 4
    with pytest.raises(StructureFileError, match=r"frame 0: it has no 'kind' .*Found: 'name'"):
        opened(split_by="kind")


def test_the_split_of_another_run(
    settings: Callable[..., DictConfig], finished: tuple[Path, dict], tmp_path: Path
) -> None:
    of_run = finished[0] / "split.json"
    train(settings("target=energy", f"dataset.split={of_run}", "trainer.max_epochs=1"))
    first, again = (load_split(path / "split.json", 24) for path in (finished[0], tmp_path / "run"))
    for name, part in first.parts.items():
        assert np.array_equal(part, again.parts[name])


def test_a_split_and_parts_of_their_own_contradict() -> None:
    with pytest.raises(DataSetError, match=r"and so does dataset\.test_path: leave one"):
        StructureFiles(name="a", path="a.xyz", split="split.json", test_path="b.xyz")


def test_the_contradiction_is_told_with_the_settings(settings: Callable[..., DictConfig]) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.split names the structures of every part"):
        checked_train(settings("dataset.split=s.json", "dataset.split_by=name"))


def test_structures_in_two_parts_are_counted(
    files: dict[str, Path],
    opened: Callable[..., tuple[ArrayStore, dict]],
    settings: Callable[..., DictConfig],
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, parts = opened(test_path=str(files["test"]), validation_size=0)
    assert count_shared(store, parts["test"], parts["train"]) == 1
    assert count_shared(store, parts["test"][:4], parts["train"]) == 0
    caplog.set_level("INFO")
    train(
        settings(
            f"dataset.path={files['train']}",
            f"dataset.test_path={files['test']}",
            "dataset.train_size=null",
            "dataset.validation_size=0",
            "target=energy",
            "trainer.max_epochs=1",
        )
    )
    assert "1 of 5 test structures are also in the training part" in caplog.text
    assert "the validation part is empty, and the training part takes its place" in caplog.text


@pytest.mark.parametrize(("size", "told"), [(3, True), (5, False), (None, False)])
def test_a_size_that_the_file_of_a_part_overrules_is_told(
    opened: Callable[..., tuple[ArrayStore, dict]],
    files: dict[str, Path],
    caplog: pytest.LogCaptureFixture,
    size: int | None,
    told: bool,
) -> None:
    caplog.set_level("INFO")
    _, parts = opened(test_path=str(files["test"]), test_size=size)
    assert len(parts["test"]) == 5
    note = "dataset.test_size=3 is not used: the file of this part decides, with 5 structures"
    assert (note in caplog.text) == told
