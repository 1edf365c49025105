"""Values on the command line in the form that Hydra's grammar reads."""

import re

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException


def readable(argument: str) -> str:
    """Quote a value that Hydra's grammar cannot read as it stands, such as a unit or a path.

    >>> readable("dataset.labels.forces.unit=eV/Å")
    'dataset.labels.forces.unit="eV/Å"'
    >>> readable("model.cutoff=4,5,6")
    'model.cutoff=4,5,6'
    >>> readable("+dataset.labels.mu={key: mu, unit: e*Å}")
    '+dataset.labels.mu={key: mu, unit: "e*Å"}'
    """
    key, is_override, value = argument.partition("=")
    if not is_override or key.startswith("-"):
        return argument
    entries = _ENTRY.sub(lambda entry: entry[1] + quoted(entry[2].rstrip()), value)
    for candidate in (argument, f"{key}={entries}"):
        try:
            OverridesParser.create().parse_override(candidate)
        except HydraException:
            continue
        return candidate
    return f"{key}={quoted(value)}"


_ENTRY = re.compile(r"([{,]\s*[\w.]+\s*:\s*)([^\s,{}\[\]\"'][^,{}\[\]\"']*)")
"""A name and an unquoted value within the braces of an object."""


def quoted(text: str) -> str:
    """``text`` as a value on the command line that Hydra reads back unchanged.

    >>> quoted("outputs/a-1/last.ckpt")
    'outputs/a-1/last.ckpt'
    >>> quoted("my runs/k=1/last.ckpt")
    '"my runs/k=1/last.ckpt"'
    """
    if re.fullmatch(r"[a-zA-Z0-9_./:+-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
