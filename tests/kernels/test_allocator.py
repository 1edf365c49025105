"""The allocator's setting is applied where it exists."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from molnet.kernels.allocator import reuse_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(4_000_000) * 2.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
assert reuse_freed_memory()
faults()
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_page_faults_go_away() -> None:
    """Counted by the kernel in a process of its own, since the setting is for a whole process."""
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    ).stdout
    before, after = map(int, output.split())
    assert after < before / 10
