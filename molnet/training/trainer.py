"""Lightning's Trainer with the callbacks of a run, without Lightning's own messages."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities.seed import isolate_rng

from molnet.training.averaging import AveragedWeights
from molnet.training.budget import Budget
from molnet.training.callbacks import DataWait, History, LearningRate
from molnet.training.calls import made
from molnet.training.checkpoints import Checkpoints
from molnet.training.config import ConfigError, TrainConfig, TrainerConfig
from molnet.training.durations import parse_duration
from molnet.training.interruption import Interruption
from molnet.training.objective import Judge, Pruning
from molnet.training.processes import environment_of, is_shared
from molnet.training.profile import Profile
from molnet.training.progress import ProgressDisplay


@dataclass(frozen=True)
class RunTrainer:
    """A trainer, with the callbacks that the run reads after the training."""

    trainer: Trainer
    history: History
    interruption: Interruption
    checkpoints: Checkpoints
    profile: Profile | None


def make_trainer(settings: TrainConfig, folder: Path, judge: Judge | None = None) -> RunTrainer:
    """The trainer of a run that writes to ``folder``.

    Args:
        settings: of the run.
        folder: of the run.
        judge: may end the training early.

    Raises:
        ConfigError: the device that is asked for is not there, or not so many processes.
    """
    limits = settings.trainer
    budget = Budget(
        limits.max_epochs,
        limits.max_steps,
        None if limits.max_time is None else parse_duration(limits.max_time),
    )
    averaged = AveragedWeights(settings.callbacks.ema_decay)
    history = History(folder / "history.csv", budget)
    interruption = Interruption(folder / "checkpoints" / "last.ckpt")
    checkpoints = Checkpoints(folder, averaged, interruption, settings.callbacks.checkpoint_minutes)
    profile = Profile() if limits.profile else None
    # The order matters: a callback sees the work of those before it; checkpoints come last.
    callbacks: list[Callback] = [
        averaged,
        budget,
        LearningRate(made(settings.scheduler, "scheduler"), budget),
        DataWait(),
        *_early_stopping(settings.callbacks.early_stopping_patience),
        *(made(node, f"callbacks.extra.{key}") for key, node in settings.callbacks.extra.items()),
        history,
        ProgressDisplay(budget, checkpoints, limits.progress_bar),
        checkpoints,
        Pruning(judge, settings.objective, history),
    ]
    loggers = [made(node, f"logger.{key}") for key, node in settings.logger.items()]
    of_processes = _of_several_processes(limits)
    try:
        trainer = Trainer(
            accelerator=limits.accelerator,
            devices=limits.devices,
            num_nodes=limits.num_nodes,
            **of_processes,
            max_epochs=-1 if limits.max_epochs is None else limits.max_epochs,
            accumulate_grad_batches=limits.accumulate,
            gradient_clip_val=limits.gradient_clip,
            callbacks=callbacks,
            logger=loggers,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            inference_mode=False,  # forces are derivatives, in validation as well
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            profiler=profile,
        )
    except (MisconfigurationException, ModuleNotFoundError, ValueError) as error:
        given = f"trainer.accelerator={limits.accelerator}"
        if limits.devices > 1:
            given += f" trainer.devices={limits.devices}"
        raise ConfigError(f"{given}: {error}") from error
    if profile is not None:
        profile.watch(trainer)
    return RunTrainer(trainer, history, interruption, checkpoints, profile)


def _of_several_processes(limits: TrainerConfig) -> dict[str, Any]:
    """Arguments of the trainer by which it trains with others.

    Raises:
        ConfigError: the settings ask for another number of processes than there are.
    """
    plugins = [environment_of(limits)]
    if not is_shared(limits):
        return {"plugins": plugins}
    return {
        # Weights on which a loss does not depend, as those of an energy's constant, have no
        # gradients. Buffers are constants.
        "strategy": DDPStrategy(find_unused_parameters=True, broadcast_buffers=False),
        "plugins": plugins,
        "use_distributed_sampler": False,  # ours gives each process its share
    }


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Within this block Lightning's tips and warnings are not shown."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            warnings.filterwarnings("ignore", module="lightning_fabric")
            warnings.filterwarnings("ignore", message="find_unused_parameters=True")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def process_left_alone() -> Iterator[None]:
    """After this block the random states and the number of threads are what they were before."""
    threads = torch.get_num_threads()
    try:
        with isolate_rng():
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Products of float32 matrices in this precision, as PyTorch names it, until the block ends."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _early_stopping(patience: int | None) -> list[Callback]:
    if patience is None:
        return []
    # At the end of the validation: the checkpoint that follows then holds the present count.
    return [EarlyStopping("validation/loss", patience=patience, check_on_train_epoch_end=False)]
