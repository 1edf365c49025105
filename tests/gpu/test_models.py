"""A model on a GPU gives what the kernels of the CPU give: values, forces, gradients of weights."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

import molnet
from molnet.graph import from_atoms
from molnet.models import FrozenModel, Model, load_model, save_model
from molnet.simulate.hessian import hessian

pytestmark = pytest.mark.gpu

NETWORKS = [
    {},
    {"l_max": 3, "l_features": 1, "correlation": 3},
    {"correlation": 1, "num_layers": 3, "parity": True},
    {"repulsion": True, "radial_basis": "gaussian", "trainable_basis": True},
    {"num_knots": None},
]
TOLERANCES = {torch.float64: 1e-9, torch.float32: 2e-4}


def structures() -> list[Atoms]:
    crystal = bulk("C", cubic=True)
    crystal.rattle(0.05, seed=1)
    return [molecule("CH3CH2OH"), crystal, molecule("H2O"), Atoms("O")]


def make(network: dict, dtype: torch.dtype = torch.float64) -> Model:
    heads = {
        "energy": {"kind": "extensive", "forces": True, "stress": True},
        "homo": {"kind": "intensive"},
    }
    settings = {"cutoff": 4.0, "channels": 16, "radial_hidden": [16, 16], **network}
    return Model(settings, heads, [1, 6, 8], {"mean_neighbours": 6.0}).to(dtype)


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield request.param
    torch.backends.cuda.matmul.allow_tf32 = before


def assert_same(
    found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], dtype: torch.dtype
) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(1.0, float(value.nan_to_num().abs().max()))
        torch.testing.assert_close(
            found[name].cpu(),
            value,
            rtol=TOLERANCES[dtype],
            atol=TOLERANCES[dtype] * scale,
            equal_nan=True,
        )


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_predictions(network: dict, dtype: torch.dtype, device: torch.device) -> None:
    model = make(network, dtype).eval()
    graph = from_atoms(structures(), model.cutoff, torch.float64)
    with torch.no_grad():
        expected = model(graph)
        model.to(device)
        assert_same(model(graph.to(device)), expected, dtype)
        assert_same(FrozenModel(model)(graph.to(device)), expected, dtype)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_gradients_of_the_weights(network: dict, dtype: torch.dtype, device: torch.device) -> None:
    model = make(network, dtype)
    graph = from_atoms(structures(), model.cutoff, torch.float64)

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        outputs = model.train()(graph.to(model.device))
        loss = outputs["energy"].square().mean() + outputs["forces"].square().sum()
        (loss + outputs["stress"].nansum().square()).backward()
        return {
            name: weight.grad.cpu()
            for name, weight in model.named_parameters()
            if weight.grad is not None
        }

    expected = gradients()
    model.to(device)
    assert_same(gradients(), expected, dtype)


def test_hessian(device: torch.device) -> None:
    model = make({})
    expected = hessian(model, molecule("H2O"))
    np.testing.assert_allclose(hessian(model.to(device), molecule("H2O")), expected, atol=1e-9)


def test_a_model_travels_between_devices(
    device: torch.device, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("model")
    model = make({}).to(device)
    save_model(model, folder)
    loaded = load_model(folder, device="cpu")
    atoms = molecule("CH3CH2OH")
    assert loaded.predict(atoms)["energy"] == pytest.approx(
        model.predict(atoms)["energy"], abs=1e-9
    )
    assert load_model(folder).device.type == "cuda"


def test_the_bundled_model_with_its_domain(device: torch.device) -> None:
    atoms = molecule("CH3CH2OH")
    expected = molnet.load("organic", device="cpu").predict(atoms)
    found = molnet.load("organic", device=device).predict(atoms)
    assert found["energy"] == pytest.approx(expected["energy"], abs=1e-3)
    np.testing.assert_allclose(found["forces"], expected["forces"], atol=2e-3)
    np.testing.assert_allclose(found["domain_distances"], expected["domain_distances"], rtol=1e-2)


def test_memory_grows_with_the_atoms_alone(device: torch.device) -> None:
    """Energies and forces of a crystal: so many bytes an atom, and no more for a larger one."""
    model = FrozenModel(make({"channels": 64}, torch.float32).to(device))
    used = []
    for cells in (6, 10):
        atoms = bulk("C", cubic=True) * (cells, cells, cells)
        graph = from_atoms([atoms], model.model.cutoff, torch.float64).to(device)
        with torch.no_grad():
            model(graph)
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            model(graph)
        used.append((torch.cuda.max_memory_allocated() - before) / len(atoms))
    print(f"{used[0] / 1e3:.0f} and {used[1] / 1e3:.0f} kB per atom")
    assert used[1] < 1.2 * used[0]
    assert used[1] < 4e6
