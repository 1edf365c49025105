"""Compilation of the C++ kernels on first use, for the processor at hand.

Objects and libraries are kept in the user's cache folder (``$MOLNET_CACHE`` or the system's),
under names that hold a hash of source, flags, compiler and processor. Of several processes that
start at once one compiles; what was damaged since is compiled again (see
:mod:`molnet.kernels.built`).

Most of the code belongs to paths of the convolution with l = 3 or 4. It is compiled where a plan
has such paths: a second library, of which everything else is there already.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from molnet.cache import cache_folder
from molnet.kernels.built import is_sound, make, one_at_a_time, run, was_made

SOURCES = Path(__file__).parent / "csrc"
COUPLED = "coupled"
"""The folder with the convolution by matrices of edges, which takes longest to compile."""

# No -ffast-math: re-association takes fused multiply-adds apart, and a library linked with it
# changes the floating-point mode of the whole process.
ARITHMETIC = ["-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
# Clang knows the processor at hand by this name only where it is an ARM.
NATIVE = "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"
FLAGS = ["-std=c++17", "-O3", NATIVE, *ARITHMETIC, "-fPIC"]
THREADS = "-fopenmp"

USUAL_L, LARGEST_L = 2, 4
"""Up to which l a library convolves: one for most networks, and one for all that have kernels."""

REAL = {torch.float32: "float", torch.float64: "double"}
"""The C++ type of each dtype that has kernels."""

log = logging.getLogger(__name__)


def kernels_for(x: Tensor, l_max: int = USUAL_L) -> ctypes.CDLL | None:
    """The compiled kernels for tensors like this one, if there are any.

    Args:
        x: of the device and dtype.
        l_max: largest l among what is convolved.
    """
    served = x.device.type == "cpu" and x.dtype in REAL
    return library(REAL[x.dtype], l_max) if served else None


def kernels_serve(x: Tensor) -> bool:
    """Whether kernels may take this tensor: there are some, and its numbers are in memory.

    While `torch.compile` traces or a transform of `torch.func` is at work they are not.
    """
    return (
        not torch.compiler.is_compiling()  # first, as what follows cannot be traced
        and not torch._C._are_functorch_transforms_active()
        and kernels_for(x) is not None
    )


def library(real: str, l_max: int = USUAL_L) -> ctypes.CDLL | None:
    """The kernels for the C++ type ``real``, or None where there are none.

    Why there are none is said in one line, once.

    ``MOLNET_KERNELS=reference`` in the environment does without them.
    """
    if l_max > LARGEST_L:
        return None
    usual = _library(real, USUAL_L)  # serves everything else in any case
    return usual if usual is None or l_max <= USUAL_L else _library(real, LARGEST_L)


@cache
def _library(real: str, l_max: int) -> ctypes.CDLL | None:
    if os.environ.get("MOLNET_KERNELS") == "reference":
        return None
    compiler = _compiler()
    if compiler is None:
        return None
    try:
        return ctypes.CDLL(str(_compiled(compiler, real, l_max)))
    except subprocess.CalledProcessError as error:
        _without(f"{compiler} failed: {error.stderr.strip()[-500:]}")
    except OSError as error:
        _without(f"the compiled kernels cannot be used: {error}")
    return None


@cache
def _compiler() -> str | None:
    """The compiler to use; that there is none is said once, for all kernels."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None or shutil.which(compiler) is None:
        _without(f"no C++ compiler ({compiler or 'g++ or clang++'}) was found; install one")
        return None
    return compiler


def _without(reason: str) -> None:
    log.warning("Networks run in plain PyTorch, several times slower: %s.", reason)


def _compiled(compiler: str, real: str, l_max: int) -> Path:
    """The library, made if it is not there."""
    build = _Build.of(compiler, real, l_max, [*FLAGS, THREADS])
    if is_sound(build.target):
        return build.target
    threads = _makes_threads(compiler)
    if not threads:
        build = _Build.of(compiler, real, l_max, FLAGS)
    if not is_sound(build.target):
        with one_at_a_time(build.target.parent):
            if not is_sound(build.target):  # else another process has just made it
                _announce(build.target, l_max)
                build.make()
    if not threads:
        _without_threads(compiler)
    return build.target


def _announce(target: Path, l_max: int) -> None:
    what = "kernels" if l_max == USUAL_L else f"kernels of l up to {l_max}"
    if was_made(target):
        log.warning("The compiled kernels in %s are damaged; they are made again.", target)
    log.warning("Compiling %s for this processor, once (some 10 to 20 seconds) ...", what)


@cache
def _without_threads(compiler: str) -> None:
    log.warning("The kernels run in one thread: %s came without OpenMP; install it.", compiler)


@dataclass(frozen=True)
class _Build:
    """A library, and the command that makes each of its objects; names tell what they hold."""

    objects: dict[Path, list[str]]
    target: Path
    link: list[str]

    @classmethod
    def of(cls, compiler: str, real: str, l_max: int, flags: list[str]) -> "_Build":
        flags = [*flags, f"-DREAL={real}", f"-DREAL_IS_DOUBLE={int(real == 'double')}"]
        folder = cache_folder() / "kernels"
        objects = {}
        # Those that take longest come first.
        # Most networks have no path for the kernels of this folder: see convolution/direct.h.
        seldom_run = ["-O2", f"-DCONVOLUTION_L={l_max}"]
        sources = sorted(SOURCES.rglob("*.cpp"))
        for source in sorted(sources, key=lambda path: path.parent.name != COUPLED):
            more = seldom_run if source.parent.name == COUPLED else []
            identity = _hash(*_surroundings(compiler), source.read_text(), *flags, *more)
            objects[folder / f"{source.stem}-{identity}.o"] = [
                *(compiler, *flags, *more, "-I", str(SOURCES)),
                *("-c", str(source)),
            ]
        target = folder / f"{real}-{_hash(*(path.name for path in objects))}.so"
        return cls(objects, target, [compiler, *flags, "-shared", *map(str, objects)])

    def make(self) -> None:
        with ThreadPoolExecutor() as pool:
            for made in [pool.submit(make, *each) for each in self.objects.items()]:
                made.result()
        make(self.target, self.link)


@cache
def _surroundings(compiler: str) -> list[str]:
    """What every object depends on: compiler, processor and headers."""
    headers = [path.read_text() for path in sorted(SOURCES.rglob("*.h"))]
    return [run(compiler, "--version"), _processor(), *headers]


@cache
def _makes_threads(compiler: str) -> bool:
    """Whether the compiler comes with OpenMP."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "empty.cpp"
        source.touch()
        try:
            run(compiler, *FLAGS, THREADS, "-shared", str(source), "-o", f"{source}.so")
        except subprocess.CalledProcessError:
            return False
    return True


def _hash(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _processor() -> str:
    """What ``-march=native`` depends on."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return f"{platform.machine()} {platform.processor()}"
    lines = cpuinfo.read_text().splitlines()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
