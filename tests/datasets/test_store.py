"""The array store: what is written comes back, whole or not at all."""

import errno
import json
import multiprocessing
import os
import pickle
import resource
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from molnet.cache import cache_folder
from molnet.datasets import edges as edges_module
from molnet.datasets import store as store_module
from molnet.datasets.arrays import GrowingArray
from molnet.datasets.cache import store_folder
from molnet.datasets.store import ArrayStore, StoreError, StoreWriter
from molnet.graph import find_neighbours
from molnet.graph.columns import Column
from molnet.properties import get_property

ENERGY = [get_property("energy")]


def write(folder: Path, structures: int = 3, energy: float = -1.0) -> ArrayStore:
    with StoreWriter(folder, ENERGY, source={"from": "test"}) as writer:
        for i in range(structures):
            writer.add([1, 8], [[0, 0, 0], [0, 0, 1.0 + i]], labels={"energy": energy})
    return ArrayStore.open(folder)


@pytest.mark.parametrize("flushed", [1, 2, 1000])
def test_what_is_written_comes_back(
    mixed: list[Atoms], tmp_path: Path, flushed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "FLUSHED_STRUCTURES", flushed)
    rng = np.random.default_rng(0)
    properties = [get_property(name) for name in ("energy", "forces", "stress", "charges")]
    labels = [
        {
            "energy": rng.normal(),
            "forces": rng.normal(size=(len(atoms), 3)),
            "stress": rng.normal(size=(3, 3)),
            "charges": rng.normal(size=len(atoms)),
        }
        for atoms in mixed
    ]
    with StoreWriter(tmp_path / "s", properties, {"from": "test"}) as writer:
        for atoms, values in zip(mixed, labels, strict=True):
            writer.add(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, values)
    store = ArrayStore.open(tmp_path / "s")

    assert len(store) == len(mixed)
    assert store.manifest["source"] == {"from": "test"}
    assert store.properties == {property.name: property for property in properties}
    assert store.elements == {"H": 8, "He": 1, "C": 2, "O": 2, "Al": 4, "Cu": 1}
    for i, (atoms, values) in enumerate(zip(mixed, labels, strict=True)):
        rows = slice(*store.offsets[i : i + 2])
        assert np.array_equal(store.species[rows], atoms.numbers)
        assert np.array_equal(store.positions[rows], atoms.positions)
        assert np.array_equal(store.pbc[i], atoms.pbc)
        assert np.array_equal(
            store.cells[i], atoms.cell.array if atoms.pbc.any() else 0 * np.eye(3)
        )
        assert store.labels["energy"][i] == values["energy"]
        assert np.array_equal(store.labels["forces"][rows], values["forces"])
        assert np.array_equal(store.labels["charges"][rows], values["charges"])
        if atoms.pbc.any():  # this slab has a third cell vector, hence a volume
            assert np.array_equal(store.labels["stress"][i], values["stress"])
        else:
            assert np.isnan(store.labels["stress"][i]).all()


def test_molecules_have_no_cells(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", [], {}) as writer:
        writer.add([1], [[0.0, 0.0, 0.0]], cell=50 * np.eye(3), pbc=np.zeros(3, dtype=bool))
    store = ArrayStore.open(tmp_path / "s")
    assert store.cells is None
    assert store.pbc is None
    assert not (tmp_path / "s" / "cells.npy").exists()


def test_arrays_are_mapped_and_read_only(tmp_path: Path) -> None:
    store = write(tmp_path / "s")
    assert isinstance(store.positions.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.positions[0] = 0.0


def test_a_pickled_store_maps_the_same_files(mixed_store: ArrayStore) -> None:
    edges = mixed_store.edges(4.0)
    text = pickle.dumps((mixed_store, edges))
    assert len(text) < 1000  # paths, no arrays
    store, table = pickle.loads(text)  # noqa: S301 - made just above
    assert np.array_equal(store.positions, mixed_store.positions)
    assert np.array_equal(table.senders, edges.senders)


def test_checksum_is_of_the_content(tmp_path: Path) -> None:
    first = write(tmp_path / "a")
    assert write(tmp_path / "b").checksum == first.checksum
    assert write(tmp_path / "c", energy=-1.0 - 1e-15).checksum != first.checksum
    assert write(tmp_path / "d", structures=4).checksum != first.checksum


def test_memory_does_not_grow_with_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "FLUSHED_STRUCTURES", 16)
    positions, species = np.random.default_rng(0).normal(size=(200, 3)), np.full(200, 6)

    def peak(structures: int) -> int:
        tracemalloc.start()
        with StoreWriter(tmp_path / str(structures), ENERGY, {}) as writer:
            for index in range(structures):
                columns = {"name": f"structure {index}"}
                writer.add(species, positions.copy(), labels={"energy": 0.0}, columns=columns)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(64)  # caches of imports and the like
    assert peak(1024) < 1.2 * peak(256)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_build_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def build() -> None:
        with StoreWriter(tmp_path / "s", ENERGY, {}) as writer:
            writer.add([1], [[0, 0, 0]], labels={"energy": 0.0})
            raise error

    with pytest.raises(error):
        build()
    assert list(tmp_path.iterdir()) == []


def _build_and_die(folder: Path) -> None:
    with StoreWriter(folder, [], {}) as writer:
        writer.add([1], [[0, 0, 0]])
        os._exit(9)


def test_a_killed_build_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    target = tmp_path / "s"
    build = multiprocessing.get_context("fork").Process(target=_build_and_die, args=(target,))
    build.start()
    build.join()
    assert build.exitcode == 9
    assert not target.exists()
    (leftover,) = tmp_path.iterdir()
    shutil.copytree(leftover, tmp_path / "copy")
    write(target)
    assert not leftover.exists()  # its process is dead
    (tmp_path / "copy").rename(leftover)
    shutil.rmtree(target)

    elsewhere = tmp_path / ".s.another-machine.1.abc.partial"
    leftover.rename(elsewhere)
    write(target)
    assert elsewhere.exists()  # it could be at work
    for entry in (elsewhere, *elsewhere.iterdir()):
        os.utime(entry, (0, 0))
    write(target)
    assert not elsewhere.exists()


def _build_with_others(folder: Path, barrier: "multiprocessing.synchronize.Barrier") -> None:
    with StoreWriter(folder, ENERGY, {}) as writer:
        writer.add([1], [[0, 0, 0]], labels={"energy": 0.0})
        barrier.wait(timeout=60)  # all are building; now all finish
    assert len(ArrayStore.open(folder)) == 1


def test_builds_at_the_same_time_all_end_well(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    builds = [
        context.Process(target=_build_with_others, args=(tmp_path / "s", barrier)) for _ in range(3)
    ]
    for build in builds:
        build.start()
    for build in builds:
        build.join()
    assert [build.exitcode for build in builds] == [0, 0, 0]
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": np.zeros((2, 2))}, r"positions \[N, 3\].*got \(2,\) and \(2, 2\)"),
        ({"species": np.zeros(0), "positions": np.zeros((0, 3))}, "N > 0"),
        ({"labels": {}}, r"expected labels \['energy'\], got \[\]"),
        ({"labels": {"energy": 1.0, "mu": 1.0}}, r"got \['energy', 'mu'\]"),
        ({"labels": {"energy": [1.0, 2.0]}}, r"energy of shape \(\), got \(2,\)"),
        ({"labels": {"energy": np.nan}}, "energy must be finite, got nan"),
        ({"positions": [[0, 0, 0], [0, 0, np.inf]]}, "positions must be finite"),
        ({"species": [1, 200]}, "atomic numbers from 1 to 118, got 200"),
        ({"species": [0, 1]}, "atomic numbers from 1 to 118, got 0"),
        ({"pbc": [True, True, True]}, r"a cell \[3, 3\], got shapes \(3,\) and \(\)"),
    ],
)
def test_unsound_structures_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    sound = {"species": [1, 8], "positions": [[0, 0, 0], [0, 0, 1]], "labels": {"energy": 0.0}}

    def build() -> None:
        with StoreWriter(tmp_path / "s", ENERGY, {}) as writer:
            writer.add(**sound)
            writer.add(**(sound | change))

    with pytest.raises(ValueError, match=rf"structure 1: .*{message}"):
        build()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="no structure was added"),
        StoreWriter(tmp_path / "s", [], {}),
    ):
        pass


def test_damage_is_found_on_opening(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no manifest\.json"):
        ArrayStore.open(tmp_path)

    write(tmp_path / "cut")
    os.truncate(tmp_path / "cut" / "positions.npy", 150)
    with pytest.raises(
        StoreError, match=r"positions.npy is damaged.*it has 150 bytes, not 272.*Delete"
    ):
        ArrayStore.open(tmp_path / "cut")

    write(tmp_path / "absent")
    (tmp_path / "absent" / "species.npy").unlink()
    with pytest.raises(StoreError, match=r"species\.npy is missing"):
        ArrayStore.open(tmp_path / "absent")

    write(tmp_path / "other")
    np.save(tmp_path / "other" / "offsets.npy", np.zeros(9))
    with pytest.raises(StoreError, match=r"offsets.npy is damaged \(expected \(4,\) of <i8\)"):
        ArrayStore.open(tmp_path / "other")

    write(tmp_path / "text")
    (tmp_path / "text" / "manifest.json").write_text('{"format_version": 1')
    with pytest.raises(StoreError, match=r"damaged: manifest\.json is not JSON"):
        ArrayStore.open(tmp_path / "text")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "s")
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    (tmp_path / "s" / "manifest.json").write_text(
        json.dumps(manifest | {"format_version": 99, "molnet": "9.0"})
    )
    with pytest.raises(StoreError, match=r"format version 99, written by molnet 9\.0.*Upgrade"):
        ArrayStore.open(tmp_path / "s")


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "s")
    np.save(tmp_path / "s" / "positions.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(StoreError, match=r"positions\.npy is damaged"):
        ArrayStore.open(tmp_path / "s")


def _build_with_little_room(folder: Path, answer: "multiprocessing.queues.Queue[OSError]") -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    try:
        with StoreWriter(folder, [], {}) as writer:
            for _ in range(10):
                writer.add(np.ones(1000, dtype=int), np.ones((1000, 3)))
    except OSError as error:
        answer.put(error)


def test_a_full_disk_names_folder_and_remedy(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    build = context.Process(target=_build_with_little_room, args=(tmp_path / "s", answer))
    build.start()
    error = answer.get(timeout=60)
    build.join()
    assert error.errno == errno.EFBIG
    assert str(tmp_path) in str(error)
    assert "set the environment variable MOLNET_CACHE or dataset.cache=FOLDER" in str(error)
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_place_names_folder_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match=r"cannot write the data set to .*file.*MOLNET_CACHE"),
        StoreWriter(tmp_path / "file" / "s", [], {}),
    ):
        pass


def test_growing_array_writes_numpys_own_format(tmp_path: Path) -> None:
    with GrowingArray(tmp_path / "a.npy", np.int32, (2,)) as array:
        array.append(np.arange(6).reshape(3, 2))
        array.append(np.arange(2).reshape(1, 2))
        entry = array.finish()
    assert np.load(tmp_path / "a.npy").tolist() == [[0, 1], [2, 3], [4, 5], [0, 1]]
    assert entry["shape"] == [4, 2]
    with (
        pytest.raises(ValueError, match=r"a.npy: expected rows of shape \(2,\), got \(3,\)"),
        GrowingArray(tmp_path / "a.npy", np.int32, (2,)) as array,
    ):
        array.append(np.zeros((1, 3)))


def test_folder_names_hold_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOLNET_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder("/elsewhere") == Path("/elsewhere")
    one = store_folder(None, "my set", {"unit": "eV"})
    assert one.parent == tmp_path
    assert one.name.startswith("my-set-")
    assert store_folder(None, "my set", {"unit": "eV"}) == one
    assert store_folder(None, "my set", {"unit": "Hartree"}) != one


# Edge tables


@pytest.mark.parametrize("chunk", [1, 13, 10_000])
def test_edges_are_those_of_each_structure(
    mixed: list[Atoms], mixed_store: ArrayStore, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges_module, "CHUNK", chunk)  # atoms; the first molecule has 9
    table = mixed_store.edges(4.0)
    assert table.senders.dtype == np.uint8
    assert len(table.offsets) == len(mixed) + 1
    assert table.shifts is not None
    for i, atoms in enumerate(mixed):
        expected = find_neighbours(atoms.positions, atoms.cell.array, atoms.pbc, 4.0)
        rows = slice(*table.offsets[i : i + 2])
        found = np.column_stack([table.receivers[rows], table.senders[rows], table.shifts[rows]])
        assert (np.diff(table.receivers[rows].astype(int)) >= 0).all()
        edges = np.column_stack([expected.receivers, expected.senders, expected.shifts])
        assert sorted(found.tolist()) == sorted(edges.tolist())
    assert table.offsets[2] == table.offsets[1]  # the isolated atom


def test_edges_are_found_once_for_each_cutoff(
    mixed_store: ArrayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mixed_store.edges(4.0)

    def fail(*_: object) -> None:
        raise RuntimeError("searched again")

    monkeypatch.setattr(edges_module, "find_neighbours_of_many", fail)
    again = ArrayStore.open(mixed_store.path).edges(4)
    assert np.array_equal(again.senders, first.senders)
    with pytest.raises(RuntimeError, match="searched again"):
        mixed_store.edges(4.1)
    assert sorted(entry.name for entry in mixed_store.path.glob("*edges*")) == ["edges-4.0"]


def test_edges_of_isolated_atoms_alone(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", [], {}) as writer:
        writer.add([1], [[0, 0, 0]])
    table = ArrayStore.open(tmp_path / "s").edges(5.0)
    assert table.offsets.tolist() == [0, 0]
    assert len(table.senders) == 0
    assert table.shifts is None


@pytest.mark.parametrize("chunk", [2, 10_000])
def test_edge_errors_name_the_structure(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges_module, "CHUNK", chunk)
    with StoreWriter(tmp_path / "s", [], {}) as writer:
        writer.add([1, 1], [[0, 0, 0], [0, 0, 1]])
        writer.add([1, 1], [[0, 0, 0], [0, 0, 0]])
    store = ArrayStore.open(tmp_path / "s")
    with pytest.raises(ValueError, match=r"structure 1 of .*same place"):
        store.edges(5.0)
    with pytest.raises(ValueError, match="positive cutoff"):
        store.edges(0.0)
    assert not list(store.path.glob("*edges*"))


def test_a_damaged_edge_table_is_found(mixed_store: ArrayStore) -> None:
    mixed_store.edges(4.0)
    os.truncate(mixed_store.path / "edges-4.0" / "senders.npy", 130)
    with pytest.raises(ValueError, match=r"edges-4\.0 is damaged: senders.npy"):
        mixed_store.edges(4.0)


def test_columns_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "FLUSHED_STRUCTURES", 2)
    columns: list[dict[str, Column]] = [
        {"name": "Wasser, H₂O", "step": 3, "time": 0.1},
        {},
        {"name": 'two "words"\n'},
        {"step": -(2**60)},
        {},
    ]
    with StoreWriter(tmp_path / "s", [], {}) as writer:
        for values in columns:
            writer.add([1], [[0.0, 0.0, 0.0]], columns=values)
    store = pickle.loads(pickle.dumps(ArrayStore.open(tmp_path / "s")))  # noqa: S301 - just made
    assert [store.columns(index) for index in range(5)] == columns
    assert isinstance(store.columns(0)["step"], int)
    plain = write(tmp_path / "plain")
    assert plain.columns(0) == {}
    assert not (tmp_path / "plain" / "columns.npy").exists()


def test_columns_are_no_part_of_the_identity_and_are_verified(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with StoreWriter(tmp_path / name, [], {}) as writer:
            writer.add([1], [[0.0, 0.0, 0.0]], columns={"name": name})
    first, second = (ArrayStore.open(tmp_path / name) for name in ("a", "b"))
    assert first.checksum == second.checksum
    shutil.copy(tmp_path / "a" / "columns.npy", tmp_path / "b" / "columns.npy")
    with pytest.raises(StoreError, match=r"columns\.npy has changed"):
        ArrayStore.open(tmp_path / "b")
