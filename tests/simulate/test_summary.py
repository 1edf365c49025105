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


def labelled(config_type: str, shift: float, fault: float = 0.0) -> Atoms:
    """Water with a label that is off; ``fault``: by how much more for the forces on the oxygen."""
    atoms = molecule("H2O")
    atoms.info["config_type"] = config_type
    forces = np.full((3, 3), shift)
    forces[0] += fault
    atoms.calc = SinglePointCalculator(atoms, energy=3 * shift, forces=forces)
    return atoms


def test_errors_by_element_and_by_kind_of_structure(make_model: MakeModel) -> None:
    frames = [labelled("rest", 0.01), labelled("md", 0.03), labelled("md", 0.03, 0.6)]
    expected = Calculator(make_model())
    for atoms in frames:
        results = dict(atoms.calc.results)  # relative to the predictions
        results["energy"] += expected.get_potential_energy(atoms)
        results["forces"] = results["forces"] + expected.get_forces(atoms)
        atoms.calc = SinglePointCalculator(atoms, **results)
    summary = predict_files(make_model(), write("in.traj", frames), "out.csv")
    forces, energy = ("force components", "meV/Å"), ("energy per atom", "meV")
    elements = summary.by_group["element"]
    assert elements["O"][forces].mean == pytest.approx((10 + 30 + 630) / 3, rel=1e-4)
    assert elements["H"][forces].mean == pytest.approx((10 + 30 + 30) / 3, rel=1e-4)
    kinds = summary.by_group["config_type"]
    assert kinds["rest"][energy].mean == pytest.approx(10, rel=1e-3)
    assert kinds["md"][forces].mean == pytest.approx(30 + 600 / 6, rel=1e-4)
    text = str(summary)
    assert "by element" in text
    assert "by config_type" in text


def test_a_name_of_each_structure_is_no_kind(make_model: MakeModel) -> None:
    frames = [labelled(f"frame {index}", 0.01) for index in range(52)]
    summary = predict_files(make_model(), write("in.traj", frames), "out.csv")
    assert summary.by_group.keys() == {"element"}
    assert "config_type" not in str(summary)
