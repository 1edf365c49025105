"""Nothing in, nothing out: irreps without copies, batches without rows, inputs of wrong size."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from molnet import nn, o3
from molnet.o3 import Irreps

sigmoid, tanh = torch.sigmoid, torch.tanh

IRREPS = ["", "0x0e", "0x1o + 0x0e", "0x0e + 2x1o", "3x0e + 0x2e + 1o + 2x0o", "1e + 0x1o + 2x1o"]


def gate(x: Irreps, **layout: Any) -> torch.nn.Module:
    scalars = Irreps(term for term in x if term.ir.l == 0)
    gated = Irreps(term for term in x if term.ir.l > 0)
    gates = Irreps([(gated.num_irreps, "0e")])
    return nn.Gate(scalars, [tanh] * len(scalars), gates, [sigmoid], gated, **layout)


MODULES: dict[str, Callable[..., torch.nn.Module]] = {
    "Linear": lambda x, **layout: o3.Linear(x, x, biases=True, **layout),
    "Linear to others": lambda x, **layout: o3.Linear(x, "2x0e + 1o", **layout),
    "TensorProduct": lambda x, **layout: o3.TensorProduct(x, x, x, [], **layout),
    "FullyConnectedTensorProduct": lambda x, **layout: o3.FullyConnectedTensorProduct(
        x, "0e + 0x1o + 1o", x, **layout
    ),
    "FullyConnectedTensorProduct with nothing": lambda x, **layout: o3.FullyConnectedTensorProduct(
        x, "", x, **layout
    ),
    "ElementwiseTensorProduct": lambda x, **layout: o3.ElementwiseTensorProduct(x, x, **layout),
    "FullTensorProduct": lambda x, **layout: o3.FullTensorProduct(x, x, **layout),
    "TensorSquare": lambda x, **layout: o3.TensorSquare(x, **layout),
    "TensorSquare to others": lambda x, **layout: o3.TensorSquare(x, "2x0e + 1o", **layout),
    "Norm": lambda x, **layout: o3.Norm(x, **layout),
    "ReducedTensorProducts": lambda x, **layout: o3.ReducedTensorProducts("ij=ji", i=x, **layout),
    "Activation": lambda x, **_: nn.Activation(x, [None if ir.l else tanh for _, ir in x]),
    "Gate": gate,
    "NormActivation": lambda x, **layout: nn.NormActivation(x, sigmoid, bias=True, **layout),
    "Extract": lambda x, **_: nn.Extract(x, [x], [range(len(x))], squeeze_out=True),
    "Extract nothing": lambda x, **_: nn.Extract(x, [""], [()], squeeze_out=True),
    "ExtractIr": lambda x, **_: nn.ExtractIr(x, "0e"),
    "Identity": lambda x, **layout: nn.Identity(x, x, **layout),
    "Dropout": lambda x, **layout: nn.Dropout(x, 0.5, **layout),
    "BatchNorm": lambda x, **layout: nn.BatchNorm(x, **layout),
    "BatchNorm of instances": lambda x, **layout: nn.BatchNorm(
        x, instance=True, reduce="max", **layout
    ),
    "LayerNorm": lambda x, **layout: nn.LayerNorm(x, **layout),
    "RMSNorm": lambda x, **layout: nn.RMSNorm(x, **layout),
}

every_module = pytest.mark.parametrize("name", MODULES)
both_layouts = pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])


def irreps_of(module: torch.nn.Module) -> tuple[list[Irreps], Irreps]:
    """Irreps of the inputs, and of the output."""
    if isinstance(module, o3.TensorProduct) and not isinstance(module, o3.TensorSquare):
        return [module.irreps_in1, module.irreps_in2], module.irreps_out
    if isinstance(module, o3.ReducedTensorProducts):
        return module.irreps_in, module.irreps_out
    if isinstance(module, nn.Extract):
        return [module.irreps_in], module.irreps_outs[0]
    if hasattr(module, "irreps_in"):
        return [module.irreps_in], module.irreps_out
    return [module.irreps], module.irreps


@both_layouts
@pytest.mark.parametrize("irreps", IRREPS)
@every_module
def test_shapes_and_gradients(name, irreps, layout):
    module = MODULES[name](Irreps(irreps), layout=layout)
    irreps_in, irreps_out = irreps_of(module)
    for batch in [(), (0,), (1,), (2, 3), (2, 0, 3)]:
        if isinstance(module, nn.BatchNorm) and not batch:
            continue
        for turned in (False, True):
            xs = [torch.randn(*batch, irreps.dim) for irreps in irreps_in]
            if turned:  # as they come out of a transposition
                xs = [x.movedim(-1, 0).contiguous().movedim(0, -1) for x in xs]
            leaves = [*(x.requires_grad_() for x in xs), *module.parameters()]
            y = module(*xs)
            assert y.shape == (*batch, irreps_out.dim)
            assert y.isfinite().all()
            if y.requires_grad:
                for gradient in torch.autograd.grad(y.sum(), leaves, allow_unused=True):
                    assert gradient is None or gradient.isfinite().all()


@both_layouts
@every_module
def test_the_last_axis_must_have_the_size_of_the_irreps(name, layout):
    module = MODULES[name](Irreps("2x0e + 2x1o"), layout=layout)
    irreps_in, _ = irreps_of(module)
    fitting = [torch.randn(4, irreps.dim) for irreps in irreps_in]
    module(*fitting)
    for i, x in enumerate(fitting):
        unfit = [*fitting[:i], torch.cat([x, x[:, :1], x[:, :1]], 1), *fitting[i + 1 :]]
        if x.shape[1] == 0:
            unfit[i] = torch.randn(4, 2)
        with pytest.raises(ValueError, match=rf"{x.shape[1]}\].*got.*{x.shape[1] + 2}\]"):
            module(*unfit)
