"""The summary of predictions: ranges, errors, doubts."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from molnet.simulate import Calculator, predict_files
from tests.simulate.files import MakeModel, structures, write

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")


def test_the_summary_counts_and_compares(make_model: MakeModel) -> None:
    frames = structures()[:2]
    for atoms, shift in zip(frames, (0.3, -0.6), strict=True):
        energy = Calculator(make_model()).get_potential_energy(atoms) + shift
        forces = Calculator(make_model()).get_forces(atoms) + 0.02
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    summary = predict_files(make_model(), write("in.traj", frames), "out.csv")
    assert (summary.structures, summary.atoms) == (2, 9)
    energies = [
        Calculator(make_model()).get_potential_energy(atoms) / len(atoms) for atoms in frames
    ]
    row = summary.ranges["energy per atom", "eV"]
    assert (row.minimum, row.maximum) == pytest.approx((min(energies), max(energies)))
    assert row.mean == pytest.approx(np.mean(energies))
    assert summary.errors["energy per atom", "meV"].mean == pytest.approx(100.0)
    assert summary.errors["force components", "meV/Å"].mean == pytest.approx(20.0)
    text = str(summary)
    for part in ("2 structures, 9 atoms", "energy per atom", "|forces|", "meV/Å", "out.csv"):
        assert part in text


@pytest.mark.parametrize("label", ["abc", "", "nan", "1e400", "-5,3"])
def test_labels_that_are_no_numbers_are_not_compared(
    make_model: MakeModel, caplog: pytest.LogCaptureFixture, label: str
) -> None:
    Path("in.xyz").write_text(f"2\nenergy={label}\nH 0 0 0\nH 0 0 0.74\n" * 2)
    summary = predict_files(make_model(), "in.xyz", "out.csv")
    assert not summary.errors
    assert "labels that could not be compared: 2" in str(summary)
    (told,) = [r.getMessage() for r in caplog.records if "not compared" in r.getMessage()]
    assert told.startswith("in.xyz, frame 0: the label 'energy'")


def test_unlabelled_input_is_not_compared(make_model: MakeModel) -> None:
    summary = predict_files(make_model(), write("in.xyz"), "out.csv")
    assert not summary.errors
    assert "labels" not in str(summary)


def methanol_in_nm() -> Atoms:
    atoms = molecule("CH3OH")
    atoms.positions /= 10
    return atoms


def test_implausible_structures_are_named_and_counted(
    make_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [molecule("H2O"), *(methanol_in_nm() for _ in range(5)), molecule("CH4")]
    summary = predict_files(make_model(), write("in.xyz", frames), batch_size=3)
    assert summary.doubtful == 5
    assert "implausible structures (do not trust these): 5" in str(summary)
    told = [record.getMessage() for record in caplog.records if "not plausible" in record.msg]
    assert len(told) == 3
    assert "in.xyz, frame 1 is not plausible: atoms 1 (O) and 3 (H) are 0.097 Å apart" in told[0]
    assert "Is the unit of length nm, not Å?" in told[0]


def test_sound_structures_raise_no_doubt(make_model: MakeModel) -> None:
    summary = predict_files(make_model(), write("in.xyz"))
    assert summary.doubtful == 0
    assert "plausible" not in str(summary)
