"""Importing the layers only defines them: nothing is computed, and no other part is loaded."""

import subprocess
import sys

import pytest

CHECK = """
import sys
import numpy, torch
from torch.overrides import TorchFunctionMode

class Refuse(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        raise SystemExit(f"computed {function} while importing")

state = torch.random.get_rng_state()
loaded = set(sys.modules)
with Refuse():
    import molnet.o3, molnet.nn
    THEN
assert torch.equal(torch.random.get_rng_state(), state)

from molnet.o3.wigner import wigner_3j_array
assert wigner_3j_array.cache_info().currsize == 0
new = set(sys.modules) - loaded
print(*sorted({name.split(".")[1] for name in new if name.startswith("molnet.")}))
print(*sorted(new & {"ase", "e3nn", "hydra", "matplotlib", "pytorch_lightning", "scipy"}))
"""


def run(then: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHECK.replace("THEN", then)], capture_output=True, text=True
    )


def test_nothing_is_computed_and_nothing_else_is_loaded():
    result = run("pass")
    assert result.returncode == 0, result.stderr
    parts, libraries = result.stdout.splitlines()
    assert set(parts.split()) <= {"cache", "kernels", "lazy", "nn", "o3", "stored"}
    assert libraries == ""


@pytest.mark.parametrize("work", ["torch.zeros(3)", "molnet.o3.wigner_3j(1, 1, 1)"])
def test_work_would_be_noticed(work):
    assert run(work).returncode != 0
