"""A model in a few lines, as a notebook shows it."""

from typing import TYPE_CHECKING

from molnet.graph.elements import SYMBOLS

if TYPE_CHECKING:
    from molnet.models.model import Model


def described(model: "Model") -> str:
    """What a model predicts, of what, and where it comes from.

    Args:
        model: any model; of its provenance what is there.
    """
    provenance = model.provenance
    counts = provenance.get("structures") or {}
    data = [str(provenance.get("dataset", "")), str(provenance.get("level_of_theory") or "")]
    if "train" in counts:
        data.append(f"{counts['train']:,} structures")
    shown = ((name, quantity.unit) for name, quantity in model.properties.items())
    number = sum(parameter.numel() for parameter in model.parameters())
    rows = {
        "predicts": ", ".join(f"{name} ({unit})" if unit else name for name, unit in shown),
        "elements": ", ".join(SYMBOLS[number] for number in model.species),
        "trained on": ", ".join(filter(None, data)),
        "cutoff": f"{model.cutoff:g} Å",
        "parameters": f"{number:,}, {str(model.dtype).removeprefix('torch.')} on {model.device}",
    }
    return "\n".join(["molnet.Model", *(f"  {key:10}  {row}" for key, row in rows.items() if row)])
