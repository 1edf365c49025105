"""Train a model.

    molnet train [FILE...] [dataset=...] [target=...] [model=...] [KEY=VALUE ...]
    molnet train FILE... finetune=MODEL [KEY=VALUE ...]
    molnet train resume=RUN [KEY=VALUE ...]
    molnet train -m model.cutoff=4,5,6

Without files or ``dataset`` the model is trained on the data that come with molnet. ``resume=RUN``
continues the run in the folder RUN with its own settings. ``resume=auto`` continues the newest
unfinished run of the same command line, or starts a new run if there is none.
``trainer.devices=4`` trains with four processes.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from molnet.commands.importing import importing
from molnet.training.interruption import word_for

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from molnet.training.interruption import RunInterrupted


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line without the names of program and command; by default the
            process's own.
    """
    with importing():
        from molnet.commands.arguments import settings_of
        from molnet.commands.command_line import run_command
        from molnet.commands.explained import explained

    settings = None
    with explained():
        given = sys.argv[1:] if arguments is None else arguments
        if _has_followed(given):
            return
        given = with_network(settings_of("train", given, data))
        if any(argument.startswith("resume=") for argument in given):
            with importing():
                from molnet.training.arguments import resumed_arguments

            given, settings = resumed_arguments(given)
    run_command("train", train, given, settings)


def _has_followed(arguments: Sequence[str]) -> bool:
    """Take part in the run of another process, if srun or torchrun has started both.

    Raises:
        ConfigError: there is more than one run.
    """
    if not os.environ.keys() & {"TORCHELASTIC_RUN_ID", "SLURM_STEP_ID"}:
        return False
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    with importing():
        from molnet.training import following, processes
        from molnet.training.errors import ConfigError

    outside = processes.launcher()
    if outside is None or outside.world_size() == 1:
        return False
    if {"-m", "--multirun"} & {*arguments}:
        raise ConfigError(
            f"-m: srun or torchrun has started {outside.world_size()} processes, which can train "
            "one model together, not several. Start each worker of a search as a job of its own"
        )
    if outside.global_rank() == 0:
        processes.meeting_point(outside)  # the others wait there
        return False
    following.follow(processes.folder_of_first(outside))
    return True


def data(files: list[str], given: set[str]) -> list[str]:
    """The settings that plain names stand for: structure files to learn from.

    Raises:
        ConfigError: the files are named twice.
    """
    from molnet.commands.arguments import as_list
    from molnet.training.errors import ConfigError

    if "dataset.path" in given:
        raise ConfigError(f"{files[0]}: the structure files are given by dataset.path= already")
    path = f"dataset.path={as_list(files)}"
    return [path] if "dataset" in given else ["dataset=structures", path]


def with_network(arguments: list[str]) -> list[str]:
    """The same settings, in which a training that starts from a model has the network of that."""
    given = dict(argument.partition("=")[::2] for argument in arguments)
    starts = given.get("finetune", "null") not in ("null", "")
    if not starts or "model" in given or given.get("resume", "auto") != "auto":
        return arguments
    return [*arguments, "model=parent"]


def train(config: "DictConfig") -> float | None:
    """Train as the settings of ``conf/train.yaml`` say.

    Returns:
        The objective, in a sweep.
    """
    alone = {"devices": 1, "num_nodes": 1, "strategy": "auto"}
    if any(config.trainer.get(name, value) != value for name, value in alone.items()):
        # PyTorch reads it when it is loaded. DDP warns that it looks for weights without gradient.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # Imported here, so that mistakes on the command line are told before torch is loaded.
    with importing():
        from molnet.commands.trial import in_sweep, run_trial
        from molnet.kernels.allocator import reuse_freed_memory
        from molnet.training.interruption import RunInterrupted
        from molnet.training.run import train

    reuse_freed_memory()
    try:
        if in_sweep():
            return run_trial(config, lambda judge: train(config, "train.log", judge=judge))
        train(config, log_file="train.log")
    except RunInterrupted as interruption:
        print(f"\n{_after(interruption, in_sweep())}", file=sys.stderr)
        sys.exit(128 + interruption.number)
    return None


def _after(interruption: "RunInterrupted", is_one_of_several: bool) -> str:
    """What is saved, and how to continue."""
    from molnet.training.invocation import command

    said = word_for(interruption.number)
    if interruption.checkpoint is None:
        return f"{said} before the first checkpoint was saved."
    if is_one_of_several:  # the sweep says how
        return f"{said}; the state is saved."
    resume = shlex.quote(f"resume={interruption.checkpoint}")
    return f"{said}; the state is saved. Continue with\n\n  {command('train')} {resume}\n"
