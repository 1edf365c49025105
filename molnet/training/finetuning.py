"""Fine-tuning: a training that starts from a trained model instead of random weights.

The network has the model's settings and weights (:mod:`molnet.models.transfer`), and what the new
level of theory adds to energies is fitted (:mod:`molnet.training.start`). The domain is fitted anew
at the end, to the new data alone: the old reference points belong to other weights, and nobody has
compared the new model with labels there.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from molnet.models import Model, load_model
from molnet.models.saving import CONFIG, folder_of_model
from molnet.stored import read_object
from molnet.training.checkpoint_file import read_checkpoint
from molnet.training.config import ConfigError, TrainConfig
from molnet.training.errors import typed
from molnet.training.model_settings import named_heads
from molnet.training.paths import model_folder
from molnet.training.resume import checkpoint_of

NETWORK_OF_PARENT = "parent"
"""The option of ``model`` whose settings are those of the model that is fine-tuned."""


def with_network_of_parent(config: DictConfig) -> DictConfig:
    """Settings of a run in which those of the network are filled in from the model it starts from.

    A run that is resumed has them in its checkpoint; the model is not looked at again.

    Raises:
        ConfigError: a setting is given that differs from the model's, or there is no model.
        FileNotFoundError, ModelFormatError: there is no such model, or it is damaged.
    """
    name, given = config.get("finetune"), config.get("model")
    if not isinstance(given, DictConfig):
        return config
    missing = [key for key in map(str, given) if OmegaConf.is_missing(given, key)]
    if name is None:
        if len(missing) == len(given):
            raise ConfigError(
                f"model={NETWORK_OF_PARENT} is the network of a trained model: name it with "
                "finetune=MODEL, or choose another network"
            )
        return config
    folder = Path(config.run_folder).absolute()
    if (checkpoint := checkpoint_of(config.get("resume"), folder)) is not None:
        network, differ = read_checkpoint(checkpoint)["config"].get("model", {}), []
    else:
        # Imports the classes of heads of one's own, which the model may have, too.
        named_heads(_plain(config.target.heads))
        network = _load(name, "float32").config["network"]
        differ = [key for key in network if key in given and key not in missing]
        differ = [key for key in differ if given[key] != network[key]]
    if differ:
        theirs = ", ".join(f"{key}={typed(network[key])}" for key in differ)
        ours = ", ".join(f"model.{key}={typed(_plain(given[key]))}" for key in differ)
        raise ConfigError(
            f"finetune={name}: the model has {theirs}, the settings say {ours}. Leave these "
            f"settings out (model={NETWORK_OF_PARENT}), or train from scratch, without finetune="
        )
    filled = config.copy()
    with open_dict(filled):
        for key in missing:
            if key in network:
                filled.model[key] = network[key]
    return filled


@dataclass(frozen=True)
class Parent:
    """The model that a training starts from.

    Attributes:
        name: as the user gave it.
        model: on the CPU.
        checksum: SHA-256 of its weights.
    """

    name: str
    model: Model
    checksum: str

    @staticmethod
    def of(settings: TrainConfig) -> "Parent | None":
        """The model that ``finetune`` names, None if that is null."""
        if settings.finetune is None:
            return None
        model = _load(settings.finetune, settings.trainer.dtype)
        for name in settings.target.references:
            if name in settings.target.heads and name in model.heads:
                raise ConfigError(
                    f"target.references.{name} contradicts finetune={settings.finetune}: the "
                    "reference energies of a fine-tuned model are fitted to what it predicts. "
                    "Leave them out; isolated atoms (dataset.isolated_atoms=FILE) are used where "
                    "the compositions leave references open"
                )
        folder = folder_of_model(model_folder("finetune", settings.finetune))
        return Parent(settings.finetune, model, read_object(folder / CONFIG)["weights_sha256"])

    @property
    def level_of_theory(self) -> str:
        """Of the labels that it was trained on, for the user."""
        return self.model.provenance.get("level_of_theory") or "level of theory not stated"

    @property
    def provenance(self) -> dict[str, Any]:
        """What a fine-tuned model keeps of the model that it comes from."""
        known = self.model.provenance
        return {
            "model": self.name,
            "weights_sha256": self.checksum,
            **{key: known.get(key) for key in ("dataset", "level_of_theory")},
            **({"parent": known["parent"]} if "parent" in known else {}),
        }


def _load(name: str, dtype: str) -> Model:
    try:
        return load_model(model_folder("finetune", name), "cpu", dtype)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"finetune={name}: {error}") from error


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
