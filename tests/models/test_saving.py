"""Saved models come back exactly, and whatever is not a saved model is refused."""

import errno
import json
import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import molecule
from safetensors.torch import load_file

import molnet
from molnet.models import Model, ModelFormatError, load_model, save_model, saving
from molnet.properties import Property
from molnet.stored import sealed

DECLARED = Property("spin_density", "e", per="atom", shape=(3,), shown_in="e")


@pytest.fixture
def model() -> Model:
    return Model(
        network={"cutoff": 4.0, "channels": 4, "l_max": 1, "num_layers": 2, "radial_hidden": [8]},
        heads={
            "energy": {"kind": "extensive", "forces": True},
            "spin_density": {"kind": "tensor", "irreps": "1o", "per": "atom"},
        },
        species=[8, 1],
        statistics={
            "mean_neighbours": 2.0,
            "targets": {"energy": {"references": {"H": -13.6, "O": -2041.8}, "scale": 0.7}},
        },
        properties={"spin_density": DECLARED},
        provenance={"command": "python scripts/train.py"},
    )


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    return save_model(model, tmp_path / "model")


def test_round_trip(model: Model, folder: Path) -> None:
    loaded = molnet.load(folder, device="cpu")
    water = molecule("H2O")
    for name, value in model.predict([water])[0].items():
        assert np.array_equal(value, loaded.predict([water])[0][name]), name
    assert loaded.config == model.config
    assert loaded.properties["spin_density"] == DECLARED
    assert not loaded.training


def test_the_folder_of_a_run_will_do(folder: Path) -> None:
    assert load_model(folder.parent, device="cpu").species == [1, 8]


def test_loads_in_another_precision(folder: Path) -> None:
    model = load_model(folder, device="cpu", dtype=torch.float64)
    assert model.dtype == torch.float64
    assert model.predict([molecule("H2O")])[0]["forces"].dtype == np.float64


def test_saving_again_replaces_the_model_and_nothing_else(model: Model, folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    with torch.no_grad():
        model.network.embedding.weight += 1.0
    save_model(model, folder)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "notes.txt",
    ]
    assert torch.equal(
        load_model(folder, device="cpu").network.embedding.weight, model.network.embedding.weight
    )


def test_no_pickle_inside(folder: Path) -> None:
    assert load_file(folder / "model.safetensors")
    assert json.loads((folder / "config.json").read_text())["species"] == ["H", "O"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no model"):
        load_model(tmp_path / "nothing")


def test_missing_device(folder: Path) -> None:
    with pytest.raises(ValueError, match="device 'cudda' cannot be used"):
        load_model(folder, device="cudda")


def test_older_format(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 1}))
    with pytest.raises(ModelFormatError, match=r"version 1.*reads 3 to 5: train the model again"):
        load_model(folder)


@pytest.mark.parametrize(("kind", "readable"), [("extensive", True), ("intensive", False)])
def test_heads_that_have_changed_since_are_refused(
    kind: str, readable: bool, tmp_path: Path
) -> None:
    network = {"channels": 4, "l_max": 1, "num_layers": 1}
    model = Model(network, {"homo": {"kind": kind}}, [1, 8], {"mean_neighbours": 2.0})
    path = save_model(model, tmp_path / "model") / "config.json"
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | {"format_version": 4})))
    if readable:
        assert load_model(path.parent).heads.keys() == {"homo"}
    else:
        with pytest.raises(ModelFormatError, match=r"homo \(intensive\).*train the model again"):
            load_model(path.parent)


def test_newer_format(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    with pytest.raises(ModelFormatError, match=r"99.*install a newer molnet"):
        load_model(folder)


class KilledError(BaseException):
    """Stands for SIGKILL: nothing after it is done, nothing is cleaned up."""


def save_and_die(model: Model, folder: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that ends before the given one of its changes to the disk."""
    done = 0

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any) -> Any:
            nonlocal done
            if done == step:
                raise KilledError
            done += 1
            return original(*args)

        return change

    with monkeypatch.context() as patched, suppress(KilledError):
        patched.setattr(saving, "write_durably", counted(saving.write_durably))
        patched.setattr(Path, "replace", counted(Path.replace))
        save_model(model, folder)


def test_a_model_is_there_whenever_a_save_is_killed(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = model.network.embedding.weight
    found = []
    for step in range(5):
        with torch.no_grad():
            weight += 1.0
        save_and_die(model, folder, step, monkeypatch)
        now = load_model(folder, device="cpu").network.embedding.weight
        found.append(torch.equal(now, weight))
    # Writing weights, writing the configuration, its renaming: from then on it is the new model.
    assert found == [False, False, False, True, True]
    save_model(model, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_a_save_after_one_that_was_killed_keeps_the_model_meanwhile(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = model.network.embedding.weight
    with torch.no_grad():
        weight += 1.0
    save_and_die(model, folder, 3, monkeypatch)  # the weights have not taken their name
    assert (folder / "model.next.safetensors").exists()
    committed = weight.detach().clone()
    for step in (1, 2):  # the very first change ends the earlier save
        with torch.no_grad():
            weight += 1.0
        save_and_die(model, folder, step, monkeypatch)
        now = load_model(folder, device="cpu").network.embedding.weight
        assert torch.equal(now, committed)


def test_a_failed_save_leaves_the_old_model_alone(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(saving, "write_durably", full)
    with pytest.raises(OSError, match="No space left"):
        save_model(model, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def _save_again_and_again(folder: Path, ready: "multiprocessing.synchronize.Event") -> None:
    model = load_model(folder, device="cpu")
    while True:
        with torch.no_grad():
            for weight in model.parameters():
                weight += 1.0
        save_model(model, folder)
        ready.set()


def test_a_reader_meets_no_damaged_model_while_it_is_saved(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    saver = context.Process(target=_save_again_and_again, args=(folder, ready))
    saver.start()
    try:
        assert ready.wait(timeout=120)
        loaded = [load_model(folder, device="cpu") for _ in range(100)]
    finally:
        saver.kill()
        saver.join()
    weights = {model.network.embedding.weight[0, 0].item() for model in loaded}
    assert len(weights) > 1  # it was saved meanwhile
    load_model(folder, device="cpu")


def _save_forever(model: Model, folder: Path) -> None:
    while True:
        save_model(model, folder)


def test_a_model_is_there_after_a_kill_at_any_moment(model: Model, folder: Path) -> None:
    rng = np.random.default_rng(0)
    unfinished = 0
    for _ in range(30):
        with torch.no_grad():
            model.network.embedding.weight += 1.0
        process = multiprocessing.get_context("fork").Process(
            target=_save_forever, args=(model, folder)
        )
        process.start()
        time.sleep(float(rng.uniform(0.005, 0.05)))
        process.kill()
        process.join()
        unfinished += len(list(folder.iterdir())) > 2
        load_model(folder, device="cpu")
    assert unfinished > 0  # some kills met a save
    save_model(model, folder)
    assert len(list(folder.iterdir())) == 2


def test_a_first_save_that_is_killed_is_no_model(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_and_die(model, tmp_path / "m", 2, monkeypatch)
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        load_model(tmp_path / "m")
    save_model(model, tmp_path / "m")
    assert load_model(tmp_path / "m", device="cpu").config == model.config
    assert len(list((tmp_path / "m").iterdir())) == 2


def test_types_by_name_and_folders_of_the_user(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save_model(model, tmp_path / "model")
    assert load_model("~/model", "cpu", "float64").dtype == torch.float64
    for wrong in ("float16", "double precision", torch.int64):
        with pytest.raises(ValueError, match="expected dtype float32 or float64, received"):
            load_model(tmp_path / "model", "cpu", wrong)
