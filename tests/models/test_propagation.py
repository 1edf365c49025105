"""The network with its derivatives written out, against autograd."""

import copy
import gc
from collections.abc import Iterable, Mapping

import pytest
import torch
from ase.build import bulk, molecule
from torch import Tensor

from molnet.graph import from_atoms
from molnet.kernels import BoundProgram, backend
from molnet.models import FrozenModel, Model

pytestmark = pytest.mark.skipif("compiled" not in backend("cpu"), reason="there is no C++ compiler")
STRUCTURES = [molecule("CH3CH2OH"), molecule("H2O"), molecule("H"), bulk("C", cubic=True)]
WITH_DIPOLES = [*STRUCTURES[:-1], molecule("H2O", cell=[5.0, 5.5, 6.0], pbc=True)]
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
    network = {"cutoff": 3.0, "channels": 8, "l_max": 2, "num_layers": 3, **network}
    return Model(network, HEADS[heads], [1, 6, 8], {"mean_neighbours": 5.0}).double()


def by_autograd(model: Model) -> Model:
    """The same model, with every function of every layer recorded by autograd."""
    copied = copy.deepcopy(model)
    copied.network._ready = lambda: None  # type: ignore[method-assign]
    return copied


def predictions(
    model: Model, differentiable: bool, evaluated: FrozenModel | None = None
) -> dict[str, Tensor]:
    structures = WITH_DIPOLES if "dipole" in model.properties else STRUCTURES
    graph = from_atoms(structures, model.cutoff, torch.float64)
    with torch.set_grad_enabled(differentiable):
        return (evaluated or model)(graph)


def loss_of(values: Iterable[Tensor]) -> Tensor:
    """Something nonlinear in all that is defined."""
    total = torch.zeros((), dtype=torch.float64)
    for value in values:
        target = torch.linspace(-1, 1, value.numel(), dtype=torch.float64).reshape(value.shape)
        total = total + (value - target).nan_to_num().square().sum()
    return total


def gradients(model: Model, names: Iterable[str]) -> dict[str, Tensor | None]:
    """Those of all weights, of a loss on some of the predictions."""
    outputs = predictions(model, differentiable=True)
    model.zero_grad()
    loss_of(outputs[name] for name in names).backward()
    return {name: weight.grad for name, weight in model.named_parameters()}


def assert_equal(found: Mapping[str, Tensor | None], expected: Mapping[str, Tensor | None]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        zero = None if found[name] is None else torch.zeros_like(found[name])
        torch.testing.assert_close(
            found[name], zero if value is None else value, rtol=1e-9, atol=1e-9, equal_nan=True
        )


@pytest.fixture
def propagations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each network that was evaluated with its derivatives written out."""
    seen: list[int] = []
    forwards = BoundProgram.forwards

    def counted(*arguments: object) -> object:
        seen.append(1)
        return forwards(*arguments)

    monkeypatch.setattr(BoundProgram, "forwards", counted)
    return seen


NETWORKS: list[dict] = [
    {},
    {"channels": 5},
    {"channels": 4, "parity": True},
    {"channels": 4, "correlation": 3, "num_layers": 2},
    {"channels": 3, "l_max": 3, "num_layers": 1, "radial_hidden": []},
]


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("network", NETWORKS)
def test_values_agree_with_autograd(heads: str, network: dict, propagations: list[int]) -> None:
    model = make_model(heads, **network).eval()
    expected = predictions(by_autograd(model), differentiable=True)
    assert not propagations
    frozen_model = FrozenModel(model)
    propagations.clear()  # traced steps are compared with the modules
    for frozen in (None, frozen_model):
        for differentiable in (False, True):
            found = predictions(model, differentiable, frozen)
            assert propagations.pop()
            assert not propagations
            assert_equal(found, expected)
            assert differentiable or not any(value.requires_grad for value in found.values())


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_of_weights_agree_with_autograd(
    heads: str, network: dict, propagations: list[int]
) -> None:
    model = make_model(heads, **network).train()
    names = list(predictions(model, differentiable=True))
    for chosen in (names, names[:1], names[-1:]):
        propagations.clear()
        found = gradients(model, chosen)
        assert propagations
        assert_equal(found, gradients(by_autograd(model), chosen))


@pytest.mark.parametrize("trained", ["network", "heads", "network.embedding", "linear_in"])
def test_some_weights_may_be_frozen(trained: str) -> None:
    model = make_model("tensors").train()
    for name, weight in model.named_parameters():
        weight.requires_grad_(trained in name)
    chosen = ["energy", "forces", "dipole", "polarizability"]
    found = gradients(model, chosen)
    assert_equal(found, gradients(by_autograd(model), chosen))
    assert {name for name, value in found.items() if value is not None} == {
        name for name, _ in model.named_parameters() if trained in name
    }


def test_a_pass_backwards_may_be_repeated() -> None:
    model = make_model("forces").train()
    loss = loss_of(predictions(model, differentiable=True).values())
    loss.backward(retain_graph=True)
    once = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    loss.backward()
    twice = {name: weight.grad / 2 for name, weight in model.named_parameters()}
    assert_equal(twice, once)


def of_positions(model: Model, order: int) -> dict[str, Tensor]:
    """Derivatives of forces by positions, and of those by positions and weights."""
    graph = from_atoms(STRUCTURES, model.cutoff, torch.float64)
    graph.pos.requires_grad_()
    value = loss_of([model(graph)["forces"]])
    found: dict[str, Tensor] = {}
    for i in range(order):
        (value,) = torch.autograd.grad(value, graph.pos, create_graph=i < order - 1)
        found[str(i)] = value
        value = loss_of([value]) if i < order - 1 else value
    return found


@pytest.mark.parametrize("trained", ["", "network.embedding", "linear_out", "nothing"])
def test_positions_and_some_weights_together(trained: str) -> None:
    """Where forces depend on positions that ask for gradients, too."""
    model = make_model("forces", num_layers=2).train()
    for name, weight in model.named_parameters():
        weight.requires_grad_(trained in name)

    def both(model: Model) -> dict[str, Tensor | None]:
        graph = from_atoms(STRUCTURES, model.cutoff, torch.float64)
        graph.pos.requires_grad_()
        model.zero_grad()
        loss_of(model(graph).values()).backward()
        weights = {name: weight.grad for name, weight in model.named_parameters()}
        return {"positions": graph.pos.grad, **weights}

    assert_equal(both(model), both(by_autograd(model)))


@pytest.mark.parametrize("order", [1, 2])
def test_forces_may_be_differentiated_by_positions(order: int, propagations: list[int]) -> None:
    """Hessians, and what follows them, are beyond what is written out."""
    model = make_model("forces", num_layers=2).train()
    found = of_positions(model, order)
    assert propagations
    assert_equal(found, of_positions(by_autograd(model), order))


def test_gradients_of_weights_may_be_differentiated() -> None:
    """As meta-learning and penalties on gradients do."""
    model = make_model("forces", num_layers=2).train()

    def penalty(model: Model) -> dict[str, Tensor]:
        outputs = predictions(model, differentiable=True)
        weights = dict(model.named_parameters())
        first = torch.autograd.grad(loss_of(outputs.values()), weights.values(), create_graph=True)
        second = torch.autograd.grad(loss_of(first), weights.values())
        return dict(zip(weights, second, strict=True))

    assert_equal(penalty(model), penalty(by_autograd(model)))


def test_no_features_outlive_the_pass_backwards() -> None:
    """Not even while the loss is held: what is left does not grow with the structures."""

    def left(number: int) -> int:
        model = make_model("forces").train()
        graph = from_atoms(STRUCTURES * number, model.cutoff, torch.float64)
        before = {id(tensor) for tensor in alive()}
        loss = loss_of(model(graph).values())
        loss.backward()
        kept = [tensor for tensor in alive() if id(tensor) not in before]
        return sum(tensor.numel() for tensor in kept if tensor.is_floating_point())

    assert left(3) == left(1)


def alive() -> list[Tensor]:
    gc.collect()
    return [each for each in gc.get_objects() if issubclass(type(each), Tensor)]


def test_heads_of_ones_own_are_differentiated_by_autograd() -> None:
    model = make_model("forces").eval()
    model.heads["energy"].readout[1] = torch.nn.Tanh()
    expected = predictions(model, differentiable=True)
    assert_equal(predictions(model, differentiable=False), expected)


def test_other_types_are_refused() -> None:
    network = make_model("forces").network
    vectors, edges = torch.randn(2, 3), torch.tensor([[0, 1], [1, 0]])
    for call in (network, network.evaluate):
        with pytest.raises(
            TypeError, match=r"expected vectors in torch.float64.*got torch.float32"
        ):
            call(torch.tensor([0, 1]), vectors, *edges)


@pytest.mark.parametrize(
    ("vectors", "senders", "message"),
    [
        (torch.zeros(3, 3), torch.tensor([1, 0]), r"expected vectors \[2, 3\].*got \[3, 3\]"),
        (torch.zeros(2, 4), torch.tensor([1, 0]), r"expected vectors \[2, 3\].*got \[2, 4\]"),
        (torch.zeros(2, 3), torch.tensor([1, 2]), "expected senders from 0 to 1"),
        (torch.zeros(2, 3), torch.empty(2, dtype=torch.int64, device="meta"), "expected the graph"),
    ],
)
def test_graphs_that_are_refused(vectors: Tensor, senders: Tensor, message: str) -> None:
    network = make_model("forces").network
    for call in (network, network.evaluate):
        with pytest.raises(ValueError, match=message):
            call(torch.tensor([0, 1]), vectors.double(), senders, torch.tensor([0, 1]))


def test_weights_in_use_are_always_the_present_ones() -> None:
    """Also when they are written behind PyTorch's back, as averaging callbacks do."""
    model, other = make_model("forces").eval(), make_model("forces").eval()
    predictions(model, differentiable=False)
    for weight, new in zip(model.parameters(), other.parameters(), strict=True):
        weight.data.copy_(new.data)
    found, expected = (predictions(each, differentiable=False) for each in (model, other))
    torch.testing.assert_close(found["forces"], expected["forces"], rtol=0, atol=0)


def test_exact_radial_networks_are_left_to_autograd(propagations: list[int]) -> None:
    model = make_model("forces", num_knots=None).eval()
    expected = predictions(model, differentiable=True)
    found = predictions(model, differentiable=False)
    assert not propagations
    torch.testing.assert_close(found["forces"], expected["forces"], rtol=1e-10, atol=1e-10)


def test_without_kernels(propagations: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("forces").eval()
    expected = predictions(model, differentiable=False)
    monkeypatch.setattr("molnet.kernels.compiler.library", lambda *_: None)
    propagations.clear()
    found = predictions(model, differentiable=False)
    assert not propagations
    torch.testing.assert_close(found["forces"], expected["forces"], rtol=1e-10, atol=1e-10)
