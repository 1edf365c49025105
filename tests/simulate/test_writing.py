"""Formats of predictions: what is written, in which units."""

import csv
import gzip
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from molnet.graph.frames import StructureFileError, read_frames
from molnet.simulate import Calculator, predict_files
from tests.simulate.files import MakeModel, files, read, structures, write

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")


def test_extended_xyz_holds_structures_with_results_where_ase_looks(
    make_model: MakeModel, reference: LennardJones
) -> None:
    summary = predict_files(make_model(), write("in.xyz"), batch_size=3)
    assert summary.output == Path("in.predicted.extxyz")
    assert files() == {"in.xyz", "in.predicted.extxyz"}
    predicted = read("in.predicted.extxyz")
    assert len(predicted) == summary.structures == len(structures())
    for atoms, expected in zip(predicted, structures(), strict=True):
        assert atoms.get_chemical_formula() == expected.get_chemical_formula()
        np.testing.assert_allclose(atoms.positions, expected.positions, atol=1e-7)
        np.testing.assert_array_equal(atoms.pbc, expected.pbc)
        expected.calc = reference
        assert atoms.get_potential_energy() == pytest.approx(
            expected.get_potential_energy(), abs=1e-5
        )
        np.testing.assert_allclose(atoms.get_forces(), expected.get_forces(), rtol=1e-5, atol=1e-5)
        if expected.pbc.any():
            np.testing.assert_allclose(atoms.get_stress(), expected.get_stress(), atol=1e-6)
        else:
            assert "stress" not in atoms.calc.results


def test_other_properties_stand_under_their_names_with_units(make_model: MakeModel) -> None:
    names = ("energy", "homo", "charges", "dipole", "polarizability", "moments")
    predict_files(make_model(*names), write("in.xyz"), "out.extxyz")
    atoms = read("out.extxyz")[0]
    np.testing.assert_allclose(atoms.get_dipole_moment(), [10, 20, -10])
    np.testing.assert_allclose(atoms.get_charges(), [0.8, 0.1, 0.1])
    assert atoms.info["homo"] == pytest.approx(-10 / 7)
    np.testing.assert_allclose(
        np.reshape(atoms.info["polarizability"], (3, 3)), 10 * np.arange(9).reshape(3, 3)
    )
    np.testing.assert_allclose(atoms.arrays["moments"], np.ones((3, 9)))
    assert "energy: eV" in atoms.info["units"]
    assert "forces: eV/Ang" in atoms.info["units"]
    assert "moments: e*Ang^2" in atoms.info["units"]


def test_labels_of_the_input_are_replaced_and_other_entries_kept(make_model: MakeModel) -> None:
    atoms = molecule("H2O")
    atoms.info |= {"name": "water", "homo": "unknown"}
    atoms.arrays["tag"] = np.array([3, 4, 5])
    atoms.set_constraint(FixAtoms([0]))
    atoms.calc = SinglePointCalculator(
        atoms, energy=-1e6, forces=np.ones((3, 3)), stress=np.zeros(6)
    )
    predict_files(make_model("energy", "homo"), write("in.xyz", [atoms]), "out.xyz")
    (found,) = read("out.xyz")
    assert found.info["name"] == "water"
    np.testing.assert_array_equal(found.arrays["tag"], [3, 4, 5])
    expected = Calculator(make_model())
    assert found.get_potential_energy() == pytest.approx(expected.get_potential_energy(atoms))
    forces = found.get_forces(apply_constraint=False)
    np.testing.assert_allclose(forces, expected.get_forces(atoms), atol=1e-6)
    assert np.abs(forces[0]).max() > 0.1, "the constraint must not zero a prediction"
    assert found.info["homo"] == pytest.approx(-10 / 7)
    assert "stress" not in found.calc.results


def test_csv_has_a_row_for_each_structure_and_units_in_the_header(make_model: MakeModel) -> None:
    model = make_model("energy", "homo", "dipole", "charges", dtype=None)
    predict_files(model, write("in.xyz"), "out.csv")
    with open("out.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == [str(index) for index in range(7)]
    assert {row["file"] for row in rows} == {"in.xyz"}
    assert rows[0]["formula"] == "H2O"
    assert rows[0]["atoms"] == "3"
    assert float(rows[0]["homo (eV)"]) == pytest.approx(-10 / 7)
    assert float(rows[0]["dipole_y (e*Å)"]) == pytest.approx(20)
    assert rows[0]["stress_xx (eV/Å^3)"] == ""
    for row, atoms in zip(rows, read("in.xyz"), strict=True):
        atoms.calc = Calculator(model, skin=0)
        assert float(row["energy (eV)"]) == atoms.get_potential_energy()
        largest = np.linalg.norm(atoms.get_forces(), axis=1).max()
        assert float(row["max_force (eV/Å)"]) == pytest.approx(largest)
        if atoms.pbc.any():
            stress = [float(row[f"stress_{ab} (eV/Å^3)"]) for ab in ("xx", "yy", "yz", "zy")]
            np.testing.assert_allclose(stress, atoms.get_stress()[[0, 1, 3, 3]], rtol=1e-12)


def test_json_holds_everything(make_model: MakeModel) -> None:
    predict_files(make_model("energy", "charges"), write("in.xyz"), "out.json", batch_size=2)
    found = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert found["units"]["forces"] == "eV/Å"
    assert found["units"]["charges"] == "e"
    assert len(found["structures"]) == 7
    for entry, atoms in zip(found["structures"], read("in.xyz"), strict=True):
        atoms.calc = Calculator(make_model(), skin=0)
        assert entry["symbols"] == atoms.get_chemical_symbols()
        np.testing.assert_array_equal(entry["positions"], atoms.positions)
        assert entry["energy"] == atoms.get_potential_energy()
        np.testing.assert_array_equal(entry["forces"], atoms.get_forces())
        assert len(entry["charges"]) == len(atoms)


def test_compressed_files_are_read_and_written(make_model: MakeModel) -> None:
    predict_files(make_model(), write("in.extxyz.gz"), "out.extxyz.gz")
    with gzip.open("out.extxyz.gz", "rt", encoding="utf-8") as file:
        assert len(list(ase.io.iread(file, format="extxyz"))) == 7


def labelled_water() -> Atoms:
    """A structure with columns of its own, and labels that are no predictions."""
    atoms = molecule("H2O")
    atoms.info |= {"name": "water", "config_type": "md300", "REF_energy": -3.5}
    atoms.set_tags([3, 4, 5])
    atoms.set_momenta(np.ones((3, 3)))
    atoms.set_constraint(FixAtoms([0]))
    atoms.calc = SinglePointCalculator(atoms, energy=-1e6, forces=np.full((3, 3), 1e3))
    return atoms


@pytest.mark.parametrize("output", ["out.xyz", "out.traj", "out.db"])
def test_columns_of_the_input_are_kept_and_its_labels_are_not(
    make_model: MakeModel, output: str
) -> None:
    atoms = labelled_water()
    predict_files(make_model("energy", "charges", "moments"), write("in.xyz", [atoms]), output)
    assert files() == {"in.xyz", output}
    (found,) = read_frames(Path(output))
    expected = Calculator(make_model())
    assert found.get_potential_energy() == pytest.approx(expected.get_potential_energy(atoms))
    forces = found.get_forces(apply_constraint=False)
    np.testing.assert_allclose(forces, expected.get_forces(atoms), atol=1e-6)
    np.testing.assert_allclose(found.get_charges(), [0.8, 0.1, 0.1])
    place = found.arrays if output == "out.xyz" else found.info
    np.testing.assert_allclose(place["moments"], np.ones((3, 9)))
    assert found.info["name"] == "water"
    assert found.info["config_type"] == "md300"
    assert found.info["REF_energy"] == -3.5
    assert found.info["source_file"] == "in.xyz"
    np.testing.assert_array_equal(found.get_tags(), [3, 4, 5])
    np.testing.assert_allclose(found.get_momenta(), 1.0)
    assert found.constraints[0].index.tolist() == [0]


def test_tables_keep_columns_of_the_input(make_model: MakeModel) -> None:
    write("in.xyz", [labelled_water()])
    predict_files(make_model(), "in.xyz", "out.csv")
    with open("out.csv", encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["name"], row["config_type"], row["REF_energy"]) == ("water", "md300", "-3.5")
    expected = Calculator(make_model()).get_potential_energy(labelled_water())
    assert float(row["energy (eV)"]) == pytest.approx(expected)
    predict_files(make_model(), "in.xyz", "out.json")
    (entry,) = json.loads(Path("out.json").read_text())["structures"]
    assert entry["info"] == {"name": "water", "config_type": "md300", "REF_energy": -3.5}
    assert entry["arrays"]["tags"] == [3, 4, 5]
    assert entry["constraints"] == [{"name": "FixAtoms", "kwargs": {"indices": [0]}}]
    assert entry["energy"] == pytest.approx(expected)


@pytest.mark.parametrize("output", ["out.traj", "out.db"])
def test_an_interruption_keeps_trajectories_and_databases(
    make_model: MakeModel, output: str
) -> None:
    write("in.xyz", [*structures()[:3], Atoms("Au")])
    with pytest.raises(StructureFileError, match=r"in\.xyz, frame 3"):
        predict_files(make_model(), "in.xyz", output)
    assert files() == {"in.xyz", f"{output}.partial"}
    Path(f"{output}.partial").rename(output)
    assert len(list(read_frames(Path(output)))) == 3
