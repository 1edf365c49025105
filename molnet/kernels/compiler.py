"""Compilation of the C++ kernels on first use, for the processor at hand.

The library is kept in the user's cache folder (``$MOLNET_CACHE`` or the system's), under a name
that holds a hash of source, flags, compiler and processor. It appears in one step, so a process
that is killed, or several that start at once, do no harm.
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
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from molnet.cache import cache_folder

SOURCES = Path(__file__).parent / "csrc"
# No -ffast-math: re-association takes fused multiply-adds apart, and a library linked with it
# changes the floating-point mode of the whole process.
ARITHMETIC = ["-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
FLAGS = ["-std=c++17", "-O3", "-march=native", *ARITHMETIC, "-fopenmp", "-fPIC"]

REAL = {torch.float32: "float", torch.float64: "double"}
"""The C++ type of each dtype that has kernels."""

log = logging.getLogger(__name__)


def kernels_for(x: Tensor) -> ctypes.CDLL | None:
    """The compiled kernels for tensors like this one, if there are any."""
    served = x.device.type == "cpu" and x.dtype in REAL
    return library(REAL[x.dtype]) if served else None


@cache
def library(real: str) -> ctypes.CDLL | None:
    """The kernels for the C++ type ``real``, or None where there are none.

    Why there are none is said in one line, once.

    ``MOLNET_KERNELS=reference`` in the environment does without them.
    """
    if os.environ.get("MOLNET_KERNELS") == "reference":
        return None
    compiler = _compiler()
    if compiler is None:
        return None
    try:
        return ctypes.CDLL(str(_compiled(compiler, real)))
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


def _compiled(compiler: str, real: str) -> Path:
    version = _run(compiler, "--version")
    sources = sorted(SOURCES.glob("*.cpp"))
    texts = [path.read_text() for path in (*sources, *sorted(SOURCES.glob("*.h")))]
    flags = [*FLAGS, f"-DREAL={real}", f"-DREAL_IS_DOUBLE={int(real == 'double')}"]
    identity = "\n".join([*texts, *flags, version, _processor()])
    file = f"{real}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.so"
    target = cache_folder() / "kernels" / file
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        log.warning("Compiling the kernels for this processor, once (about half a minute) ...")
        with (
            tempfile.TemporaryDirectory(dir=target.parent) as partial,
            ThreadPoolExecutor() as pool,
        ):
            objects = [str(Path(partial) / f"{source.stem}.o") for source in sources]
            commands = [
                pool.submit(_run, compiler, *flags, "-c", str(source), "-o", made)
                for source, made in zip(sources, objects, strict=True)
            ]
            for command in commands:
                command.result()
            made = Path(partial) / file
            _run(compiler, *flags, "-shared", *objects, "-o", str(made))
            made.replace(target)
    return target


def _run(*command: str) -> str:
    """What a run of the user's own compiler prints."""
    finished = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return finished.stdout


def _processor() -> str:
    """What ``-march=native`` depends on."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return f"{platform.machine()} {platform.processor()}"
    lines = cpuinfo.read_text().splitlines()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
