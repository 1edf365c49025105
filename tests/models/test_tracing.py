"""What kernels do is what the modules' ``forward`` says, whatever is done to a module."""

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from types import MethodType

import pytest
import torch
from ase.build import molecule
from torch import Tensor, nn

from molnet.graph import from_atoms
from molnet.kernels import BoundProgram, backend
from molnet.models import FrozenModel, Model, load_model, save_model
from molnet.models.interaction import Interaction
from molnet.models.tracing import NotTraceableError, trace
from molnet.nn.activation import normalize2mom
from molnet.o3.linear import Linear

pytestmark = pytest.mark.skipif("compiled" not in backend("cpu"), reason="there is no C++ compiler")

STRUCTURES = [molecule("CH3CH2OH"), molecule("H2O")]
HEADS = {"energy": {"kind": "extensive", "forces": True}, "homo": {"kind": "intensive"}}
NETWORK = {"cutoff": 4.0, "channels": 4, "l_max": 2, "num_layers": 2, "radial_hidden": [8]}


def make_model(**network: object) -> Model:
    return Model(NETWORK | network, HEADS, [1, 6, 8], {"mean_neighbours": 5.0}).double()


def results(model: Model, evaluate: Callable | None = None, grad: bool = False) -> list[Tensor]:
    """Predictions, and after training's pass backwards the gradients of all weights."""
    graph = from_atoms(STRUCTURES, model.cutoff, torch.float64)
    with torch.set_grad_enabled(grad):
        outputs = (evaluate or model)(graph)
    values = [outputs[name] for name in ("energy", "forces", "homo")]
    if not grad:
        return values
    model.zero_grad()
    sum(value.square().sum() for value in values).backward()
    gradients = [weight.grad for weight in model.parameters()]
    return [*values, *(g for g in gradients if g is not None)]


class _NothingKept:
    refusal = compilable = None


def in_pytorch(model: Model, grad: bool = False) -> list[Tensor]:
    """The results with every module evaluated by PyTorch, one after another, and nothing kept."""
    plain = copy.deepcopy(model)
    plain.network.kept.of = lambda network: _NothingKept  # type: ignore[method-assign,assignment]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("molnet.kernels.compiler.library", lambda *_: None)
        return results(plain, grad=grad)


def assert_close(found: list[Tensor], expected: list[Tensor]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.detach(), other.detach(), rtol=1e-9, atol=1e-10)


# Every module of a network, changed in every way


def modules() -> list[str]:
    return [name for name, _ in make_model().network.named_modules()]


def doubled_class(module: nn.Module) -> None:
    """Another class with the same attributes, whose forward gives twice the result."""

    def forward(self: nn.Module, *args: object, **kwargs: object) -> object:
        return twice(parent.forward(self, *args, **kwargs))

    parent = type(module)
    module.__class__ = type(f"Doubled{parent.__name__}", (parent,), {"forward": forward})


def hook(module: nn.Module) -> None:
    module.register_forward_hook(lambda module, args, output: twice(output))


def hook_before(module: nn.Module) -> None:
    def before(module: nn.Module, args: tuple) -> tuple:
        first, *rest = args
        halved = first / 2 if isinstance(first, Tensor) and first.is_floating_point() else first
        return halved, *rest

    module.register_forward_pre_hook(before)


def own_forward(module: nn.Module) -> None:
    def forward(self: nn.Module, *args: object, **kwargs: object) -> object:
        return twice(type(self).forward(self, *args, **kwargs))

    module.forward = MethodType(forward, module)


def twice(output: object) -> object:
    if isinstance(output, Tensor):
        return 2 * output if output.is_floating_point() else output
    if isinstance(output, tuple):
        parts = [twice(part) for part in output]
        return type(output)(*parts) if hasattr(output, "_fields") else tuple(parts)
    return output


@pytest.mark.parametrize("change", [doubled_class, hook, hook_before, own_forward])
@pytest.mark.parametrize("name", modules())
def test_a_changed_module_counts(name: str, change: Callable[[nn.Module], None]) -> None:
    model = make_model()
    unchanged = results(model, grad=True)
    module = model.network.get_submodule(name)
    if type(module).forward is nn.Module.forward and type(module) is nn.ModuleList:
        pytest.skip("a list of modules is not called")
    change(module)
    expected = in_pytorch(model, grad=True)
    assert_close(results(model, grad=True), expected)
    assert_close(results(model.eval()), expected[:3])
    assert_close(results(model, FrozenModel(model)), expected[:3])
    if has_effect(name) and change is not hook_before:
        assert not torch.allclose(expected[0], unchanged[0], rtol=1e-6)


def has_effect(name: str) -> bool:
    """Whether twice the result of a module shows: not of constants and perceptrons, which are read
    layer by layer; of the second of two equal functions; of the gates that the last layer lacks."""
    kind = type(make_model().network.get_submodule(name)).__name__
    unused = name.endswith(("act_gates.acts.1", "1.gate.act_gates"))
    return kind not in ("Constants", "FullyConnectedNet") and not unused


# Replaced attributes


def replaced(path: str, make: Callable[[nn.Module], object]) -> Callable[[Model], None]:
    owner, _, name = path.rpartition(".")

    def change(model: Model) -> None:
        module = model.network.get_submodule(owner)
        setattr(module, name, make(getattr(module, name)))

    return change


class TrainableBasis(nn.Module):
    """Gaussians whose widths are learned."""

    def __init__(self, num: int) -> None:
        super().__init__()
        self.widths = nn.Parameter(torch.linspace(0.5, 2.0, num, dtype=torch.float64))

    def forward(self, distances: Tensor) -> Tensor:
        return torch.exp(-(distances.unsqueeze(-1) / self.widths).square())


CHANGES: dict[str, Callable[[Model], None]] = {
    "basis": replaced("bessel", lambda old: TrainableBasis(old.num)),
    "number of neighbours": lambda model: setattr(model.network, "divisor", 7.0),
    "weights": replaced("interactions.1.linear_in.weight", lambda w: nn.Parameter(2 * w)),
    "another linear map": replaced(
        "interactions.0.linear_out",
        lambda old: Linear(old.irreps_in, old.irreps_out, layout="ir_mul").double(),
    ),
    "activation in the gate": lambda model: model.network.interactions[
        0
    ].gate.act_scalars.acts.__setitem__(0, normalize2mom(torch.relu)),
    "factor of an activation": lambda model: setattr(
        model.network.interactions[0].gate.act_gates.acts[0], "cst", 3.0
    ),
    "activation of a radial network": lambda model: setattr(
        model.network.interactions[0].radial.mlp.layer0, "act", normalize2mom(torch.tanh)
    ),
    "a module more": lambda model: model.network.interactions.append(
        copy.deepcopy(model.network.interactions[1])
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_replaced_attribute_counts(name: str, tmp_path: Path) -> None:
    model = make_model()
    unchanged = results(model, grad=True)
    if name == "a module more":
        model = Model(NETWORK | {"num_layers": 3}, HEADS, [1, 6, 8], {"mean_neighbours": 5.0})
        model = model.double()
        results(model)
        model.network.interactions = nn.ModuleList(model.network.interactions[i] for i in (0, 1, 1))
    else:
        CHANGES[name](model)
    expected = in_pytorch(model, grad=True)
    assert_close(results(model, grad=True), expected)
    assert_close(results(model.eval()), expected[:3])
    assert_close(results(model, FrozenModel(model)), expected[:3])
    assert not torch.allclose(expected[0], unchanged[0], rtol=1e-6)


def test_a_trainable_basis_is_trained() -> None:
    model = make_model()
    CHANGES["basis"](model)
    results(model, grad=True)
    assert model.network.bessel.widths.grad.abs().max() > 0


def test_saved_and_loaded_is_what_forward_says(tmp_path: Path) -> None:
    model = make_model()
    loaded = load_model(save_model(model, tmp_path / "model"), "cpu")
    assert_close(results(loaded), in_pytorch(model))
    hook(loaded.network.interactions[0].gate)
    assert_close(results(loaded), in_pytorch(loaded))


def test_heads_that_were_changed_count() -> None:
    for path in ("energy", "energy.readout", "energy.readout.0", "energy.readout.2"):
        model = make_model()
        before = results(model)
        hook(model.heads.get_submodule(path))
        expected = results(model, grad=True)[:3]
        assert_close(results(model), expected)
        assert not torch.allclose(expected[0], before[0], rtol=1e-6)


# What is compiled, and what is said where nothing is


class OwnLayer(Interaction):
    """A layer of another kind that is made of known steps: no gate, and nothing of the node."""

    def forward(self, x, species, harmonics, weights, edges):  # type: ignore[no-untyped-def]
        messages = self.convolution(self.linear_in(x), harmonics, weights, edges)
        return self.gate(self.linear_out(messages))


class Residual(Interaction):
    """A layer that does more."""

    def forward(self, *arguments):  # type: ignore[no-untyped-def]
        return super().forward(*arguments) * 2


def test_a_layer_of_known_steps_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(correlation=1)
    for layer in model.network.interactions:
        layer.__class__ = OwnLayer
    assert model.network.why_not_compiled() is None
    expected = in_pytorch(model)
    runs: list[int] = []
    forwards = BoundProgram.forwards
    monkeypatch.setattr(BoundProgram, "forwards", lambda *args: runs.append(1) or forwards(*args))
    assert_close(results(model), expected)
    assert runs


def test_one_line_names_the_module(caplog: pytest.LogCaptureFixture) -> None:
    model = make_model()
    results(model)
    model.network.interactions[1].__class__ = Residual
    with caplog.at_level(logging.WARNING):
        results(model)
        results(model)
    assert len(caplog.records) == 1
    assert "interactions.1 (Residual)" in caplog.text
    assert "times as long" in caplog.text
    caplog.clear()
    model.network.interactions[1].__class__ = Interaction
    results(model)
    assert model.network.why_not_compiled() is None
    assert not caplog.records


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (lambda x: x * 2, r"unsupported operand type.*\*"),
        (lambda x: x + 1, "something else than features is added"),
        (lambda x: x + x, "used elsewhere"),
        (torch.relu, r"torch\.relu acts on features"),
        (lambda x: x[0], "features are indexed by 0"),
        (lambda x: x.sum(), "sum"),
    ],
)
def test_what_cannot_be_followed(operation: Callable, message: str) -> None:
    root = make_model().network

    def layers(self, x, species, harmonics, weights, edges):  # type: ignore[no-untyped-def]
        x = operation(self.interactions[0](x, species, harmonics, weights[0], edges))
        return torch.cat([x[:, :4]], dim=1), x

    with pytest.raises(NotTraceableError, match=message):
        trace(layers, root, 4, 2)


def test_arguments_must_be_handed_on_as_they_are() -> None:
    root = make_model().network

    def layers(self, x, species, harmonics, weights, edges):  # type: ignore[no-untyped-def]
        x = self.interactions[0](x, species, edges, weights[0], harmonics)
        return torch.cat([x[:, :4]], dim=1), x

    with pytest.raises(NotTraceableError, match="expected harmonics, got edges"):
        trace(layers, root, 4, 2)


def test_what_escapes_the_trace_is_found_by_comparison(caplog: pytest.LogCaptureFixture) -> None:
    class Sly(Interaction):
        def forward(self, x, *arguments):  # type: ignore[no-untyped-def]
            result = Interaction.forward(self, x, *arguments)
            return 2 * result if hasattr(x, "shape") else result

    model = make_model()
    model.network.interactions[1].__class__ = Sly
    expected = in_pytorch(model)
    with caplog.at_level(logging.WARNING):
        assert_close(results(model), expected)
    assert "on a small graph the steps that were traced differ from the modules" in caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"trainable_basis": True},
        {"radial_basis": "gaussian", "envelope": "cosine"},
        {"radial_basis": "gaussian", "trainable_basis": True},
        {"correlation": 3},
        {"correlation": 2, "l_features": 0},
    ],
)
def test_other_networks_are_compiled_and_saved(settings: dict, tmp_path: Path) -> None:
    model = Model(NETWORK | settings, HEADS, [1, 6, 8], {"mean_neighbours": 5.0}).double()
    assert model.network.why_not_compiled() is None
    expected = in_pytorch(model, grad=True)
    assert_close(results(model, grad=True), expected)
    loaded = load_model(save_model(model, tmp_path / "model"), "cpu")
    assert_close(results(loaded), expected[:3])
