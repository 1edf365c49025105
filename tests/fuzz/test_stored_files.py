"""Bit flips and cuts of every file that molnet stores, and files written by somebody hostile.

``pytest -m slow tests/fuzz -s`` shows a table of all attempts. Nothing may end in a traceback or in
the death of the process, and no result may change without an error. The seeds are fixed.
"""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule
from omegaconf import OmegaConf

from molnet.datasets.dataset import GraphDataset
from molnet.datasets.qm9 import open_qm9
from molnet.datasets.splits import load_split
from molnet.datasets.store import ArrayStore
from molnet.kernels import compiler
from molnet.models import load_model
from molnet.stored import sealed
from molnet.training.checkpoint_file import read_checkpoint
from molnet.training.evaluate import evaluate
from tests.fuzz.harness import Result, Tally, attempt, damages

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
CUTOFF = 3.0
FLIPS, CUTS = 40, 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user's short training has left: a run, and a store in a cache."""
    folder = tmp_path_factory.mktemp("stored")
    rng = np.random.default_rng(1)
    frames = []
    for index in range(24):
        atoms = molecule(["H2O", "CH4", "NH3", "CH3OH"][index % 4])
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        if index % 3 == 0:
            atoms.set_cell(8.0 * np.eye(3))
            atoms.pbc = True
        atoms.info["name"] = f"frame {index}"
        atoms.info["energy"] = -10.0 * atoms.numbers.sum() + rng.normal()
        atoms.arrays["forces"] = rng.normal(scale=0.3, size=atoms.positions.shape)
        frames.append(atoms)
    ase.io.write(folder / "frames.extxyz", frames)
    network = {"cutoff": CUTOFF, "channels": 4, "l_max": 1, "num_layers": 1, "num_radial": 4}
    command = [
        *(sys.executable, "scripts/train.py", "dataset=structures", "logger=none"),
        f"dataset.path={folder / 'frames.extxyz'}",
        f"dataset.cache={folder / 'cache'}",
        *("dataset.labels.energy.unit=eV", "dataset.labels.forces.unit=eV/Å"),
        *(f"model.{key}={value}" for key, value in network.items()),
        *("model.radial_hidden=[8]", "trainer.max_epochs=2", "trainer.accelerator=cpu"),
        f"hydra.run.dir={folder / 'run'}",
    ]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def digest(*parts: Any) -> str:
    """One checksum of arrays, tensors and plain values."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, torch.Tensor):
            part = part.numpy()
        if isinstance(part, dict):
            part = json.dumps({key: digest(value) for key, value in part.items()}, sort_keys=True)
        total.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return total.hexdigest()


def expected_of(use: Callable[[], str]) -> str:
    """The value for files that nothing was done to."""
    result = attempt(use)
    assert result.kind == "value", result.text
    return result.text


def try_damages(
    tally: Tally, kind: str, paths: list[Path], use: Callable[[], str], flips: int = FLIPS
) -> None:
    """Damage the files one by one, and use them each time."""
    expected = expected_of(use)
    rng = np.random.default_rng(2)
    for path in paths:
        for what in damages(path, rng, flips, CUTS):
            tally.add(kind, what, attempt(use), expected)
    assert expected_of(use) == expected
    assert tally.wrong[kind] == []


@pytest.fixture(scope="module")
def store(folder: Path) -> Path:
    (path,) = (folder / "cache").glob("structures-*")
    return path


def use_store(path: Path) -> str:
    store = ArrayStore.open(path)
    batch = GraphDataset(store, range(len(store)), CUTOFF, list(store.labels)).__getitems__(
        range(len(store))
    )
    units = [store.properties[name].unit for name in store.labels]
    columns = [store.columns(index) for index in range(len(store))]
    return digest(*(batch[key] for key in sorted(batch.keys())), units, store.elements, columns)


def test_arrays_of_a_store(store: Path, tally: Tally) -> None:
    paths = sorted(store.glob("*.npy"))
    assert len(paths) == 9
    try_damages(tally, "store: arrays", paths, lambda: use_store(store))


def test_arrays_of_an_edge_table(store: Path, tally: Tally) -> None:
    paths = sorted(store.glob("edges-*/*.npy"))
    assert len(paths) == 4
    try_damages(tally, "store: edges", paths, lambda: use_store(store))


def test_manifests_of_a_store(store: Path, tally: Tally) -> None:
    paths = sorted(store.rglob("manifest.json"))
    assert len(paths) == 2
    try_damages(tally, "store: manifests", paths, lambda: use_store(store), flips=200)


def test_notes_of_what_was_verified(store: Path, tally: Tally) -> None:
    paths = sorted(store.rglob("verified.json"))
    assert len(paths) == 2
    try_damages(tally, "store: verified.json", paths, lambda: use_store(store))
    assert set(tally.counts["store: verified.json"]) == {"unchanged"}


def test_splits(folder: Path, tally: Tally) -> None:
    def use() -> str:
        split = load_split(folder / "run" / "split.json", 24)
        return digest(split.train, split.validation, split.test)

    try_damages(tally, "split.json", [folder / "run" / "split.json"], use, flips=200)


def test_settings_of_a_run(folder: Path, tally: Tally, tmp_path: Path) -> None:
    """A text file that people may edit, without a checksum: errors are clear, values may change."""

    def use() -> str:
        settings = {
            "model": str(folder / "run"),
            "run_folder": str(tmp_path / f"{os.getpid()}"),
            "device": "cpu",
        }
        evaluate(OmegaConf.create(settings))
        return "evaluated"

    try_damages(tally, "config.yaml (text)", [folder / "run" / "config.yaml"], use)


def use_model(path: Path) -> str:
    model = load_model(path, device="cpu")
    results = model.predict([molecule("H2O"), molecule("CH3OH")])
    units = [entry.unit for entry in model.properties.values()]
    return digest(*(result[name] for result in results for name in sorted(result)), units)


def test_models(folder: Path, tally: Tally) -> None:
    model = folder / "run" / "model"
    for name in ("config.json", "model.safetensors"):
        kind = f"model: {name}"
        try_damages(tally, kind, [model / name], lambda: use_model(model), flips=300)


# A hostile file has the right hash, and some describe another sound model, of cutoff 0.5 for one.


def test_hostile_models(folder: Path, tally: Tally, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(folder / "run" / "model", model)

    def use() -> str:
        predicted = load_model(model, device="cpu").predict([molecule("H2O"), molecule("CH3OH")])
        values = [value for result in predicted for value in result.values()]
        return "sound" if all(np.isfinite(value).all() for value in values) else "not finite"

    path = model / "config.json"
    for what, changed in hostile(json.loads(path.read_text())):
        path.write_text(json.dumps(sealed(changed)))
        tally.add("model: hostile config.json", what, attempt(use), "sound")
    assert tally.wrong["model: hostile config.json"] == []


def test_hostile_stores(store: Path, tally: Tally, tmp_path: Path) -> None:
    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["source"]  # only tells where the data come from
    path.write_text(json.dumps(sealed(manifest)))
    expected = expected_of(lambda: use_store(copy))
    for what, changed in hostile(manifest):
        path.write_text(json.dumps(sealed(changed)))
        tally.add("store: hostile manifest", what, attempt(lambda: use_store(copy)), expected)
    assert tally.wrong["store: hostile manifest"] == []


VALUES = (None, True, -1, 0, 10**9, 10**400, 0.5, float("nan"), float("inf"), "", "x", [], {}, [0])
"""What hostile files hold in place of sound values."""

LABELS = ("saved", "molnet", "versions", "provenance", "meaning", "shown_in", "dataset", "seed")
"""Keys whose values are told to people and change no number."""


def hostile(content: Any) -> Iterator[tuple[str, Any]]:
    """The content with one key dropped or renamed, or with one value replaced, anywhere inside."""
    for keys, value in _places(content):
        name = ".".join(map(str, keys))
        for other in VALUES:
            if other != value or type(other) is not type(value):
                copy, parent = _copied(content, keys)
                parent[keys[-1]] = other
                yield f"{name} = {other!r:.30}", copy
        copy, parent = _copied(content, keys)
        kept = parent.pop(keys[-1])
        yield f"{name} dropped", copy
        if isinstance(parent, dict):
            parent[f"{keys[-1]}s"] = kept
            yield f"{name} renamed", copy


def _copied(content: Any, keys: tuple[Any, ...]) -> tuple[Any, Any]:
    """A copy, and what in it holds the last of the keys."""
    copy = parent = json.loads(json.dumps(content))
    for key in keys[:-1]:
        parent = parent[key]
    return copy, parent


def _places(content: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    inside = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in inside:
        if key in LABELS or key == "content_sha256":
            continue
        yield (*keys, key), value
        if isinstance(value, dict | list):
            yield from _places(value, (*keys, key))


def test_checkpoints(folder: Path, tally: Tally) -> None:
    path = folder / "run" / "checkpoints" / "last.ckpt"

    def use() -> str:
        read_checkpoint(path)  # as every resumed run does first
        state = torch.load(path, weights_only=True)  # as Lightning reads it then
        return digest(state["state_dict"], state["global_step"], state["config"])

    try_damages(tally, "checkpoint", [path], use, flips=400)


def archives() -> dict[str, bytes]:
    """Archives of 40 molecules in QM9's format."""
    energies = "\t".join(["-0.3", "0.1", "0.4", "5.", "0.04", *["-40.4"] * 4, "6."])
    text = (
        f"1\ngdb {{0}}\t0.\t0.\t0.\t0.\t1.{{0}}\t{energies}\t\n"
        "H\t0.{0}\t0.\t0.\t0.\n100.\nH\tH\t\nInChI=1S/H\tInChI=1S/H\n"
    )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for index in range(1, 41):
            data = text.format(index).encode()
            entry = tarfile.TarInfo(f"dsgdb9nsd_{index:06}.xyz")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    whole = buffer.getvalue()
    blocks = [bz2.compress(whole[start : start + 4096]) for start in range(0, len(whole), 4096)]
    return {
        "tar.bz2": bz2.compress(whole),
        "parallel.tar.bz2": b"".join(blocks),
        "tar.gz": gzip.compress(whole),
        "tar.xz": lzma.compress(whole),
    }


@pytest.mark.parametrize("kind", archives())
def test_archives_of_qm9(kind: str, tally: Tally, tmp_path: Path) -> None:
    path = tmp_path / f"qm9.{kind}"
    path.write_bytes(archives()[kind])
    (tmp_path / "uncharacterized.txt").write_text("7 C\n")

    def use() -> str:
        cache = tmp_path / f"cache-{os.getpid()}"
        try:
            return open_qm9(path, cache).checksum
        finally:
            shutil.rmtree(cache, ignore_errors=True)

    try_damages(tally, "archive of QM9", [path], use, flips=100)


KERNELS = """
import torch
from molnet.models import Model
from ase.build import molecule
torch.manual_seed(0)
network = {"cutoff": 3.0, "channels": 4, "l_max": 1, "num_layers": 1, "radial_hidden": [8]}
heads = {"energy": {"kind": "extensive", "forces": True}}
model = Model(network, heads, [1, 8], {"mean_neighbours": 2.0})
print(model.predict([molecule("H2O")])[0]["forces"].tolist())
"""


def run_with(cache: Path) -> Result:
    """A prediction by a program of its own with the kernels in this cache."""
    done = subprocess.run(
        [sys.executable, "-c", KERNELS],
        env=os.environ | {"MOLNET_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        return Result("traceback", f"status {done.returncode}: {done.stderr}")
    return Result("value", done.stdout)


def test_compiled_kernels(tally: Tally, tmp_path: Path) -> None:
    if compiler.library("float") is None:
        pytest.skip("there is no C++ compiler")
    build = compiler._Build.of(
        str(compiler._compiler()), "float", compiler.USUAL_L, [*compiler.FLAGS, compiler.THREADS]
    )
    folder = tmp_path / "kernels"
    folder.mkdir()
    for path in (build.target, *build.objects):
        for name in (path.name, f"{path.name}.sha256"):
            shutil.copyfile(path.with_name(name), folder / name)
    library = folder / build.target.name
    smallest = min(folder.glob("*.o"), key=lambda path: path.stat().st_size)  # is made soonest
    expected = run_with(tmp_path).text
    rng = np.random.default_rng(3)
    for path, flips, cuts in (
        (library, 8, 8),
        (library.with_name(f"{library.name}.sha256"), 2, 2),
        (smallest, 2, 2),
    ):
        for what in damages(path, rng, flips, cuts):
            if path is smallest:
                library.unlink()  # so that it is linked from the objects again
            tally.add("compiled kernels", what, run_with(tmp_path), expected)
    assert tally.wrong["compiled kernels"] == []
    assert set(tally.counts["compiled kernels"]) == {"unchanged"}  # compiled again
