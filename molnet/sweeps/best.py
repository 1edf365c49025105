"""The settings of the best training, as a file: ``experiment=best``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from molnet.bundled import CONF

NAME = "best"
FILE = f"experiment/{NAME}.yaml"


def write_experiment(sweep: Path, arguments: Sequence[str], first_line: str) -> Path:
    """Write settings of the command line as an experiment.

    Args:
        sweep: the folder of the sweep, which is then one for ``--config-dir``.
        arguments: the settings.
        first_line: what the file is.
    """
    path = sweep / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"# @package _global_\n# {first_line}\n{as_experiment(arguments)}")
    return path


def as_experiment(arguments: Sequence[str]) -> str:
    """Settings of the command line in the form of the files in ``conf/experiment``.

    >>> print(as_experiment(["model=small", "optimizer.lr=1e-3", "+model.x={a: 1}"]))
    defaults:
    - override /model: small
    - _self_
    optimizer:
      lr: 0.001
    model:
      x:
        a: 1
    <BLANKLINE>
    """
    defaults: list[Any] = []
    settings = OmegaConf.create()
    for override in OverridesParser.create().parse_overrides(list(arguments)):
        key, value = str(override.key_or_group), override.value()
        if override.is_delete():
            raise ValueError(f"{override.input_line}: an experiment cannot remove a setting")
        if key == "experiment":
            defaults.append(value)
        elif _is_group(key):
            defaults.append({f"override /{key}": value})
        else:
            OmegaConf.update(settings, key, value, force_add=True)
    content: dict[str, Any] = {"defaults": [*defaults, "_self_"]} if defaults else {}
    plain: Any = OmegaConf.to_container(settings)
    return yaml.safe_dump(content | plain, sort_keys=False, allow_unicode=True)


def _is_group(key: str) -> bool:
    return "." not in key and (CONF / key).is_dir()
