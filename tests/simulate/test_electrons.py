"""Total charges and spins in files whose structures are predicted."""

import warnings
from collections.abc import Callable
from pathlib import Path

import ase.io
import pytest
from ase import Atoms
from ase.build import molecule

from molnet.graph.frames import StructureFileError
from molnet.models import Model
from molnet.simulate import predict_files

MakeModel = Callable[..., Model]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def waters(*infos: dict[str, object]) -> str:
    frames = []
    for info in infos:
        frames.append(molecule("H2O"))
        frames[-1].info.update(info)
    ase.io.write("in.xyz", frames)
    return "in.xyz"


def predicted_charges() -> list[float]:
    return [
        float(atoms.get_charges().sum()) for atoms in ase.io.read("in.predicted.extxyz", index=":")
    ]


def test_charges_add_up_and_unknown_totals_are_named(
    make_dipole_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    infos = [{}, {"charge": 1}, {"charge": -1}, {"total_charge": -1}, {"charge": 2}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict_files(make_dipole_model([0, 1]), waters(*infos), batch_size=2)
    assert predicted_charges() == pytest.approx([0, 1, -1, -1, 2], abs=1e-6)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2  # once for each charge
    assert said[0].startswith("in.xyz, frame 2: the total charge is -1 e, but all training")
    assert said[1].startswith("in.xyz, frame 4: the total charge is +2 e")
    assert [atoms.info.get("charge") for atoms in ase.io.read("in.predicted.extxyz", ":")] == [
        *(None, 1, -1, None, 2)
    ]


def test_known_totals_and_one_spin_need_no_words(
    make_dipole_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    spin = {"multiplicity": 1}
    predict_files(make_dipole_model([0, 1]), waters(spin, spin | {"charge": 1}))
    assert caplog.records == []


def test_spins_that_vary_are_said_once(
    make_dipole_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    infos = [{"multiplicity": m} for m in (1, 1, 3, 1, 2)]
    predict_files(make_dipole_model([0]), waters(*infos))
    (record,) = caplog.records
    assert record.getMessage() == (
        "in.xyz, frame 2: multiplicity 3, but multiplicity 1 in in.xyz, frame 0: the model does "
        "not see the spin"
    )


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"charge": 0.5}, "in.xyz, frame 1: .* whole number, got 0.5"),
        ({"charge": 1, "total_charge": 2}, "in.xyz, frame 1: .* stated more than once"),
        ({"multiplicity": 0}, "in.xyz, frame 1: .* expected a multiplicity 1, 2, 3"),
    ],
)
def test_charges_that_cannot_be_are_named_by_file_and_frame(
    make_dipole_model: MakeModel, info: dict[str, object], message: str
) -> None:
    with pytest.raises(StructureFileError, match=message):
        predict_files(make_dipole_model([0]), waters({}, info))


def test_unclear_initial_charges_matter_where_the_charge_is_needed(
    make_dipole_model: MakeModel, make_model: MakeModel
) -> None:
    atoms: Atoms = molecule("H2O")
    atoms.set_initial_charges([0.3, 0, 0])
    ase.io.write("in.xyz", atoms)
    predict_files(make_model(), "in.xyz")  # an energy
    with pytest.raises(StructureFileError, match=r"in.xyz, frame 0: the total charge is needed"):
        predict_files(make_dipole_model([0]), "in.xyz")
