"""Predict energies, forces and other properties for structure files.

    python scripts/predict.py model=FOLDER input=FILE [output=FILE] [KEY=VALUE ...]

``--help`` lists the options.
"""

import hydra
from omegaconf import DictConfig, OmegaConf

from molnet.simulate import predict_files


@hydra.main(version_base="1.3", config_path="../conf", config_name="predict")
def main(config: DictConfig) -> None:
    print(predict_files(**OmegaConf.to_container(config, resolve=True, throw_on_missing=True)))


if __name__ == "__main__":
    main()
