"""Processes that read parts of structure files, and write the pieces to the disk.

Their program is this module, which imports no PyTorch: such a process starts in a second and takes
some tens of MB. They are no :class:`multiprocessing.Process`, which would run the user's program
again in each of them, or copy a process that has threads.
"""

import os
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from queue import SimpleQueue

import molnet
from molnet.datasets.unfinished import Task, Unfinished
from molnet.graph.frames import StructureFileError, frame_name

PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for this one
sys.modules["torch"] = None  # vesin imports PyTorch if it is there, and needs it for tensors alone
from molnet.datasets.reading_process import serve
serve(int(sys.argv[1]), int(sys.argv[2]))
"""


class ReadingProcessError(ChildProcessError):
    """A process that reads structure files has ended before its time."""


@contextmanager
def reading_processes(
    count: int, unfinished: Unfinished
) -> Iterator[Callable[[Task], "Future[None]"]]:
    """Processes that read parts of files; they end with this block.

    Args:
        count: how many.
        unfinished: where the pieces go, and what makes them.

    Yields:
        A function that has a task done, one after the other in the order of its calls. The result
        is there when the pieces are on the disk, or when a frame cannot be used; see
        :meth:`ReadingProcess.read` for errors.
    """
    idle: SimpleQueue[ReadingProcess] = SimpleQueue()

    def read(task: Task) -> None:
        process = idle.get()
        try:
            process.read(task)
        finally:
            idle.put(process)

    processes: list[ReadingProcess] = []
    threads = ThreadPoolExecutor(count)
    try:
        for _ in range(count):
            processes.append(ReadingProcess(unfinished))
            idle.put(processes[-1])
        yield lambda task: threads.submit(read, task)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.end()
        threads.shutdown()


class ReadingProcess:
    """One process.

    Args:
        unfinished: where the pieces go, and what makes them.
    """

    def __init__(self, unfinished: Unfinished) -> None:
        package = str(Path(molnet.__file__).parents[1])
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603, our own program
                [sys.executable, "-c", PROGRAM, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # whatever a library prints
                pass_fds=[theirs.fileno()],
                env=os.environ | one_thread | {"PYTHONPATH": path},
            )
        self._connection.send(unfinished)

    def read(self, task: Task) -> None:
        """Have a part of the files read.

        Raises:
            ReadingProcessError: the process was killed.
            OSError: the pieces cannot be written.
        """
        try:
            self._connection.send(task)
            error, told = self._connection.recv()
        except (OSError, EOFError) as gone:
            raise ReadingProcessError(self._lost(task)) from gone
        for message in told:
            warnings.warn(message, stacklevel=2)
        if error is not None:
            raise error

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def _lost(self, task: Task) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        status = self._process.returncode
        how = f"ended with status {status}"
        if status is not None and status < 0:
            how = f"was killed ({signal.Signals(-status).name})"
        if status == -signal.SIGKILL:
            how += ", most likely because memory ran out"
        first = 0 if task.part is None else task.part.first
        return (
            f"a process that read {frame_name(task.path, first)} and those after it {how}. What "
            "was read before is kept: run the same command again and it goes on from there."
        )


def serve(connection: int, parent: int) -> None:
    """Do what a :class:`ReadingProcess` is asked, until its other side is gone.

    Args:
        connection: the file descriptor of this side of the pipe.
        parent: the number of the process at the other side.
    """

    def look() -> None:
        if os.getppid() != parent:
            os._exit(1)  # nobody waits for the pieces

    with Connection(connection) as orders, suppress(EOFError, OSError):
        unfinished: Unfinished = orders.recv()
        while True:
            task: Task = orders.recv()
            with warnings.catch_warnings(record=True) as told:
                error = _read(unfinished, task, look)
            orders.send((error, [str(warning.message) for warning in told]))


def _read(unfinished: Unfinished, task: Task, look: Callable[[], None]) -> Exception | None:
    try:
        if not unfinished.has(task):
            unfinished.write(task, look)
    except StructureFileError:
        pass  # found again, in the order of the frames, where the pieces are put together
    except OSError as error:
        return OSError(error.errno, error.strerror, error.filename)
    except Exception:  # noqa: BLE001, it is raised where the answer is awaited
        return RuntimeError(traceback.format_exc())
    return None
