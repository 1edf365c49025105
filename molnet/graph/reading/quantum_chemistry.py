"""Total charges and multiplicities in the files of quantum chemistry programs.

ASE's readers return the structures of these files without either.
"""

import re

from ase import Atoms

STATED = {
    # Z-matrices and Cartesian coordinates follow the line of charge and multiplicity.
    "gaussian-in": (r"^[ \t]*(-?\d+)[ \t,]+\d+[ \t,]*$", r"^[ \t]*-?\d+[ \t,]+(\d+)[ \t,]*$"),
    "gaussian-out": (
        r"^ Charge =\s*(-?\d+)\s+Mult",
        r"^ Charge =\s*-?\d+\s+Multiplicity =\s*(\d+)",
    ),
    "orca-output": (
        r"^\s*Total Charge\s+Charge\s+\.+\s*(-?\d+)",
        r"^\s*Mult\w+\s+Mult\s+\.+\s*(\d+)",
    ),
    "nwchem-out": (r"^\s*Charge\s*:\s*(-?\d+)", r"^\s*Spin multiplicity\s*:\s*(\d+)"),
    "gamess-us-out": (
        r"^\s*CHARGE OF MOLECULE\s*=\s*(-?\d+)",
        r"^\s*SPIN MULTIPLICITY\s*=\s*(\d+)",
    ),
}
"""For each format, by ASE's name, where charge and multiplicity stand."""


def take_charge(atoms: Atoms, format: str, text: str) -> None:
    """Puts charge and multiplicity into ``info``, as the file first states them.

    Args:
        atoms: a structure of the file; changed in place.
        format: as ASE calls it; there is nothing to take from formats that are not in the table.
        text: of the file.
    """
    for key, pattern in zip(("charge", "multiplicity"), STATED[format], strict=True):
        found = re.search(pattern, text, re.MULTILINE)
        if found:
            atoms.info.setdefault(key, int(found[1]))
