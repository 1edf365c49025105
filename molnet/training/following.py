"""A process that takes part in a run which another one has prepared, and writes nothing.

    python -m molnet.training.following FOLDER PROCESS

:mod:`molnet.training.processes` starts it and gives its own number; users do not.
"""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from omegaconf import OmegaConf

from molnet.kernels.allocator import reuse_freed_memory
from molnet.training.config import checked_train
from molnet.training.interruption import RunInterrupted
from molnet.training.module import TrainingDivergedError
from molnet.training.objective import TrainingPruned
from molnet.training.processes import LOST, is_of_connection
from molnet.training.recorded import recorded_settings
from molnet.training.resume import checkpoint_of
from molnet.training.run import prepare
from molnet.training.trainer import products_in, quiet_lightning

NO_SETTINGS = ("arguments", "dataset_checksum")


def follow(folder: Path) -> None:
    """Take part in the run of a folder, until it ends."""
    reuse_freed_memory()
    logging.disable(logging.WARNING)  # the first process says the same
    plain = recorded_settings(folder / "config.yaml")
    kept = {name: value for name, value in plain.items() if name not in NO_SETTINGS}
    settings = checked_train(OmegaConf.create(kept | {"logger": {}}))
    settings.trainer.progress_bar = False
    checkpoint = checkpoint_of(settings.resume, folder)
    prepared = prepare(settings, plain, folder, checkpoint)
    run = prepared.run
    try:
        precision = products_in(settings.trainer.matmul_precision)
        with quiet_lightning(), run.interruption.watched(), precision:
            run.trainer.fit(prepared.module, prepared.data, ckpt_path=checkpoint, weights_only=True)
    except (RunInterrupted, TrainingDivergedError, TrainingPruned):
        pass  # all processes agree, and the first one tells
    except RuntimeError as error:
        if is_of_connection(error):
            sys.exit(LOST)  # whoever is the reason tells
        raise


def _end_with(first: int) -> None:
    """End this process when the first one has been killed, without which it would wait for ever."""
    while os.getppid() == first:
        time.sleep(1.0)
    os._exit(LOST)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the first process as well
    threading.Thread(target=_end_with, args=(int(sys.argv[2]),), daemon=True).start()
    follow(Path(sys.argv[1]))
