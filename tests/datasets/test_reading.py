"""Large files: read in parts by several processes, after a kill, and with damaged pieces."""

import errno
import logging
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

from molnet.datasets import reading
from molnet.datasets.pieces import Piece, PieceReader
from molnet.datasets.reading_process import ReadingProcessError
from molnet.datasets.store import ArrayStore
from molnet.datasets.structures import open_structures
from molnet.datasets.unfinished import Task, Unfinished
from molnet.graph.frames import DEFAULTS, FrameRange, StructureFileError
from tests.datasets.test_structures import ENERGY, FORCES

fork = multiprocessing.get_context("fork")
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(reading, "PART", 2000)  # bytes, some ten frames
    monkeypatch.setattr(reading, "LARGE", 0)
    yield
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def use_processes(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(reading, "processors", lambda: count)


def frames_of_all_kinds(count: int, seed: int = 0) -> list[Atoms]:
    """Molecules, crystals, ions and isolated atoms, some without a label, with many columns."""
    rng = np.random.default_rng(seed)
    kinds = [molecule("H2O"), molecule("CH4"), bulk("Cu", cubic=True), Atoms("O"), molecule("NH3")]
    frames = []
    for i in range(count):
        atoms = kinds[i % len(kinds)].copy()
        atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape)
        atoms.info = {"kind": f"k{i % 7}", f"word{i % 40}": "a", "step": i}
        if i % 11 == 0:
            atoms.info["charge"] = 1
        if i % 13:
            energy, forces = rng.normal(), rng.normal(size=(len(atoms), 3))
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    return frames


def write_files(folder: Path) -> list[Path]:
    """Two XYZ files, one of which is compressed, and a trajectory."""
    paths = [folder / name for name in ("a.extxyz", "b.extxyz.gz", "c.traj", "d.xyz")]
    for seed, path in enumerate(paths):
        form = "extxyz" if "xyz" in path.name else None
        ase.io.write(path, frames_of_all_kinds(60 + seed, seed), format=form)
    return paths


def opened(cache: Path, files: list[Path]) -> ArrayStore:
    return open_structures(
        files[:-1], FORCES, cache=cache, split_by="kind", validation_path=files[-1]
    )


def test_stores_are_the_same_whoever_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_files(tmp_path)
    stores = []
    for name, large, processes in (("small", 1 << 30, 1), ("one", 0, 1), ("three", 0, 3)):
        monkeypatch.setattr(reading, "LARGE", large)
        use_processes(monkeypatch, processes)
        stores.append(opened(tmp_path / name, files))
        assert len(list((tmp_path / name).iterdir())) == 1  # no pieces are left
    manifest = stores[0].manifest
    assert all(store.manifest == manifest for store in stores)
    assert manifest["source"]["isolated"] > 0
    assert manifest["source"]["parts"]["validation"] > 0
    assert any("first 32 are kept; 'word29'" in remark for remark in manifest["source"]["remarks"])
    assert "word27" in manifest["source"]["columns"]
    assert "word29" not in manifest["source"]["columns"]
    assert sum(entry["frames"] for entry in manifest["source"]["files"]) == 60 + 61 + 62 + 63


def test_a_data_set_of_atoms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_processes(monkeypatch, 2)
    frames = [Atoms(("H", "He")[i % 2], info={"energy": i}) for i in range(40)]
    ase.io.write(tmp_path / "a.extxyz", frames)
    store = open_structures(tmp_path / "a.extxyz", ENERGY, cache=tmp_path / "cache")
    assert store.labels["energy"].tolist() == list(range(40))
    assert store.manifest["source"]["isolated_atoms"] == {}
    assert store.manifest["source"]["files"][0]["left_out"] == []


@pytest.mark.parametrize("processes", [1, 3])
def test_the_first_fault_in_order_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    use_processes(monkeypatch, processes)
    frames = frames_of_all_kinds(60)
    ase.io.write(tmp_path / "a.extxyz", frames)
    frames[17].info["charge"] = 0.5
    for place in (41, 56):
        frames[place].positions[-1] = frames[place].positions[0]
    ase.io.write(tmp_path / "b.extxyz", frames)
    frames[17].info["charge"] = 1
    ase.io.write(tmp_path / "c.extxyz", frames)
    for second, fault in (("b", "frame 17: .*charge"), ("c", "frame 41: .*the same place")):
        files = [tmp_path / f"{name}.extxyz" for name in ("a", second, "c")]
        with pytest.raises(StructureFileError, match=rf"{second}\.extxyz, {fault}"):
            open_structures(files, ENERGY, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_wrong_key_comes_before_later_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_processes(monkeypatch, 2)
    monkeypatch.setattr("molnet.datasets.tally.LOOKED_AT_FIRST", 30)
    frames = frames_of_all_kinds(60)
    frames[40].positions[:] = np.nan
    ase.io.write(tmp_path / "a.extxyz", frames)
    wrong = {"energy": {"key": "E", "unit": "eV"}}
    with pytest.raises(StructureFileError, match=r"frames read has 'E'"):
        open_structures(tmp_path / "a.extxyz", wrong, cache=tmp_path / "cache")


def counted(monkeypatch: pytest.MonkeyPatch, stop: int | None = None) -> list[int]:
    """The first frames of the parts that are read from now on; an interrupt comes at one."""
    read: list[int] = []
    pieces = PieceReader.pieces

    def counting(self: PieceReader, path: Path, part: FrameRange, *rest: object) -> object:
        if len(read) == stop:
            raise KeyboardInterrupt
        read.append(part.first)
        return pieces(self, path, part, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(PieceReader, "pieces", counting)
    return read


def test_an_interrupted_build_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_processes(monkeypatch, 1)
    ase.io.write(tmp_path / "a.extxyz", frames_of_all_kinds(60))

    def build() -> ArrayStore:
        return open_structures(tmp_path / "a.extxyz", FORCES, cache=tmp_path / "cache")

    with monkeypatch.context() as context:
        counted(context, stop=4)
        with pytest.raises(KeyboardInterrupt):
            build()
    (folder,) = (tmp_path / "cache").iterdir()
    assert folder.name.endswith(".unfinished")
    parts = len(reading.tasks_of([tmp_path / "a.extxyz"], READER)[0])
    caplog.set_level(logging.INFO)
    with monkeypatch.context() as context:
        read = counted(context)
        store = build()
    assert len(read) == parts - 4
    assert f"going on with an interrupted build: 4 of {parts} parts" in caplog.text
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [store.path.name]
    again = open_structures(tmp_path / "a.extxyz", FORCES, cache=tmp_path / "other")
    assert store.manifest == again.manifest


READER = PieceReader([], False, DEFAULTS, None, True)


@pytest.mark.parametrize("damage", ["bit", "cut", "absent", "end", "another"])
def test_damaged_pieces_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    use_processes(monkeypatch, 1)
    ase.io.write(tmp_path / "a.extxyz", frames_of_all_kinds(60))

    def build(cache: str) -> ArrayStore:
        return open_structures(tmp_path / "a.extxyz", FORCES, cache=tmp_path / cache)

    with monkeypatch.context() as context:
        counted(context, stop=4)
        with pytest.raises(KeyboardInterrupt):
            build("cache")
    (folder,) = (tmp_path / "cache").iterdir()
    piece, end = folder / "000001-000000.piece", folder / "000001.pieces"
    content = bytearray(piece.read_bytes())
    if damage == "bit":
        content[len(content) // 2] ^= 4
        piece.write_bytes(content)
    elif damage == "cut":
        piece.write_bytes(content[:-100])
    elif damage == "absent":
        piece.unlink()
    elif damage == "end":
        end.write_text(end.read_text().replace("1", "2"))
    else:
        piece.write_bytes((folder / "000002-000000.piece").read_bytes())
    with monkeypatch.context() as context:
        read = counted(context)
        store = build("cache")
    second = reading.tasks_of([tmp_path / "a.extxyz"], READER)[0][1].part
    assert second is not None
    assert read[0] == second.first
    assert store.manifest == build("other").manifest


def test_pieces_of_another_molnet_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_processes(monkeypatch, 1)
    ase.io.write(tmp_path / "a.extxyz", frames_of_all_kinds(60))
    with monkeypatch.context() as context:
        counted(context, stop=4)
        context.setattr("molnet.datasets.pieces.FORMAT", [1, "0.0.1"])
        with pytest.raises(KeyboardInterrupt):
            open_structures(tmp_path / "a.extxyz", FORCES, cache=tmp_path / "cache")
    read = counted(monkeypatch)
    open_structures(tmp_path / "a.extxyz", FORCES, cache=tmp_path / "cache")
    assert len(read) == len(reading.tasks_of([tmp_path / "a.extxyz"], READER)[0])


# Processes that end before their time


def children_of(process: int) -> list[int]:
    children = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = entry.read_text().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if int(parent) == process and state != "Z":
            children.append(int(entry.parent.name))
    return children


def wait_until(found: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)


@linux
def test_a_killed_build_leaves_no_process_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_processes(monkeypatch, 2)
    ase.io.write(tmp_path / "a.extxyz", frames_of_all_kinds(600))
    cache = tmp_path / "cache"

    def build() -> None:
        open_structures(tmp_path / "a.extxyz", FORCES, cache=cache)

    process = fork.Process(target=build)
    process.start()
    assert process.pid is not None
    wait_until(lambda: len(list(cache.glob("*.unfinished/*.pieces"))) > 3)
    readers = children_of(process.pid)
    process.kill()
    process.join()
    assert len(readers) == 2
    wait_until(lambda: not any(Path(f"/proc/{reader}").exists() for reader in readers))

    written = len(list(cache.glob("*.unfinished/*.pieces")))
    use_processes(monkeypatch, 1)
    parts = len(reading.tasks_of([tmp_path / "a.extxyz"], READER)[0])
    assert 3 < written < parts
    read = counted(monkeypatch)
    build()
    assert len(read) == parts - written
    assert [entry.suffix for entry in cache.iterdir()] == [""]


@linux
def test_a_killed_reader_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_processes(monkeypatch, 2)
    path = tmp_path / "a.extxyz"
    ase.io.write(path, frames_of_all_kinds(200))
    before = children_of(os.getpid())

    def readers() -> list[int]:
        return [child for child in children_of(os.getpid()) if child not in before]

    def kill(self: Unfinished, task: Task) -> Iterator[Piece]:
        for reader in readers():  # none is left when other parts are read, before this is noticed
            os.kill(reader, signal.SIGKILL)
        return iter(())

    with monkeypatch.context() as context:
        context.setattr(Unfinished, "pieces", kill)  # of the first part, when that is read
        with pytest.raises(
            ReadingProcessError, match=r"a\.extxyz, frame .*SIGKILL.*memory ran out"
        ):
            open_structures(path, FORCES, cache=tmp_path / "cache")
    assert readers() == []
    store = open_structures(path, FORCES, cache=tmp_path / "cache")
    assert sum(entry["frames"] for entry in store.manifest["source"]["files"]) == 200


def _build_with_little_room(
    path: Path, cache: Path, answer: "multiprocessing.Queue[OSError]"
) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        open_structures(path, FORCES, cache=cache)
    except OSError as error:
        answer.put(error)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk_names_folder_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    use_processes(monkeypatch, processes)
    ase.io.write(tmp_path / "a.extxyz", frames_of_all_kinds(60))
    answer = fork.Queue()
    arguments = (tmp_path / "a.extxyz", tmp_path / "cache", answer)
    build = fork.Process(target=_build_with_little_room, args=arguments)
    build.start()
    error = answer.get(timeout=60)
    build.join()
    assert error.errno == errno.EFBIG
    assert "set the environment variable MOLNET_CACHE or dataset.cache=FOLDER" in str(error)


def test_two_builds_at_the_same_time_both_end_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_processes(monkeypatch, 2)
    ase.io.write(tmp_path / "a.extxyz", frames_of_all_kinds(400))

    def build() -> None:
        open_structures(tmp_path / "a.extxyz", FORCES, cache=tmp_path / "cache")

    builds = [fork.Process(target=build) for _ in range(2)]
    for process in builds:
        process.start()
    for process in builds:
        process.join()
    assert [process.exitcode for process in builds] == [0, 0]
    assert [entry.suffix for entry in (tmp_path / "cache").iterdir()] == [""]


def test_a_file_that_grows_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_processes(monkeypatch, 1)
    path = tmp_path / "a.extxyz"
    ase.io.write(path, frames_of_all_kinds(60))
    pieces = PieceReader.pieces

    def growing(self: PieceReader, *rest: object) -> object:
        with open(path, "a") as file:
            file.write("1\n\nH 0 0 0\n")
        return pieces(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(PieceReader, "pieces", growing)
    with pytest.raises(StructureFileError, match=r"a\.extxyz has changed while it was read"):
        open_structures(path, FORCES, cache=tmp_path / "cache")
