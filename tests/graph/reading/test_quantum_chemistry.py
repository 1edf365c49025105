"""Total charges and multiplicities that quantum chemistry programs write."""

from pathlib import Path

import pytest
from ase import Atoms

from molnet.graph import stated_spin, total_charge
from molnet.graph.frames import read_frames
from molnet.graph.reading.quantum_chemistry import STATED, take_charge

GAUSSIAN_INPUT = """%chk=ammonium.chk
#P B3LYP/6-31G(d)

ammonium, 4 bonds

{charge} {multiplicity}
N 0.0 0.0 0.0
H 0.6 0.6 0.6
H -0.6 -0.6 0.6
H -0.6 0.6 -0.6
H 0.6 -0.6 -0.6

"""

EXCERPTS = {
    "gaussian-in": "#P HF\n\ntitle\n\n -1 , 2\nO 0.0 0.0 0.0\nH 0.9 0.0 0.0\n\n",
    "gaussian-out": (
        " Symbolic Z-matrix:\n Charge = -1 Multiplicity = 2\n"
        " Charge =  0 Multiplicity = 1 in fragment      1.\n"
    ),
    "orca-output": (
        "General Settings:\n Integral files IntName .... x\n"
        " Total Charge           Charge          ....   -1\n"
        " Multiplicity           Mult            ....    2\n"
    ),
    "nwchem-out": "          Charge           :    -1\n          Spin multiplicity:     2\n",
    "gamess-us-out": (
        " CHARGE OF MOLECULE                        =   -1\n"
        " SPIN MULTIPLICITY                         =    2\n"
    ),
}


@pytest.mark.parametrize("format", STATED)
def test_charge_and_multiplicity_of_each_program(format: str) -> None:
    atoms = Atoms("OH", [[0, 0, 0], [0.9, 0, 0]])
    take_charge(atoms, format, EXCERPTS[format])
    assert atoms.info == {"charge": -1, "multiplicity": 2}
    other = Atoms("H")
    take_charge(other, format, "nothing of the kind\n")
    assert other.info == {}


@pytest.mark.parametrize(("charge", "multiplicity"), [(1, 1), (0, 2)])
def test_a_gaussian_input(tmp_path: Path, charge: int, multiplicity: int) -> None:
    path = tmp_path / "ammonium.com"
    path.write_text(GAUSSIAN_INPUT.format(charge=charge, multiplicity=multiplicity))
    (atoms,) = read_frames(path)
    assert atoms.get_chemical_formula() == "H4N"
    assert total_charge(atoms) == charge
    assert stated_spin(atoms) == f"multiplicity {multiplicity}"
