"""Reuse of memory between operators on the CPU."""

import ctypes
import platform

# Parameters of mallopt(3), from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_MAX = -4


def reuse_freed_memory() -> bool:
    """Make glibc keep the memory of freed tensors for the next ones.

    By default glibc takes every large block from the kernel and gives it back when it is freed, so
    each operator on a tensor of a few megabytes pays for thousands of page faults: often several
    times what its arithmetic costs. After this call freed blocks stay with the process, which may
    then hold more memory than is in use at the moment. It changes the whole process, hence programs
    call it at their start, never a library function.

    Returns:
        Whether it took effect; False where the C library is not glibc (macOS, Windows, musl).
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: 64 * 2**20}
    return all(mallopt(parameter, value) == 1 for parameter, value in settings.items())
