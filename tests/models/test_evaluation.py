"""The network with its derivative written out, against autograd."""

import pytest
import torch
from ase.build import bulk, molecule
from torch import Tensor

from molnet.graph import from_atoms
from molnet.kernels import backend
from molnet.models import Model, evaluation, frozen

pytestmark = pytest.mark.skipif("compiled" not in backend("cpu"), reason="there is no C++ compiler")
STRUCTURES = [molecule("CH3CH2OH"), molecule("H2O"), molecule("H"), bulk("C", cubic=True)]
HEADS = {
    "forces": {"energy": {"kind": "extensive", "forces": True, "stress": True}},
    "tensors": {
        "energy": {"kind": "extensive", "forces": True},
        "dipole": {"kind": "dipole"},
        "polarizability": {"kind": "polarizability"},
    },
    "no derivatives": {"gap": {"kind": "intensive"}},
}


def make_model(heads: str, **network: object) -> Model:
    network = {"cutoff": 3.0, "channels": 5, "l_max": 2, "num_layers": 3, **network}
    return Model(network, HEADS[heads], [1, 6, 8], {"mean_neighbours": 5.0}).double()


def predictions(model: Model, differentiable: bool) -> dict[str, Tensor]:
    graph = from_atoms(STRUCTURES, model.cutoff, torch.float64)
    with torch.set_grad_enabled(differentiable):
        return model(graph)


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each evaluation that was written out."""
    seen: list[int] = []
    forward = evaluation.Evaluation.forward

    def counted(*arguments: object) -> object:
        seen.append(1)
        return forward(*arguments)

    monkeypatch.setattr(evaluation.Evaluation, "forward", staticmethod(counted))
    return seen


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("network", [{}, {"parity": True}, {"l_max": 3, "num_layers": 1}])
def test_agrees_with_autograd(heads: str, network: dict, evaluations: list[int]) -> None:
    model = make_model(heads, **network).eval()
    expected = predictions(model, differentiable=True)
    assert not evaluations
    for each in (model, frozen(model)):
        found = predictions(each, differentiable=False)
        assert evaluations.pop()
        assert not evaluations
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-10, equal_nan=True)
            assert not found[name].requires_grad


def test_weights_in_use_are_always_the_present_ones() -> None:
    """Also when they are written behind PyTorch's back, as averaging callbacks do."""
    model, other = make_model("forces").eval(), make_model("forces").eval()
    predictions(model, differentiable=False)
    for weight, new in zip(model.parameters(), other.parameters(), strict=True):
        weight.data.copy_(new.data)
    found, expected = (predictions(each, differentiable=False) for each in (model, other))
    torch.testing.assert_close(found["forces"], expected["forces"], rtol=0, atol=0)


def test_exact_radial_networks_are_left_to_autograd(evaluations: list[int]) -> None:
    model = make_model("forces", num_knots=None).eval()
    expected = predictions(model, differentiable=True)
    found = predictions(model, differentiable=False)
    assert not evaluations
    torch.testing.assert_close(found["forces"], expected["forces"], rtol=1e-10, atol=1e-10)


def test_without_kernels(evaluations: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("forces").eval()
    expected = predictions(model, differentiable=False)
    monkeypatch.setattr("molnet.kernels.compiler.library", lambda real: None)
    evaluations.clear()
    found = predictions(model, differentiable=False)
    assert not evaluations
    torch.testing.assert_close(found["forces"], expected["forces"], rtol=1e-10, atol=1e-10)
