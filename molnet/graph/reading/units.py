"""The unit of positions: fixed by the format, declared in the file, or given by the user."""

from pathlib import Path

from ase import Atoms

from molnet.graph.reading.arrays import units_of_hdf5, units_of_npz
from molnet.graph.reading.database import units_of_database
from molnet.graph.reading.errors import StructureFileError
from molnet.graph.reading.formats import DATABASES
from molnet.graph.reading.lammps import units_of_lammps
from molnet.units import UnitError, conversion_factor

FIXED = {"gromacs": "nm", "gromos": "nm", "turbomole": "Bohr", "turbomole-gradient": "Bohr"}
"""Formats with a fixed unit other than Å; their readers convert positions."""

LEFT_TO_THE_USER = frozenset(
    {"extxyz", "xyz", "traj", "cif", "proteindatabank", "sdf", "mol", "vasp", "vasp-xdatcar"}
    | {"gen", "xsf", "aims", "res", "json", "db", "aselmdb", "npz", "hdf5", "lammps-dump-text"}
    | {"lammps-dump-binary", "lammps-data", "dlp4", "dlp-history", "eon", "cfg", "xsd", "xtd"}
)
"""Formats in Å by convention only, so that the user may give another unit."""


def declared_units(path: Path, format: str) -> dict[str, str]:
    """The units that a file declares: of ``"positions"``, and of labels by their keys."""
    if format in DATABASES:
        return units_of_database(path, format)
    if format in ("lammps-dump-text", "lammps-data"):
        return units_of_lammps(path)
    if format == "npz":
        return units_of_npz(path)
    if format == "hdf5":
        return units_of_hdf5(path)
    return {"positions": FIXED[format]} if format in FIXED else {}


def positions_factor(path: Path, format: str, given: str | None) -> float:
    """Positions in Å = factor × positions as the format's reader returns them.

    Raises:
        StructureFileError: the file or its format says another unit than the user, or one that is
            not known.
    """
    declared = declared_units(path, format).get("positions")
    try:
        factor = conversion_factor(declared or given or "Å", "Å")
        said = conversion_factor(given, "Å") if given is not None else factor
    except UnitError as error:
        raise StructureFileError(f"{path}: the unit of positions: {error}") from error
    if abs(said / factor - 1) > 1e-6:
        raise StructureFileError(
            f"{path} has its positions in {declared}, but positions_unit={given}: correct the "
            "option or leave it out."
        )
    if format in FIXED:
        return 1.0
    if given is not None and format not in LEFT_TO_THE_USER and abs(said - 1) > 1e-6:
        raise StructureFileError(
            f"{path}: files of the format {format} state the unit of their positions themselves: "
            f"leave positions_unit={given} out."
        )
    return factor


def scale_positions(atoms: Atoms, factor: float) -> Atoms:
    """The structure with positions and cell in Å."""
    if factor != 1.0:
        atoms.set_cell(factor * atoms.cell.array)
        atoms.positions *= factor
    return atoms
