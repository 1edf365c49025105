"""Compare the speed of molnet's building blocks with e3nn's, side by side in one process.

    python scripts/benchmark.py o3 [--batch 4096] [--channels 64] [--threads 2]
    python scripts/benchmark.py convolution [--nodes 750] [--neighbours 12]

Each pair is run in turn, ours, theirs, ours, ..., and medians are compared, so that a machine
whose speed drifts slows both alike. Times are for forward and backward passes, with gradients of
inputs and weights. Needs e3nn (`pip install -e ".[dev]"`).
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import e3nn
import torch
from e3nn import nn as e3nn_nn
from e3nn import o3 as e3nn_o3
from torch import Tensor

from molnet import nn, o3
from molnet.kernels import Edges, Weights, backend
from molnet.kernels.allocator import reuse_freed_memory
from molnet.nn.convolution import Convolution
from molnet.nn.spline import CubicSpline


class Comparison(NamedTuple):
    """One line of the table: the same work in both libraries."""

    name: str
    ours: Callable[[], object]
    theirs: Callable[[], object]


class Timing(NamedTuple):
    """Median milliseconds of both."""

    name: str
    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours


def measure(comparison: Comparison, repeats: int) -> Timing:
    """Run both in turn, twice to warm up and then ``repeats`` times."""
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 2):
        for run, kept in zip((comparison.ours, comparison.theirs), times, strict=True):
            start = time.perf_counter()
            run()
            if repeat >= 2:
                kept.append(1e3 * (time.perf_counter() - start))
    return Timing(comparison.name, *(statistics.median(kept) for kept in times))


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
        return Comparison(
            name, forward_and_backward(ours, *inputs), forward_and_backward(theirs, *inputs)
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


def convolution_comparisons(nodes: int, neighbours: int, channels: int) -> Iterator[Comparison]:
    """A convolution with its radial network, against gather, tensor product and scatter."""
    features = f"{channels}x0e+{channels}x1o+{channels}x2e"
    harmonics = "1x0e+1x1o+1x2e"
    num_edges = nodes * neighbours
    receivers = torch.arange(nodes).repeat_interleave(neighbours)
    senders = torch.randint(nodes, (num_edges,))
    edges = Edges.of(senders, receivers, nodes)
    x = torch.randn(nodes, o3.Irreps(features).dim, requires_grad=True)
    Y = torch.randn(num_edges, o3.Irreps(harmonics).dim, requires_grad=True)
    distances = (1 + 4 * torch.rand(num_edges)).requires_grad_()

    convolution = Convolution(features, harmonics, features)
    spline, basis = CubicSpline(5.0, 128), nn.BesselBasis(5.0, 8)
    sizes = [8, 64, 64, convolution.weight_numel]
    radial = nn.FullyConnectedNet(sizes, torch.nn.functional.silu)

    def ours() -> Tensor:
        values = radial(basis(spline.knots(distances)))
        factors, rows = spline(distances)
        return convolution(x, Y, Weights(factors, spline.table(values), rows), edges)

    e3nn_features, e3nn_harmonics = e3nn_o3.Irreps(features), e3nn_o3.Irreps(harmonics)
    paths = [
        (i, j, (mul, out))
        for i, (mul, ir) in enumerate(e3nn_features)
        for j, (_, ir_harmonic) in enumerate(e3nn_harmonics)
        for out in ir * ir_harmonic
        if out in e3nn_features
    ]
    product = e3nn_o3.TensorProduct(
        e3nn_features,
        e3nn_harmonics,
        [out for _, _, out in paths],
        [(i, j, k, "uvu", True) for k, (i, j, _) in enumerate(paths)],
        shared_weights=False,
        internal_weights=False,
    )
    e3nn_radial = e3nn_nn.FullyConnectedNet(sizes, torch.nn.functional.silu)

    def theirs() -> Tensor:
        messages = product(x[senders], Y, e3nn_radial(basis(distances)))
        return messages.new_zeros(nodes, messages.shape[1]).index_add(0, receivers, messages)

    def once(function: Callable[[], Tensor]) -> Callable[[], object]:
        def run() -> object:
            with torch.no_grad():
                return function()

        return run

    def twice(function: Callable[[], Tensor], weights: list[Tensor]) -> Callable[[], object]:
        """Differentiate the squared gradients, as training on forces does."""

        def run() -> object:
            gradients = torch.autograd.grad(
                function().square().sum(), [x, Y, distances], create_graph=True
            )
            loss = sum((gradient.square().sum() for gradient in gradients), torch.zeros(()))
            return torch.autograd.grad(loss, [x, Y, distances, *weights])

        return run

    yield Comparison("forward", once(ours), once(theirs))
    yield Comparison(
        "forward, backward, double backward",
        twice(ours, list(radial.parameters())),
        twice(theirs, list(e3nn_radial.parameters())),
    )


def report(timings: list[Timing]) -> str:
    """The timings as a table."""
    width = max(len(timing.name) for timing in timings)
    lines = [f"{'':{width}}  molnet ms   e3nn ms   ratio"]
    lines += [
        f"{timing.name:{width}}  {timing.ours:9.3f} {timing.theirs:9.3f} {timing.ratio:7.2f}"
        for timing in timings
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> list[Timing]:
    """Parse the command line, measure, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["o3", "convolution"])
    parser.add_argument("--batch", type=int, default=4096, help="rows of features (o3)")
    parser.add_argument("--nodes", type=int, default=750, help="nodes (convolution)")
    parser.add_argument("--neighbours", type=int, default=12, help="edges per node (convolution)")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="also write the timings to this file")
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    reuse_freed_memory()  # serves both sides alike
    machine = (
        f"torch {torch.__version__}, e3nn {e3nn.__version__}, float32, "
        f"{options.threads} threads, {platform.machine()}, {backend('cpu')}"
    )
    print(machine)
    if options.what == "o3":
        comparisons = o3_comparisons(options.batch, options.channels)
    else:
        comparisons = convolution_comparisons(options.nodes, options.neighbours, options.channels)
    timings = [measure(comparison, options.repeats) for comparison in comparisons]
    print(report(timings))
    if options.json is not None:
        rows = [{**timing._asdict(), "ratio": timing.ratio} for timing in timings]
        options.json.write_text(json.dumps({"machine": machine, "timings": rows}, indent=2) + "\n")
    return timings


if __name__ == "__main__":
    main()
