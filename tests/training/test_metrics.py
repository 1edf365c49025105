"""Errors against NumPy, in the units that are reported."""

import json
import math
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from molnet.properties import get_property
from molnet.training.metrics import Errors, ErrorsByColumn, ErrorsByElement

PTR = torch.tensor([0, 2, 5])


def test_errors_of_several_batches_are_those_of_all_their_labels() -> None:
    rng = np.random.default_rng(0)
    errors = Errors([get_property("energy"), get_property("forces")])
    energy = rng.normal(size=(3, 2))
    forces = rng.normal(size=(3, 5, 3))
    for e, f in zip(energy, forces, strict=True):
        graph = Batch(ptr=PTR, energy=torch.zeros(2).double(), forces=torch.zeros(5, 3))
        errors.update({"energy": torch.tensor(e), "forces": torch.tensor(f).float()}, graph)
    result = errors.summaries()
    assert result["energy"].count == 6
    assert result["energy"].unit == "meV"
    assert math.isclose(result["energy"].mae, 1000 * np.abs(energy).mean())
    assert math.isclose(result["energy"].rmse, 1000 * np.sqrt((energy**2).mean()))
    assert math.isclose(result["energy_per_atom"].mae, 1000 * np.abs(energy / [2, 3]).mean())
    assert result["energy_per_atom"].unit == "meV/atom"
    assert result["forces"].count == 45
    assert math.isclose(result["forces"].mae, 1000 * np.abs(forces).mean(), rel_tol=1e-6)
    errors.reset()
    assert errors.summaries()["forces"].count == 0


def test_small_errors_of_large_energies_survive() -> None:
    errors = Errors([get_property("energy")])
    label = torch.tensor([-1e5, -1e5], dtype=torch.float64)
    errors.update({"energy": label + 1e-6}, Batch(ptr=PTR, energy=label))
    assert math.isclose(errors.summaries()["energy"].mae, 1e-3, rel_tol=1e-4)


def test_missing_labels_do_not_count_but_nan_predictions_show() -> None:
    label = torch.full((2, 3, 3), torch.nan)
    label[1] = 1.0
    errors = Errors([get_property("stress")])
    graph = Batch(ptr=PTR, stress=label)
    errors.update({"stress": torch.where(label.isnan(), torch.nan, 1.5)}, graph)
    assert errors.summaries()["stress"].count == 9
    assert math.isclose(errors.summaries()["stress"].mae, 500.0)
    errors.update({"stress": torch.full((2, 3, 3), torch.nan)}, graph)
    assert math.isnan(errors.summaries()["stress"].mae)


def test_errors_by_element_are_those_of_its_atoms() -> None:
    rng = np.random.default_rng(0)
    species = np.array([1, 8, 1, 6, 1])
    errors = ErrorsByElement([get_property("energy"), get_property("forces")])
    label = rng.normal(size=(5, 3))
    label[2] = np.nan  # of a structure without forces
    error = rng.normal(size=(2, 5, 3))
    for e in error:
        graph = Batch(ptr=PTR, species=torch.tensor(species), forces=torch.tensor(label))
        errors.update({"forces": torch.tensor(label + e)}, graph)
    result = errors.compute()
    assert list(result) == ["H", "C", "O"]
    hydrogens = error[:, [0, 4]]
    assert result["H"]["forces"].count == hydrogens.size
    assert math.isclose(result["H"]["forces"].mae, 1000 * np.abs(hydrogens).mean())
    assert math.isclose(result["H"]["forces"].rmse, 1000 * np.sqrt((hydrogens**2).mean()))
    assert result["O"]["forces"].unit == "meV/Å"


def test_nothing_compared_is_nan() -> None:
    assert math.isnan(Errors([get_property("gap")]).summaries()["gap"].mae)


def test_errors_by_column_are_those_of_its_structures() -> None:
    rng = np.random.default_rng(0)
    properties = [get_property("energy"), get_property("forces")]
    errors, too_many = ErrorsByColumn(properties), ErrorsByColumn(properties, most=2)
    energy, forces = rng.normal(size=(2, 2)), rng.normal(size=(2, 5, 3))
    for values, e, f in zip((["a", 3], ["a", None]), energy, forces, strict=True):
        graph = Batch(
            ptr=PTR,
            batch=torch.tensor([0, 0, 1, 1, 1]),
            energy=torch.zeros(2).double(),
            forces=torch.zeros(5, 3),
        )
        predictions = {"energy": torch.tensor(e), "forces": torch.tensor(f)}
        errors.update(predictions, graph, values)
        too_many.update(predictions, graph, values)
    result = errors.compute()
    assert list(result) == ["a", "3", "(none)"]
    assert math.isclose(result["a"]["energy_per_atom"].mae, 500 * np.abs(energy[:, 0]).mean())
    assert math.isclose(result["a"]["forces"].mae, 1000 * np.abs(forces[:, :2]).mean())
    assert result["3"]["energy"].count == 1
    rmse = np.sqrt((forces[1, 2:] ** 2).mean())
    assert math.isclose(result["(none)"]["forces"].rmse, 1000 * rmse)
    assert too_many.compute() == {}


def test_a_column_that_no_structure_has_gives_no_errors() -> None:
    errors = ErrorsByColumn([get_property("energy")])
    graph = Batch(ptr=PTR, batch=torch.tensor([0, 0, 1, 1, 1]), energy=torch.zeros(2))
    errors.update({"energy": torch.zeros(2)}, graph, [None, None])
    assert errors.compute() == {}


def _of_one_process(rank: int, port: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    errors = Errors([get_property("energy")])
    label = torch.zeros(2, dtype=torch.float64)
    for _ in range(rank + 1):
        errors.update({"energy": label + rank + 1.0}, Batch(ptr=PTR, energy=label))
    found = errors.summaries()["energy"]
    Path(folder, str(rank)).write_text(json.dumps([found.mae, found.count]))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_add_their_errors_up(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_of_one_process, (port, str(tmp_path)), nprocs=2)
    for rank in "01":
        mae, count = json.loads((tmp_path / rank).read_text())
        assert count == 6
        assert math.isclose(mae, 1000 * (2 * 1.0 + 4 * 2.0) / 6)
