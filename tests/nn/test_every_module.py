"""What holds for every equivariant module: e3nn's numbers, symmetry, derivatives, edge cases."""

import copy
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from e3nn import nn as e3nn_nn
from e3nn import o3 as e3nn_o3

from molnet import nn, o3
from molnet.o3 import Irreps, change_layout

X = "3x0e + 2x1o + 1x0o + 2x2e"
Y = "1x0e + 1x1o + 2x2e"
HIDDEN = "2x0e + 2x1o + 1x1e"
COPIES = "8x1o"  # as many irreps as X has
WITHOUT_LAYOUT = ("Activation", "Extract", "ExtractIr", "FullyConnectedNet")


@dataclass
class Case:
    """A module by name, the irreps of its inputs, and how to make it."""

    name: str
    irreps_in: list[str]
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def make(self, layout: o3.Layout) -> torch.nn.Module:
        options = {} if self.name in WITHOUT_LAYOUT else {"layout": layout}
        package = o3 if hasattr(o3, self.name) else nn
        module = getattr(package, self.name)(*self.arguments, **self.options, **options)
        perturb(module)
        return module

    def make_e3nn(self) -> torch.nn.Module:
        if self.name in ("LayerNorm", "RMSNorm"):
            pytest.skip(f"e3nn has no {self.name}")
        package = e3nn_o3 if hasattr(e3nn_o3, self.name) else e3nn_nn
        module = getattr(package, self.name)(*self.arguments, **self.options)
        perturb(module)
        return module

    def inputs(self, *batch: int, layout: o3.Layout = "mul_ir") -> list[torch.Tensor]:
        drawn = [Irreps(irreps).randn(*batch, -1) for irreps in self.irreps_in]
        return [
            change_layout(x, irreps, "mul_ir", layout)
            for x, irreps in zip(drawn, self.irreps_in, strict=True)
        ]


def perturb(module: torch.nn.Module) -> None:
    """Move parameters away from the zeros and ones that they start from."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))


def irreps_out(module: torch.nn.Module) -> Irreps:
    if hasattr(module, "irreps_out"):
        return module.irreps_out
    if isinstance(module, nn.FullyConnectedNet | e3nn_nn.FullyConnectedNet):
        return Irreps(f"{module.hs[-1]}x0e")
    return module.irreps_outs[0] if hasattr(module, "irreps_outs") else module.irreps


def case(name: str, irreps_in: list[str], *arguments: Any, **options: Any) -> Any:
    label = "-".join([name, *options])
    return pytest.param(Case(name, irreps_in, arguments, options), id=label)


silu, tanh, sigmoid = torch.nn.functional.silu, torch.tanh, torch.sigmoid
GATE = ("2x0e + 1x0o", [silu, tanh], "3x0e + 1x0o", [sigmoid, tanh], "2x1o + 2x2e")
PATHS = [
    (0, 0, 0, "uvw", True),
    (1, 1, 0, "uvw", True),
    (1, 0, 1, "uvu", True),
    (3, 1, 1, "uvw", True, 2.0),
    (1, 1, 2, "uvv", False),
    (3, 2, 0, "uuw", True),
    (3, 2, 2, "u<vw", True),
]
CASES = [
    case("Linear", [X], X, HIDDEN),
    case("Linear", [X], X, HIDDEN, biases=True, path_normalization="path"),
    case("Linear", [X], X, HIDDEN, instructions=[(0, 0), (1, 1)]),
    case("TensorProduct", [X, Y], X, Y, HIDDEN, PATHS),
    case("FullyConnectedTensorProduct", [X, Y], X, Y, HIDDEN),
    case("ElementwiseTensorProduct", [X, COPIES], X, COPIES),
    case("ElementwiseTensorProduct", [X, X], X, X, filter_ir_out=["0e", "1o", "1e", "2o"]),
    case("FullTensorProduct", [HIDDEN, Y], HIDDEN, Y),
    case("FullTensorProduct", [HIDDEN, Y], HIDDEN, Y, irrep_normalization="norm"),
    case("TensorSquare", [HIDDEN], HIDDEN),
    case("TensorSquare", [HIDDEN], HIDDEN, irreps_out="3x0e + 2x2e"),
    case("Norm", [X], X),
    case("Norm", [X], X, squared=True),
    case("Activation", [X], X, [silu, None, tanh, None]),
    case("Gate", ["2x0o + 5x0e + 2x1o + 2x2e"], *GATE),
    case("NormActivation", [X], X, sigmoid),
    case("NormActivation", [X], Irreps(X), sigmoid, bias=True),
    case("Extract", [X], X, ["2x1o + 2x2e"], [(1, 3)], squeeze_out=True),
    case("ExtractIr", [X], X, "0e"),
    case("Identity", [X], X, X),
    case("BatchNorm", [X], X),
    case("BatchNorm", [X], X, instance=True, normalization="norm", include_bias=False),
    case("BatchNorm", [X], X, reduce="max", affine=False),
    case("LayerNorm", [X], X),
    case("LayerNorm", [X], X, affine=False),
    case("RMSNorm", [X], X),
    case("RMSNorm", [X], X, affine=False),
    case("Dropout", [X], X, p=0.3),
    case("FullyConnectedNet", ["4x0e"], [4, 8, 3], silu, variance_in=2, out_act=True),
    case("ReducedTensorProducts", [COPIES, COPIES], "ij=-ji", i=COPIES),
    case("SphericalHarmonics", ["1o"], "0e + 1o + 2x2e", normalize=True),
    case("SphericalHarmonics", ["1e"], [1, 3, 0], False, "norm", "1e"),
]

every_module = pytest.mark.parametrize("case", CASES)
both_layouts = pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])


@both_layouts
@every_module
@pytest.mark.usefixtures("float64")
def test_agrees_with_e3nn(case, layout):
    theirs, ours = case.make_e3nn(), case.make(layout)
    ours.load_state_dict(theirs.state_dict())
    assert irreps_out(ours).dim == irreps_out(theirs).dim
    xs = case.inputs(6, 5)
    arranged = [
        change_layout(x, irreps, "mul_ir", layout)
        for x, irreps in zip(xs, case.irreps_in, strict=True)
    ]
    for _ in range(0 if case.name == "Dropout" else 2):  # twice, as running averages change
        y, expected = ours(*arranged), theirs(*xs)
        y = change_layout(y, irreps_out(ours), layout, "mul_ir")
        torch.testing.assert_close(y, expected, atol=1e-12, rtol=1e-12)
    theirs.eval()
    ours.eval()
    y = change_layout(ours(*arranged), irreps_out(ours), layout, "mul_ir")
    torch.testing.assert_close(y, theirs(*xs), atol=1e-12, rtol=1e-12)


@both_layouts
@every_module
@pytest.mark.usefixtures("float64")
def test_commutes_with_rotations_and_inversion(case, layout, equivariance_error):
    module = case.make(layout).train(case.name != "Dropout")
    assert equivariance_error(module, case.irreps_in, irreps_out(module), layout) < 1e-10


@pytest.mark.usefixtures("float64")
def test_the_symmetry_check_rejects_what_is_not_equivariant(equivariance_error):
    linear = o3.Linear(X, X)
    assert equivariance_error(linear, [X], X) < 1e-10
    assert equivariance_error(lambda x: torch.tanh(linear(x)), [X], X) > 0.01
    assert equivariance_error(lambda x: linear(x) + 1, [X], X) > 0.1
    assert equivariance_error(linear, [X], X, "ir_mul") > 0.1
    swapped = o3.TensorProduct("1o", "1o", "1o + 1e", [(0, 0, 1, "uuu", False)])
    # a cross product is no vector: only inversion tells
    assert equivariance_error(lambda x: swapped(x, x + 1)[..., 3:], ["1o"], "1o") > 0.1


@both_layouts
@every_module
@pytest.mark.usefixtures("float64")
def test_derivatives_of_first_and_second_order(case, layout):
    module = case.make(layout).eval()
    xs = [x.requires_grad_() for x in case.inputs(2, layout=layout)]
    parameters = dict(module.named_parameters())

    def function(*values: torch.Tensor) -> torch.Tensor:
        given = dict(zip(parameters, values[len(xs) :], strict=True))
        return torch.func.functional_call(module, given, values[: len(xs)])

    arguments = (*xs, *parameters.values())
    assert torch.autograd.gradcheck(function, arguments, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, arguments, fast_mode=True)


@both_layouts
@every_module
@pytest.mark.usefixtures("float64")
def test_transforms_of_torch_func(case, layout):
    """Row by row as all together, and the derivatives of backward passes."""
    if case.name == "BatchNorm":
        pytest.skip("needs a batch")
    module = case.make(layout).eval()
    xs = tuple(case.inputs(3, layout=layout))
    torch.testing.assert_close(torch.vmap(module)(*xs), module(*xs))

    rows = [tuple(x[i] for x in xs) for i in range(3)]
    expected = torch.stack([torch.autograd.functional.jacobian(module, row)[0] for row in rows])
    torch.testing.assert_close(torch.vmap(torch.func.jacrev(module))(*xs), expected)

    parameters = dict(module.named_parameters())
    if parameters:

        def energy(values: dict[str, torch.Tensor], *row: torch.Tensor) -> torch.Tensor:
            return torch.func.functional_call(module, values, row).sin().sum()

        of_each = torch.vmap(torch.func.grad(energy), (None, *(0 for _ in xs)))(parameters, *xs)
        energy(parameters, *xs).backward()
        for name, parameter in parameters.items():
            torch.testing.assert_close(of_each[name].sum(0), parameter.grad)


@both_layouts
@every_module
def test_leading_axes_precision_and_determinism(case, layout):
    module = case.make(layout).eval()
    xs = case.inputs(2, 3, 4, layout=layout)
    y = module(*xs)
    assert y.shape == (2, 3, 4, irreps_out(module).dim)
    assert y.dtype == torch.float32
    torch.testing.assert_close(module(*(x[1:] for x in xs)), y[1:])
    if case.name != "BatchNorm":  # needs a batch
        torch.testing.assert_close(module(*(x[1, 2, 3] for x in xs)), y[1, 2, 3])
    torch.testing.assert_close(module(*xs), y, atol=0, rtol=0)
    empty = module(*(x[:0] for x in xs))
    assert empty.shape == (0, 3, 4, irreps_out(module).dim)

    exact = copy.deepcopy(module).double()(*(x.double() for x in xs))
    assert exact.dtype == torch.float64
    torch.testing.assert_close(y.double(), exact, atol=1e-4, rtol=1e-4)


@both_layouts
@every_module
def test_a_change_of_precision_loses_nothing(case, layout):
    """Constants follow `.double()` exactly, though the module was made in float32."""
    torch.manual_seed(1)
    module = case.make(layout).eval().double()
    torch.set_default_dtype(torch.float64)
    try:
        made_in_float64 = case.make(layout).eval()
        made_in_float64.load_state_dict(module.state_dict())
        xs = case.inputs(5, layout=layout)
        torch.testing.assert_close(module(*xs), made_in_float64(*xs), atol=1e-14, rtol=1e-14)
    finally:
        torch.set_default_dtype(torch.float32)


@both_layouts
@every_module
def test_copies_and_state_dicts(case, layout):
    module = case.make(layout).eval()
    xs = case.inputs(3, layout=layout)
    y = module(*xs)
    other = case.make(layout).eval()
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(other(*xs), y, atol=0, rtol=0)
    torch.testing.assert_close(pickle.loads(pickle.dumps(module))(*xs), y, atol=0, rtol=0)  # noqa: S301


@pytest.mark.slow
@both_layouts
@every_module
def test_compiles_and_exports(case, layout):
    module = case.make(layout).eval()
    xs = case.inputs(5, layout=layout)
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend="eager")
    for n in (5, 3):
        few = [x[:n] for x in xs]
        torch.testing.assert_close(compiled(*few), module(*few))

    batch = torch.export.Dim("batch")
    shapes: list[Any] = [{0: batch}] * len(xs)
    if case.name == "ReducedTensorProducts":
        shapes = [tuple(shapes)]  # all inputs are one argument, *xs
    program = torch.export.export(module, tuple(xs), dynamic_shapes=shapes)
    few = [x[:3] for x in xs]
    torch.testing.assert_close(program.module()(*few), module(*few))
