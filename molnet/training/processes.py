"""Several processes that train one model, on Lightning's data-parallel strategy (DDP).

A batch is what one step of the optimizer sees, whatever the number of processes: each process takes
its share of every batch (:class:`~molnet.datasets.batching.BatchSampler`), and the gradients of all
shares make those of the batch. So results do not depend on the number of processes, but for the
last digits, and a run may be resumed by another number.

The first process prepares the run and writes its folder; the others follow
(:mod:`molnet.training.following`). Whatever may differ between processes, such as clocks and
signals, is agreed upon here before it decides anything.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path

import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from molnet.training.config import ConfigError, TrainerConfig

TO_CONNECT, PATIENCE = timedelta(minutes=5), timedelta(hours=2)
"""How long processes of srun or torchrun wait for the first one: to start, and to read its data."""

SECONDS_TO_END = 30.0

LOST = 75
"""Exit status of a process that has lost the others, which are the reason: EX_TEMPFAIL."""


class ProcessError(ValueError):
    """Another process of the training has failed."""


def is_shared(settings: TrainerConfig) -> bool:
    """Whether a training is for Lightning's DDP; by strategy=ddp also that by a single process."""
    return settings.devices * settings.num_nodes > 1 or settings.strategy == "ddp"


def number() -> int:
    """How many processes train together at present."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def total(*numbers: float) -> list[float]:
    """The sums of numbers over all processes."""
    return _reduced(numbers, dist.ReduceOp.SUM)


def largest(*numbers: float) -> list[float]:
    """The largest of numbers among all processes."""
    return _reduced(numbers, dist.ReduceOp.MAX)


def _reduced(numbers: tuple[float, ...], how: dist.ReduceOp.RedOpType) -> list[float]:
    if number() == 1:
        return [*numbers]
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    reduced = torch.tensor(numbers, dtype=torch.float64, device=device)
    dist.all_reduce(reduced, how)
    return reduced.tolist()


def environment_of(settings: TrainerConfig) -> ClusterEnvironment:
    """Who has started the processes: srun, torchrun or, as the first one, molnet itself.

    Raises:
        ConfigError: the settings ask for another number of processes than there are.
    """
    wanted, outside = settings.devices * settings.num_nodes, launcher()
    if outside is None:
        if settings.num_nodes > 1:
            raise ConfigError(
                f"trainer.num_nodes={settings.num_nodes}: start the command on all nodes, once "
                "for each device, with srun or torchrun"
            )
        return LightningEnvironment()
    if outside.world_size() != wanted:
        raise ConfigError(
            f"trainer.devices={settings.devices} on trainer.num_nodes={settings.num_nodes} are "
            f"{wanted} processes, and {outside.world_size()} were started: give both numbers as "
            "the batch job does"
        )
    return outside


def launcher() -> ClusterEnvironment | None:
    """What srun or torchrun tells of the processes that it has started; None if it did not."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    # Within a job, but not by srun, a command is started once.
    if SLURMEnvironment.detect() and "SLURM_STEP_ID" in os.environ:
        if int(os.environ["SLURM_NTASKS"]) > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
            raise ConfigError(
                f"srun has started {os.environ['SLURM_NTASKS']} processes, and does not say how "
                "many on each node: give --ntasks-per-node=NUMBER and --nodes=NUMBER in place of "
                "--ntasks"
            )
        return SLURMEnvironment(auto_requeue=False)  # resume=auto goes on in the same folder
    return None


@contextmanager
def followers(settings: TrainerConfig, folder: Path) -> Iterator[None]:
    """Within this block all processes of a run take part in it; afterwards only this one goes on.

    Args:
        settings: how many, and the threads of each.
        folder: of the run, where ``config.yaml`` is written already.

    Raises:
        ProcessError: another process has failed, and nothing else is the reason.
    """
    outside = launcher()
    if not is_shared(settings):
        yield
    elif outside is not None:
        meeting_point(outside).set("folder", str(folder))
        try:
            yield
        except RuntimeError as error:
            if is_of_connection(error):
                raise ProcessError("another process has ended; what it says is above") from error
            raise
        finally:
            _leave()
    else:
        with _environment(settings):
            started = [_follower(place, folder) for place in range(1, settings.devices)]
            done = threading.Event()
            threading.Thread(target=_watch, args=(started, done), daemon=True).start()
            try:
                yield
                _leave()
                for process in started:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(SECONDS_TO_END)
            except RuntimeError as error:
                if is_of_connection(error):
                    for process in started:
                        with suppress(subprocess.TimeoutExpired):
                            process.wait(SECONDS_TO_END / len(started))
                    if (failure := _failure(started)) is not None:
                        raise ProcessError(failure) from error
                raise
            finally:
                done.set()
                for process in started:
                    process.kill()
                    process.wait()
                _leave()


def folder_of_first(outside: ClusterEnvironment) -> Path:
    """The run's folder, as the first of the processes that srun or torchrun has started names it.

    Raises:
        ProcessError: it does not.
    """
    try:
        store = meeting_point(outside)
        store.set_timeout(PATIENCE)
        return Path(store.get("folder").decode())
    except dist.DistError as error:
        raise ProcessError("the first process has not begun to train: see what it says") from error


def meeting_point(environment: ClusterEnvironment) -> dist.Store:
    """Where the first process leaves word for the others, before there is a process group.

    It is there as long as the first process is, whose end the others notice by it.
    """
    port = environment.main_port
    return _store(
        environment.main_address,
        port + 10_000 if port < 50_000 else port - 10_000,  # the port itself is the group's
        environment.global_rank() == 0,
    )


@cache
def _store(address: str, port: int, is_first: bool) -> dist.Store:
    return dist.TCPStore(
        address, port, is_master=is_first, wait_for_workers=False, timeout=TO_CONNECT
    )


def is_of_connection(error: RuntimeError) -> bool:
    """Whether an error says that another process does not answer; gloo has no class for them."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


@contextmanager
def _environment(settings: TrainerConfig) -> Iterator[None]:
    """Variables by which Lightning and PyTorch know that this is the first of several processes."""
    threads = settings.threads or max(1, (os.cpu_count() or 1) // settings.devices)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(settings.devices),
        "NODE_RANK": "0",
        "LOCAL_RANK": "0",
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # else DDP warns that it looks for weights without gradient
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
    }
    before, number_of_threads = dict(os.environ), torch.get_num_threads()
    os.environ.update(ours)
    torch.set_num_threads(int(ours["OMP_NUM_THREADS"]) if settings.threads is None else threads)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]
        torch.set_num_threads(number_of_threads)


def _follower(place: int, folder: Path) -> subprocess.Popen[bytes]:
    first = str(os.getpid())
    command = [sys.executable, "-m", "molnet.training.following", str(folder), first]
    return subprocess.Popen(command, env=os.environ | {"LOCAL_RANK": str(place)})  # noqa: S603


def _failure(started: Sequence[subprocess.Popen[bytes]]) -> str | None:
    """Which process has ended with an error first, in words."""
    ended = {place: process.poll() for place, process in enumerate(started, 2)}
    failed = {place: status for place, status in ended.items() if status}
    if not failed:
        return None
    place = min(failed, key=lambda place: failed[place] == LOST)
    status, of = failed[place], f"process {place} of {len(started) + 1}"
    if status < 0:
        return f"{of} was killed by {signal.Signals(-status).name}, perhaps for lack of memory"
    return f"{of} ended with status {status}; what it says is above"


def _watch(started: Sequence[subprocess.Popen[bytes]], done: threading.Event) -> None:
    """End this process where it waits in vain for another one, which raises no exception here."""
    while not done.wait(1.0):
        if (failure := _failure(started)) is not None and not done.wait(2 * SECONDS_TO_END):
            for process in started:
                process.kill()
            print(f"error: {failure}", file=sys.stderr, flush=True)
            os._exit(1)


def _leave() -> None:
    """What follows is done by each process alone."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
