"""Frozen copies: the same numbers, and no gradients of weights."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ase.build import molecule

from molnet.graph import from_atoms
from molnet.models import Model, frozen

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
    copy = frozen(model)
    assert not any(module.training for module in copy.modules())
    assert not any(weight.requires_grad for weight in copy.parameters())
    expected, found = model.eval()(graph), copy(graph)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5)
    expected["forces"].square().sum().backward()
    assert any(weight.grad is not None for weight in model.parameters())


def test_the_original_stays_as_it_is() -> None:
    model = make_model().train()
    before = dict(model.named_parameters())
    frozen(model)
    assert all(module.training for module in model.modules())
    assert dict(model.named_parameters()).keys() == before.keys()
    for name, weight in model.named_parameters():
        assert weight is before[name]
        assert weight.requires_grad


def test_what_is_written_into_the_original_later_is_not_seen() -> None:
    model, other = make_model(), make_model()
    graph = from_atoms(STRUCTURES, model.cutoff)
    copy = frozen(model)
    with torch.no_grad():
        before = copy(graph)["energy"]
        model.load_state_dict(other.state_dict())
        torch.testing.assert_close(copy(graph)["energy"], before, rtol=0, atol=0)
        assert not torch.equal(model(graph)["energy"], before)


def test_what_is_written_into_the_copy_counts() -> None:
    model, other = make_model(), make_model()
    graph = from_atoms(STRUCTURES, model.cutoff)
    copy = frozen(model)
    with torch.no_grad():
        copy(graph)
        copy.load_state_dict(other.state_dict())
        torch.testing.assert_close(copy(graph)["energy"], other(graph)["energy"], rtol=0, atol=0)
        copy.double()
        graph = from_atoms(STRUCTURES, model.cutoff, torch.float64)
        expected = other.double()(graph)["energy"]
        torch.testing.assert_close(copy(graph)["energy"], expected, rtol=0, atol=0)


def test_copies_of_a_copy_in_use_are_independent() -> None:
    model = make_model()
    graph = from_atoms(STRUCTURES, model.cutoff)
    first = frozen(model)
    with torch.no_grad():
        before = first(graph)["energy"]
        unpickled = pickle.loads(pickle.dumps(first))  # noqa: S301
        for other in (frozen(first), copy.deepcopy(first), unpickled):
            torch.testing.assert_close(other(graph)["energy"], before, rtol=0, atol=0)
            for weight in other.parameters():
                weight *= 1.5
            assert not torch.equal(other(graph)["energy"], before)
            torch.testing.assert_close(first(graph)["energy"], before, rtol=0, atol=0)


def test_converting_a_copy_leaves_the_original() -> None:
    model = make_model()
    assert frozen(model).double().dtype == torch.float64
    assert model.dtype == torch.float32
    assert model.network.interactions[0].linear_in.weight.dtype == torch.float32


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


def gradients(model: Model) -> dict[str, torch.Tensor | None]:
    model.zero_grad()
    outputs = model(from_atoms(STRUCTURES, model.cutoff))
    (outputs["energy"].sum() + outputs["forces"].square().sum()).backward()
    return {name: weight.grad for name, weight in model.named_parameters()}


def test_a_copy_that_was_used_may_be_trained_after_all() -> None:
    model = make_model()
    copied = frozen(model)
    with torch.no_grad():
        copied(from_atoms(STRUCTURES, model.cutoff))
    copied.requires_grad_()
    expected = gradients(model)
    for _ in range(2):
        found = gradients(copied)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5)


def test_weights_that_take_the_place_of_others_are_used() -> None:
    model, other = make_model(), make_model()
    graph = from_atoms(STRUCTURES, model.cutoff)
    with torch.no_grad():
        expected = frozen(other)(graph)["energy"]
        copied = frozen(model)
        before = copied(graph)["energy"]
        weights = dict(frozen(other).named_parameters())
        found = torch.func.functional_call(copied, weights, (graph,))["energy"]
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
        torch.testing.assert_close(copied(graph)["energy"], before, rtol=0, atol=0)
        copied.load_state_dict(other.state_dict(), assign=True)
        torch.testing.assert_close(copied(graph)["energy"], expected, rtol=0, atol=0)


def test_inference_mode() -> None:
    model = make_model().eval()
    graph = from_atoms(STRUCTURES, model.cutoff)
    expected = model(graph)["forces"].detach()
    with torch.inference_mode():
        copied = frozen(model)
        for each in (model, copied):
            torch.testing.assert_close(each(graph)["forces"], expected, rtol=1e-5, atol=1e-5)
        predicted = model.predict(STRUCTURES)
    assert len(predicted) == len(STRUCTURES)
    graph.pos.requires_grad_()
    copied(graph)["energy"].sum().backward()
    torch.testing.assert_close(-graph.pos.grad.float(), expected, rtol=1e-5, atol=1e-5)


def test_inference_mode_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model().eval()
    expected = model(from_atoms(STRUCTURES, model.cutoff))["forces"].detach()
    monkeypatch.setattr("molnet.kernels.compiler.library", lambda *_: None)
    with torch.inference_mode():
        found = model(from_atoms(STRUCTURES, model.cutoff))["forces"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
