"""Predict energies, forces and other properties for structure files.

    python scripts/predict.py model=FOLDER input=FILE [output=FILE] [KEY=VALUE ...]

For several files give a list, ``input=[a.xyz,b.cif]``, or a glob in quotes, ``'input=runs/*.xyz'``.
``--cfg job`` prints all settings.
"""

from typing import TYPE_CHECKING

from molnet.training.interruption import ends_at_once

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(config: "DictConfig") -> None:
    # Imported here, so that mistakes on the command line are told before torch is loaded.
    with ends_at_once():
        from molnet.simulate import predict_files
        from molnet.training.config import checked_predict

    print(predict_files(**vars(checked_predict(config))))


if __name__ == "__main__":
    with ends_at_once():
        from molnet.training.command_line import run_script

        run_script("predict", main)
