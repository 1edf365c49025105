"""What may be given to ``model.predict``: structures, lists of them, files."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from molnet.graph import StructureError
from molnet.graph.frames import StructureFileError
from molnet.models import Model, UnknownElementError, UnseenChargeWarning

NETWORK = {"cutoff": 4.0, "channels": 4, "l_max": 1, "num_layers": 2, "radial_hidden": [8]}
WATER, METHANOL = molecule("H2O"), molecule("CH3OH")


@pytest.fixture
def model() -> Model:
    heads = {"energy": {"kind": "extensive", "forces": True}}
    statistics = {"mean_neighbours": 2.0, "total_charges": [0]}
    return Model(NETWORK, heads, [1, 6, 8], statistics).eval()


def test_one_structure_gives_one_prediction(model: Model) -> None:
    alone, (listed,) = model.predict(WATER), model.predict([WATER])
    assert alone.keys() == listed.keys() == {"energy", "forces"}
    np.testing.assert_array_equal(alone["forces"], listed["forces"])


def test_any_iterable_of_structures(model: Model) -> None:
    results = model.predict(atoms for atoms in (WATER, METHANOL))
    assert [len(result["forces"]) for result in results] == [3, 6]
    assert model.predict([]) == []


def test_files_are_predicted_frame_by_frame(model: Model, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.xyz", [WATER, METHANOL])
    ase.io.write(tmp_path / "b.xyz", METHANOL)
    expected = model.predict([WATER, METHANOL, METHANOL])
    for given in (
        str(tmp_path / "*.xyz"),
        [tmp_path / "a.xyz", str(tmp_path / "b.xyz")],
    ):
        results = model.predict(given)
        for result, other in zip(results, expected, strict=True):
            np.testing.assert_allclose(result["energy"], other["energy"], rtol=0, atol=1e-5)
    (single,) = model.predict(tmp_path / "b.xyz")
    assert len(single["forces"]) == 6


def test_a_fault_in_a_file_is_named_by_file_and_frame(model: Model, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.xyz", WATER)
    ase.io.write(tmp_path / "b.xyz", [WATER, Atoms("HCl", [[0, 0, 0], [1.3, 0, 0]])])
    with pytest.raises(StructureFileError, match=r"b\.xyz, frame 1: .* holds Cl \(atom 1\)"):
        model.predict([tmp_path / "a.xyz", tmp_path / "b.xyz"], batch_size=1)
    with pytest.raises(UnknownElementError, match="holds Cl") as caught:
        model.predict([WATER, *ase.io.read(tmp_path / "b.xyz", ":")])
    assert caught.value.index == 2


def test_a_file_that_is_not_there_or_broken(model: Model, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "water.xyz", [WATER, WATER])
    with pytest.raises(FileNotFoundError, match=r"Did you mean '.*water\.xyz'"):
        model.predict(tmp_path / "watr.xyz")
    text = (tmp_path / "water.xyz").read_text()
    (tmp_path / "cut.xyz").write_text(text[: len(text) - 60])
    with pytest.raises(StructureFileError, match=r"cut\.xyz, frame 1"):
        model.predict(tmp_path / "cut.xyz")


def test_doubts_about_structures_of_files_name_file_and_frame(model: Model, tmp_path: Path) -> None:
    squeezed, ion = METHANOL.copy(), WATER.copy()
    squeezed.positions *= 0.3
    ion.info["charge"] = 1
    ase.io.write(tmp_path / "a.xyz", [WATER, squeezed, ion])
    with (
        pytest.warns(UserWarning, match=r"a\.xyz, frame 1: .*Å"),
        pytest.warns(UnseenChargeWarning, match=r"a\.xyz, frame 2"),
    ):
        model.predict(tmp_path / "a.xyz")
    with pytest.warns(UserWarning, match="structure 1: ") as warned:
        model.predict([WATER, squeezed])
    assert warned[0].filename == __file__


def test_a_placeholder_cell_in_a_file_is_dropped(model: Model, tmp_path: Path) -> None:
    boxed = WATER.copy()
    boxed.set_cell([1, 1, 1])
    boxed.pbc = True
    ase.io.write(tmp_path / "water.pdb", boxed)
    with pytest.warns(UserWarning, match=r"water\.pdb, frame 0: the cell is a cube of 1 Å"):
        (result,) = model.predict(tmp_path / "water.pdb")
    np.testing.assert_allclose(result["energy"], model.predict(WATER)["energy"], atol=1e-2)


@pytest.mark.parametrize("wrong", [3, None, [WATER, "water.xyz"], WATER[0]])
def test_something_else_is_refused(model: Model, wrong: object) -> None:
    with pytest.raises(TypeError, match="expected ASE's Atoms, a list of them, or the name of a"):
        model.predict(wrong)  # type: ignore[call-overload]


def test_errors_of_given_structures_keep_their_place(model: Model) -> None:
    with pytest.raises(StructureError, match="no atoms") as caught:
        model.predict([WATER, Atoms()])
    assert caught.value.index == 1


def test_a_model_describes_itself(model: Model) -> None:
    text = repr(
        Model(
            model.config["network"],
            model.config["heads"],
            [1, 6, 8],
            model.statistics,
            provenance={
                "dataset": "mine",
                "level_of_theory": "PBE/def2-SVP",
                "structures": {"train": 1234},
            },
        )
    )
    assert text.splitlines()[:5] == [
        "molnet.Model",
        "  predicts    energy (eV), forces (eV/Å), stress (eV/Å^3)",
        "  elements    H, C, O",
        "  trained on  mine, PBE/def2-SVP, 1,234 structures",
        "  cutoff      4 Å",
    ]
    assert "float32 on cpu" in text
    assert "trained on" not in repr(model)


def test_a_crystal_has_stress(model: Model) -> None:
    assert model.predict(bulk("C"))["stress"].shape == (3, 3)
