"""Damaged files of many formats: read, or refused in one clear line; nothing else may happen."""

import random
import warnings
from pathlib import Path

import ase.io
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from molnet.graph.frames import (
    StructureFileError,
    check_ending,
    count_frames,
    read_frames,
    units_in_files,
)

TRIES = 60
FORMATS = {
    "a.xyz": "extxyz",
    "a.vasp": "vasp",
    "a.gen": "gen",
    "a.cif": "cif",
    "a.pdb": "proteindatabank",
    "a.sdf": "sdf",
    "a.gro": "gromacs",
    "a.g96": "gromos",
    "a.traj": "traj",
    "a.db": "db",
    "a.json": "json",
    "a.lmp": "lammps-data",
    "a.xsf": "xsf",
    "a.res": "res",
    "a.cube": "cube",
    "coord": "turbomole",
}


def damaged(data: bytes, dice: random.Random) -> bytes:
    """A bit flipped, an end cut off, a line lost, or some bytes in place of others."""
    kind, at = dice.randrange(4), dice.randrange(1, len(data))
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        return data[:at]
    if kind == 2:
        lines = data.splitlines(keepends=True)
        del lines[dice.randrange(len(lines))]
        return b"".join(lines) or b"\n"
    return data[:at] + dice.randbytes(dice.randrange(8)) + data[at + dice.randrange(8) :]


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(tmp_path: Path, name: str) -> None:
    path, format = tmp_path / name, FORMATS[name]
    structure: Atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    if format in ("sdf", "cube", "turbomole", "proteindatabank"):
        structure = molecule("CH3OH")
    ase.io.write(path, structure, format, **({"masses": True} if format == "lammps-data" else {}))
    whole = path.read_bytes()
    assert len(list(read_frames(path))) == 1
    dice = random.Random(name)  # noqa: S311
    messages = []
    for _ in range(TRIES):
        path.write_bytes(damaged(whole, dice))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check_ending(path)
                count_frames(path)
                units_in_files(path)
                list(read_frames(path))
        except StructureFileError as error:
            messages.append(str(error))
    assert messages
    assert all(str(path) in message for message in messages)
