"""Compiled files are whole or made again, by one process at a time."""

import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from molnet.kernels import built, compiler
from molnet.kernels.built import is_sound, make, one_at_a_time
from molnet.kernels.compiler import library

CONTENT = bytes(range(256)) * 8
PROGRAM = """
import logging
logging.basicConfig(format="%(message)s")
from molnet.kernels import backend
print(backend("cpu"))
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A compiler that makes CONTENT, and notes how often it ran."""
    (tmp_path / "content").write_bytes(CONTENT)
    script = tmp_path / "c++"
    script.write_text(f'#!/bin/sh\necho >>{tmp_path}/runs\ncp {tmp_path}/content "$2"\n')
    script.chmod(0o755)
    return [str(script)]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "kernels").mkdir()
    return tmp_path / "kernels" / "float.so"


def runs(target: Path) -> int:
    return len((target.parents[1] / "runs").read_text().splitlines())


def test_a_file_is_made_once(target: Path, command: list[str]) -> None:
    for _ in range(2):
        make(target, command)
    assert target.read_bytes() == CONTENT
    assert runs(target) == 1
    assert sorted(path.name for path in target.parent.iterdir()) == [
        "float.so",
        "float.so.sha256",
    ]


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, len(CONTENT) - 1),
    "cut in the middle": lambda path: os.truncate(path, 700),
    "empty": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(CONTENT + b"\0"),
    "flipped bit": lambda path: path.write_bytes(CONTENT[:99] + b"\xff" + CONTENT[100:]),
    "absent": lambda path: path.unlink(),
    "no record": lambda path: path.with_name("float.so.sha256").unlink(),
    "cut record": lambda path: os.truncate(path.with_name("float.so.sha256"), 10),
    "empty record": lambda path: os.truncate(path.with_name("float.so.sha256"), 0),
    "binary record": lambda path: path.with_name("float.so.sha256").write_bytes(b"\xff\xfe"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_made_again(
    target: Path, command: list[str], damage: Callable[[Path], object]
) -> None:
    make(target, command)
    assert is_sound(target)
    damage(target)
    assert not is_sound(target)
    make(target, command)
    assert is_sound(target)
    assert target.read_bytes() == CONTENT
    assert runs(target) == 2


def test_a_compiler_that_fails_leaves_nothing(target: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        make(target, ["false"])
    assert list(target.parent.iterdir()) == []


def test_the_others_wait_and_say_so(target: Path, caplog: pytest.LogCaptureFixture) -> None:
    order = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with one_at_a_time(target.parent):
            inside.set()
            leave.wait(60)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(60)

    class Release(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            leave.set()  # the second has been seen to wait

    handler = Release()
    built.log.addHandler(handler)
    try:
        with one_at_a_time(target.parent):
            order.append("second")
    finally:
        built.log.removeHandler(handler)
        thread.join()
    assert order == ["first", "second"]
    assert caplog.messages == ["Waiting for another process, which compiles kernels ..."]


def _compile_and_die(folder: Path) -> None:
    with one_at_a_time(folder):
        (folder / "partial-1").mkdir()
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_lock_of_a_dead_process_is_open(target: Path, caplog: pytest.LogCaptureFixture) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=_compile_and_die, args=(target.parent,)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (target.parent / "partial-1").exists()
    with one_at_a_time(target.parent):
        pass
    assert caplog.messages == []
    assert not (target.parent / "partial-1").exists()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache folder with a copy of the compiled kernels."""
    if library("float") is None:
        pytest.skip("there is no C++ compiler")
    build = compiler._Build.of(
        str(compiler._compiler()), "float", compiler.USUAL_L, [*compiler.FLAGS, compiler.THREADS]
    )
    if not build.target.is_file():
        pytest.skip("the compiler comes without OpenMP")
    (tmp_path / "kernels").mkdir()
    for path in (build.target, *build.objects):
        for name in (path.name, f"{path.name}.sha256"):
            shutil.copyfile(path.with_name(name), tmp_path / "kernels" / name)
    return tmp_path


def start(cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"MOLNET_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_cut_library_is_linked_again_after_one_line(cache: Path) -> None:
    (path,) = (cache / "kernels").glob("*.so")
    os.truncate(path, path.stat().st_size // 2)
    process = start(cache)
    output, errors = process.communicate()
    assert (process.returncode, output.strip()) == (0, "compiled convolution")
    first, second = errors.strip().splitlines()
    assert first == f"The compiled kernels in {path} are damaged; they are made again."
    assert second.startswith("Compiling kernels for this processor, once")
    assert is_sound(path)


def test_of_several_processes_one_compiles(cache: Path) -> None:
    (path,) = (cache / "kernels").glob("*.so")
    path.unlink()
    together = [start(cache) for _ in range(3)]
    results = [process.communicate() for process in together]
    assert [output.strip() for output, _ in results] == ["compiled convolution"] * 3
    assert sum("Compiling" in errors for _, errors in results) == 1
    assert start(cache).communicate()[1] == ""
