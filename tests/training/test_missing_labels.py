"""Training on labels that some structures lack, and on isolated atoms."""

import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from omegaconf import DictConfig, OmegaConf

from molnet import Calculator
from molnet.graph import from_atoms
from molnet.models import UndeterminedEnergyWarning, load_model
from molnet.properties import get_property
from molnet.training.losses import Loss, LossTerm
from molnet.training.run import train

LOSS = Loss(
    [
        LossTerm(get_property("energy"), 1.0, per_atom=True),
        LossTerm(get_property("forces"), 1.0, weight=10.0),
    ]
)


def waters(count: int, forces_on: Callable[[int], bool]) -> list[Atoms]:
    """Rattled water molecules with energies, and forces on some."""
    rng = np.random.default_rng(3)
    frames = []
    for index in range(count):
        atoms = molecule("H2O")
        atoms.rattle(0.05, rng=rng)
        vectors = atoms.positions - atoms.get_center_of_mass()
        results = {"energy": -14.0 + 0.3 * float((vectors**2).sum()), "forces": -0.6 * vectors}
        if not forces_on(index):
            del results["forces"]
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    return frames


def test_the_loss_is_the_mean_over_labels_that_exist() -> None:
    frames = waters(4, lambda index: index < 2)
    graph = from_atoms(frames, 3.0)
    graph.energy = torch.tensor([a.get_potential_energy() for a in frames], dtype=torch.float64)
    graph.forces = torch.full((12, 3), torch.nan)
    graph.forces[:6] = torch.tensor(np.concatenate([a.get_forces() for a in frames[:2]])).float()
    predictions = {
        "energy": torch.zeros(4, dtype=torch.float64, requires_grad=True),
        "forces": torch.zeros(12, 3, requires_grad=True),
    }
    terms, counts = LOSS.parts(predictions, graph)
    assert counts == (4, 18)
    of_two = from_atoms(frames[:2], 3.0)
    of_two.energy, of_two.forces = graph.energy[:2], graph.forces[:6]
    cut = {"energy": predictions["energy"][:2], "forces": predictions["forces"][:6]}
    assert float(terms[1]) == pytest.approx(float(LOSS.parts(cut, of_two)[0][1]))
    LOSS(predictions, graph).backward()
    assert (predictions["forces"].grad[6:] == 0).all()  # type: ignore[index]
    assert (predictions["forces"].grad[:6] != 0).any()  # type: ignore[index]
    graph.forces[:] = torch.nan
    assert LOSS.parts(predictions, graph)[1] == (4, 0)
    assert float(LOSS.parts(predictions, graph)[0][1]) == 0


def test_a_run_with_forces_on_some_structures(
    settings: Callable[..., DictConfig],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "half.xyz"
    ase.io.write(path, waters(24, lambda index: index % 3 == 0), format="extxyz")
    caplog.set_level(logging.INFO)
    metrics = train(settings(f"dataset.path={path}", "dataset.batch_size=1"))
    assert "forces: 8 of 24 structures" in caplog.text
    counts = {
        part: (metrics[part]["energy"]["count"], metrics[part]["forces"]["count"])
        for part in ("train", "validation", "test")
    }
    assert sum(energy for energy, _ in counts.values()) == 24
    assert sum(forces for _, forces in counts.values()) == 8 * 9
    model = load_model(tmp_path / "run" / "model")
    assert all(torch.isfinite(weight).all() for weight in model.parameters())
    frames = ase.io.read(tmp_path / "run" / "test_predictions.extxyz", ":")
    with_forces = [f for f in frames if f.calc is not None and "forces" in f.calc.results]
    assert 9 * len(with_forces) == counts["test"][1]
    assert all("predicted_forces" in atoms.arrays for atoms in frames)
    # All are the same molecule: the model knows that another one has no zero of energy.
    atoms = molecule("H2O")
    atoms.calc = Calculator(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_potential_energy()
    other = molecule("H2")
    other.calc = Calculator(model)
    with pytest.warns(UndeterminedEnergyWarning, match="of this composition is off"):
        other.get_potential_energy()


def test_a_term_without_any_label_is_refused(
    settings: Callable[..., DictConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with_forces, without = tmp_path / "a.xyz", tmp_path / "b.xyz"
    ase.io.write(with_forces, waters(6, lambda index: True), format="extxyz")
    ase.io.write(without, waters(6, lambda index: False), format="extxyz")
    whole = ("dataset.train_size=null", "trainer.max_epochs=1")
    with pytest.raises(ValueError, match="no training structure has a label for 'forces'"):
        train(settings(f"dataset.path={without}", f"dataset.validation_path={with_forces}", *whole))
    caplog.set_level(logging.INFO)
    train(settings(f"dataset.path={with_forces}", f"dataset.validation_path={without}", *whole))
    assert "no validation structure has a label for forces: the best epoch is" in caplog.text


def test_isolated_atoms_are_the_references_of_a_run(
    settings: Callable[..., DictConfig], tmp_path: Path
) -> None:
    path = tmp_path / "a.xyz"
    atoms = [Atoms(s, info={"energy": e}) for s, e in (("H", -1.0), ("O", -3.0))]
    ase.io.write(path, [*waters(24, lambda index: True), *atoms], format="extxyz")
    train(settings(f"dataset.path={path}", "trainer.max_epochs=1", "optimizer.lr=1e-6"))
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    statistics = config["statistics"]["targets"]["energy"]
    assert statistics["references"] == {"H": -1.0, "O": -3.0}
    assert "undetermined" not in statistics
    assert config["provenance"]["level_of_theory"] is None
    # The untrained model starts from the mean of what the references leave.
    energy = load_model(tmp_path / "run").predict(molecule("H2O"))
    found = energy[0] if isinstance(energy, list) else energy
    assert float(found["energy"]) == pytest.approx(-13.5, abs=3.0)


def test_references_may_have_a_unit(settings: Callable[..., DictConfig], tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    ase.io.write(path, waters(24, lambda index: True), format="extxyz")
    config = settings(f"dataset.path={path}", "target=energy", "trainer.max_epochs=1")
    references = {"energy": {"unit": "Hartree", "H": -0.5, "O": -75}}
    OmegaConf.update(config, "target.references", references, force_add=True)
    train(config)
    saved = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    references = saved["statistics"]["targets"]["energy"]["references"]
    assert references["H"] == pytest.approx(-13.6057, abs=1e-4)
    assert references["O"] == pytest.approx(-75 * 27.2114, abs=1e-2)
