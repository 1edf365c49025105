"""Frozen copies: the same numbers, and no gradients of weights."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ase.build import molecule

from molnet.graph import from_atoms
from molnet.models import FrozenModel, Model

STRUCTURES = [molecule("CH3CH2OH"), molecule("H2O"), molecule("CH4")]


def make_model() -> Model:
    return Model(
        {"cutoff": 4.0, "channels": 4, "l_max": 2, "num_layers": 2, "radial_hidden": [8]},
        {"energy": {"kind": "extensive", "forces": True}, "dipole": {"kind": "dipole"}},
        [1, 6, 8],
        {"mean_neighbours": 5.0, "targets": {"energy": {"references": {"H": -13.6}}}},
    )


def test_same_results_and_no_history_of_weights() -> None:
    model = make_model().train()
    graph = from_atoms(STRUCTURES, model.cutoff)
    frozen = FrozenModel(model)
    assert not any(module.training for module in frozen.model.modules())
    assert not any(weight.requires_grad for weight in frozen.model.parameters())
    found, expected = frozen(graph), model.eval()(graph)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5)
    expected["forces"].square().sum().backward()
    assert any(weight.grad is not None for weight in model.parameters())


def test_the_original_stays_as_it_is() -> None:
    model = make_model().train()
    before = dict(model.named_parameters())
    FrozenModel(model)
    assert all(module.training for module in model.modules())
    assert dict(model.named_parameters()).keys() == before.keys()
    for name, weight in model.named_parameters():
        assert weight is before[name]
        assert weight.requires_grad


def test_what_happens_to_the_original_later_is_not_seen() -> None:
    model, other = make_model(), make_model()
    graph = from_atoms(STRUCTURES, model.cutoff)
    frozen = FrozenModel(model)
    with torch.no_grad():
        before = frozen(graph)["energy"]
        model.load_state_dict(other.state_dict())
        model.network.interactions[0].linear_in.register_forward_hook(lambda *_: 1 / 0)
        torch.testing.assert_close(frozen(graph)["energy"], before, rtol=0, atol=0)
        expected = FrozenModel(other)(graph)["energy"]
        assert not torch.equal(expected, before)


def test_a_copy_of_a_frozen_model_is_independent() -> None:
    model = make_model()
    graph = from_atoms(STRUCTURES, model.cutoff)
    first = FrozenModel(model)
    with torch.no_grad():
        before = first(graph)["energy"]
        second = FrozenModel(copy.deepcopy(first.model).double())
        torch.testing.assert_close(first(graph)["energy"], before, rtol=0, atol=0)
        doubled = second(from_atoms(STRUCTURES, model.cutoff, torch.float64))["energy"]
        torch.testing.assert_close(doubled, before, rtol=1e-5, atol=1e-5)
        with pytest.raises(TypeError, match="bound to weights of torch\\.float32"):
            second.model(from_atoms(STRUCTURES, model.cutoff, torch.float64), first.bound)


def test_threads_predict_with_a_model_that_another_trains() -> None:
    """Predictions neither wait for the training nor leave a trace in it."""
    model = make_model().train()
    graph = from_atoms(STRUCTURES, model.cutoff)
    (expected,) = model.predict(STRUCTURES[:1])
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(model.predict, STRUCTURES[:1] * 20, 2) for _ in range(2)]
        while not all(run.done() for run in running):
            assert all(module.training for module in model.modules())
            model(graph)["forces"].square().sum().backward()
            assert all(weight.requires_grad for weight in model.parameters())
    for run in running:
        for result in run.result():
            np.testing.assert_allclose(result["forces"], expected["forces"], atol=1e-6)


def test_inference_mode() -> None:
    model = make_model().eval()
    graph = from_atoms(STRUCTURES, model.cutoff)
    expected = model(graph)["forces"].detach()
    with torch.inference_mode():
        frozen = FrozenModel(model)
        for each in (model, frozen):
            torch.testing.assert_close(each(graph)["forces"], expected, rtol=1e-5, atol=1e-5)
        predicted = model.predict(STRUCTURES)
    assert len(predicted) == len(STRUCTURES)
    graph.pos.requires_grad_()
    frozen(graph)["energy"].sum().backward()
    torch.testing.assert_close(-graph.pos.grad.float(), expected, rtol=1e-5, atol=1e-5)


def test_inference_mode_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model().eval()
    expected = model(from_atoms(STRUCTURES, model.cutoff))["forces"].detach()
    monkeypatch.setattr("molnet.kernels.compiler.library", lambda *_: None)
    with torch.inference_mode():
        found = model(from_atoms(STRUCTURES, model.cutoff))["forces"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernels", [True, False])
def test_training_after_inference_mode(kernels: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for the modules is not made in inference mode, where nothing can be trained."""
    if not kernels:
        monkeypatch.setattr("molnet.kernels.compiler.library", lambda *_: None)
    network = {"cutoff": 4.0, "channels": 4, "l_max": 1, "num_layers": 2, "correlation": 2}
    heads = {"energy": {"kind": "extensive", "forces": True}}
    model = Model(network, heads, [1, 6, 8], {"mean_neighbours": 5.0}).double()
    graph = from_atoms(STRUCTURES, model.cutoff, torch.float64)
    with torch.inference_mode():
        model.eval()(from_atoms(STRUCTURES, model.cutoff, torch.float64))
    model.train()(graph)["forces"].square().sum().backward()
    assert all(torch.isfinite(w.grad).all() for w in model.parameters() if w.grad is not None)
