"""List the models that come with molnet.

molnet models
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from molnet.bundled import DEFAULT_MODEL, bundled_models
from molnet.stored import read_object


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line without the names of program and command; by default the
            process's own.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] not in ("--help", "-h"):
        print(f"error: molnet models takes no arguments, received {given[0]}", file=sys.stderr)
        sys.exit(1)
    print("\n\n".join(described(name, folder) for name, folder in bundled_models().items()))
    print(
        f"""
Without model=NAME predictions are made with {DEFAULT_MODEL}.

  molnet predict water.xyz model={DEFAULT_MODEL}
  molnet.load("{DEFAULT_MODEL}"), molnet.Calculator("{DEFAULT_MODEL}")      in Python"""
    )


def described(name: str, folder: Path) -> str:
    """What a model predicts, for which elements, learned from what."""
    config = read_object(folder / "config.json")
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    predicted = ", ".join(f"{key} ({entry['unit']})" for key, entry in config["properties"].items())
    provenance: dict[str, Any] = config["provenance"]
    rows = {
        "elements": ", ".join(config["species"]),
        "predicts": predicted,
        "level of theory": provenance.get("level_of_theory") or "not stated",
        "trained on": f"{provenance.get('structures', {}).get('train', '?'):,} structures",
        "cutoff": f"{config['network']['cutoff']:g} Å",
        "size": f"{size / 1e6:.1f} MB",
        "more about it": str(folder / "README.md"),
    }
    width = max(map(len, rows))
    return "\n".join([name, *(f"  {key:{width}}  {value}" for key, value in rows.items())])
