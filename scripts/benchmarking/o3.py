"""The modules of a network against e3nn's: forward, and gradients of inputs and weights."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from e3nn import nn as e3nn_nn
from e3nn import o3 as e3nn_o3
from torch import Tensor

from benchmarking.timing import Comparison
from molnet import nn, o3


def forward_and_backward(module: Callable[..., Tensor], *inputs: Tensor) -> Callable[[], object]:
    """A function that evaluates a module and differentiates it by its inputs and weights."""
    weights = list(module.parameters()) if isinstance(module, torch.nn.Module) else []
    leaves = [x.detach().requires_grad_() for x in inputs] + [w for w in weights if w.numel()]
    gradient = torch.randn_like(module(*inputs))

    def run() -> object:
        out = module(*leaves[: len(inputs)])
        return torch.autograd.grad(out, leaves, gradient, allow_unused=True)

    return run


def o3_comparisons(batch: int, channels: int) -> Iterator[Comparison]:
    """The modules of a network, at its sizes."""
    features = f"{channels}x0e+{channels}x1o+{channels}x2e"
    scalars, gates = f"{channels}x0e", f"{2 * channels}x0e"
    gated = f"{channels}x1o+{channels}x2e"
    silu, sigmoid = torch.nn.functional.silu, torch.sigmoid
    harmonics = "1x0e+1x1o+1x2e"

    def pair(
        name: str, ours: Callable[..., Tensor], theirs: Callable[..., Tensor], *irreps: str
    ) -> Comparison:
        inputs = [torch.randn(batch, o3.Irreps(each).dim) for each in irreps]
        runs = {"molnet": ours, "e3nn": theirs}
        return Comparison(
            name, {side: forward_and_backward(module, *inputs) for side, module in runs.items()}
        )

    e3nn_gate = e3nn_nn.Gate(scalars, [silu], gates, [sigmoid], gated)
    for layout in ("mul_ir", "ir_mul"):

        def both(name: str, ours: Any, theirs: Any, *irreps: str, layout: str = layout) -> Any:
            return pair(f"{name} ({layout})", ours, theirs, *irreps)

        linear = o3.Linear(features, features, layout=layout)
        yield both("Linear", linear, e3nn_o3.Linear(features, features), features)
        gate = nn.Gate(scalars, [silu], gates, [sigmoid], gated, layout=layout)
        yield both("Gate", gate, e3nn_gate, str(gate.irreps_in))
        yield both(
            "FullyConnectedTensorProduct",
            o3.FullyConnectedTensorProduct(features, harmonics, features, layout=layout),
            e3nn_o3.FullyConnectedTensorProduct(features, harmonics, features),
            features,
            harmonics,
        )
        yield both(
            "ElementwiseTensorProduct",
            o3.ElementwiseTensorProduct(features, f"{3 * channels}x0e", layout=layout),
            e3nn_o3.ElementwiseTensorProduct(features, f"{3 * channels}x0e"),
            features,
            f"{3 * channels}x0e",
        )
        yield both(
            "FullTensorProduct",
            o3.FullTensorProduct(features, harmonics, layout=layout),
            e3nn_o3.FullTensorProduct(features, harmonics),
            features,
            harmonics,
        )
        norm = o3.Norm(features, layout=layout)
        yield both("Norm", norm, e3nn_o3.Norm(features), features)
        batch_norm = nn.BatchNorm(features, layout=layout)
        yield both("BatchNorm", batch_norm, e3nn_nn.BatchNorm(features), features)
        yield both(
            "NormActivation",
            nn.NormActivation(features, sigmoid, layout=layout),
            e3nn_nn.NormActivation(features, sigmoid),
            features,
        )
    yield pair(
        "Activation",
        nn.Activation(scalars, [silu]),
        e3nn_nn.Activation(scalars, [silu]),
        scalars,
    )
    sizes = [8, 64, 64, 11 * channels]
    yield pair(
        "FullyConnectedNet",
        nn.FullyConnectedNet(sizes, silu),
        e3nn_nn.FullyConnectedNet(sizes, silu),
        "8x0e",
    )
    for l_max in (1, 2, 3):
        degrees = list(range(l_max + 1))
        yield pair(
            f"SphericalHarmonics to l = {l_max}",
            o3.SphericalHarmonics(degrees, True, "component"),
            e3nn_o3.SphericalHarmonics(degrees, True, "component"),
            "1x1o",
        )
