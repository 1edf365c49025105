"""Compilation on first use, and life without a compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from molnet.kernels import backend
from molnet.kernels.compiler import LARGEST_L, USUAL_L, kernels_for, library

PROGRAM = """
import logging, torch
logging.basicConfig(format="%(message)s")
from molnet.kernels import Block, Edges, Path, Plan, Weights, backend, convolve
plan = Plan((Block(3, 2),), (1,), (Path(0, 0, 1, 0),))
edges = Edges.of(torch.tensor([1, 0]), torch.tensor([0, 1]), 2)
Y, C = torch.ones(2, 3), torch.eye(3)
out = convolve(torch.ones(2, 6), Y, C, Weights.of_edges(torch.ones(2, 2)), edges, plan)
assert out.tolist() == [[3.0, 3.0], [3.0, 3.0]], out
from molnet.nn import Gate
from molnet.o3 import Linear
Linear("2x0e", "3x0e", layout="ir_mul")(torch.ones(2, 2))
Gate("1x0e", [torch.tanh], "1x0e", [torch.sigmoid], "1x1o", layout="ir_mul")(torch.ones(2, 5))
print(backend("cpu"))
"""


@pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None
    or os.environ.get("MOLNET_KERNELS") == "reference",
    reason="there is no C++ compiler, or it is not to be used",
)
def test_with_a_compiler_there_are_kernels() -> None:
    """Other tests skip where there are none."""
    for real in ("float", "double"):
        assert library(real) is not None
        assert library(real, LARGEST_L) is not None


@pytest.mark.skipif(library("float") is None, reason="there is no C++ compiler")
def test_only_what_convolves_more_than_usual_needs_the_large_library() -> None:
    x = torch.ones(1)
    usual, large = library("float"), library("float", LARGEST_L)
    assert usual is not large
    for l_max in range(6):
        expected = usual if l_max <= USUAL_L else large if l_max <= LARGEST_L else None
        assert kernels_for(x, l_max) is expected
    assert kernels_for(x.to("meta")) is None
    assert kernels_for(x.half()) is None
    assert backend("cpu", torch.float64, LARGEST_L) == "compiled convolution"
    for other in (("cpu", torch.float32, LARGEST_L + 1), ("cpu", torch.float16), ("cuda",)):
        assert backend(*other) == "convolution in plain PyTorch"


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )


def test_without_a_compiler_the_reference_runs_after_one_line(tmp_path: Path) -> None:
    finished = run(CXX="/nonexistent/c++", MOLNET_CACHE=str(tmp_path))
    assert finished.stdout.strip() == "convolution in plain PyTorch"
    (line,) = finished.stderr.strip().splitlines()
    assert "several times slower" in line
    assert "no C++ compiler (/nonexistent/c++)" in line


def test_a_compiler_that_fails_is_said(tmp_path: Path) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho no such luck >&2\nexit 1\n'
    )
    compiler.chmod(0o755)
    finished = run(CXX=str(compiler), MOLNET_CACHE=str(tmp_path))
    assert finished.stdout.strip() == "convolution in plain PyTorch"
    assert finished.stderr.count("no such luck") == 1


@pytest.mark.slow
@pytest.mark.skipif(library("float") is None, reason="there is no C++ compiler")
def test_a_compiler_without_openmp_makes_kernels_of_one_thread(tmp_path: Path) -> None:
    real = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    compiler = tmp_path / "c++"
    refuses = 'case "$*" in *-fopenmp*) echo no such option >&2; exit 1;; esac'
    compiler.write_text(f'#!/bin/sh\n{refuses}\nexec {real} "$@"\n')
    compiler.chmod(0o755)
    for announced in (True, False):
        finished = run(CXX=str(compiler), MOLNET_CACHE=str(tmp_path))
        assert finished.stdout.strip() == "compiled convolution"
        *compiling, line = finished.stderr.strip().splitlines()
        assert bool(compiling) == announced
        assert line.startswith("The kernels run in one thread")


def test_the_reference_on_request() -> None:
    finished = run(MOLNET_KERNELS="reference")
    assert finished.stdout.strip() == "convolution in plain PyTorch"
    assert finished.stderr == ""


@pytest.mark.slow
@pytest.mark.skipif(library("float") is None, reason="there is no C++ compiler")
def test_two_processes_that_start_at_once(tmp_path: Path) -> None:
    environment = os.environ | {"MOLNET_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM]
    pair = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in pair] == ["compiled convolution"] * 2
    suffixes = [path.suffix for path in (tmp_path / "kernels").iterdir()]
    assert suffixes.count(".so") == 1
    assert suffixes.count(".sha256") == suffixes.count(".o") + 1
    assert {*suffixes} <= {".so", ".o", ".sha256", ".lock"}
    assert run(MOLNET_CACHE=str(tmp_path)).stderr == ""
