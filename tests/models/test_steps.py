"""Every kind of step in a program: kernels against PyTorch, to the derivatives that training takes.

One test for all primitives. A program maps features linearly, convolves them, lets the primitive
act on the result, and gives out all that comes of it.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from molnet.kernels import (
    BoundProgram,
    Columns,
    CompiledEdgeBasis,
    Primitive,
    Program,
    Step,
    UnfitError,
    backend,
)
from molnet.models.propagation import GraphProgram, propagate
from molnet.nn import Gate, SymmetricPower
from molnet.nn.convolution import Convolution
from molnet.nn.species_linear import SpeciesLinear
from molnet.nn.spline import CubicSpline
from molnet.o3.linear import Linear
from molnet.o3.spherical_harmonics import SphericalHarmonics

pytestmark = pytest.mark.skipif("compiled" not in backend("cpu"), reason="there is no C++ compiler")

SPECIES, KNOTS, CUTOFF = 3, 8, 4.0


def linear(C: int) -> torch.nn.Module:
    return Linear(f"{C}x0e+{C}x1o+{C}x2e", f"{2 * C + 1}x0e+{C}x2e", layout="ir_mul")


def of_species(C: int) -> torch.nn.Module:
    return SpeciesLinear(SPECIES, f"{C}x0e+{C}x1o+{C}x2e", f"{C + 2}x0e+{C}x1o")


def gate(C: int) -> torch.nn.Module:
    silu, sigmoid = torch.nn.functional.silu, torch.sigmoid
    # As many numbers as 2C scalars and C copies of l = 1 and 2 have.
    return Gate(f"{C}x0e", [silu], f"{2 * C}x0e", [sigmoid], f"{C}x1o+{C}x2e", layout="ir_mul")


def power(degree: int) -> Callable[[int], torch.nn.Module]:
    def make(C: int) -> torch.nn.Module:
        irreps = f"{C}x0e+{C}x1o+{C}x2e"
        return SymmetricPower(SPECIES, irreps, f"{C}x0e+{C}x1o+{C}x2e", degree)

    return make


def convolution(C: int) -> torch.nn.Module:
    return Convolution(f"{C}x0e+{C}x1o+{C}x2e", "0e+1o+2e", "0e+1o+2e")


KINDS: dict[str, Callable[[int], torch.nn.Module]] = {
    "linear map": linear,
    "linear map of each species": of_species,
    "gate": gate,
    "convolution": convolution,
    "symmetric power of degree 1": power(1),
    "symmetric power of degree 2": power(2),
    "symmetric power of degree 3": power(3),
}


def spline_basis() -> CompiledEdgeBasis:
    harmonics = SphericalHarmonics("0e+1o+2e", True, "component").double()
    spline = CubicSpline(CUTOFF, KNOTS)
    poles = (1.0, 3**0.5, 5**0.5)
    return CompiledEdgeBasis(
        poles, True, KNOTS, CUTOFF, lambda v: (harmonics(v), spline(v.norm(dim=1))[0])
    )


def program_with(kind: str, C: int) -> tuple[Program, list[Tensor]]:
    """The program, and weights for its steps."""
    module = KINDS[kind](C).double()
    primitive: Primitive = module.as_step()  # type: ignore[operator]
    before = Linear(f"{C}x0e", f"{C}x0e", layout="ir_mul").double()
    first = Convolution(f"{C}x0e", "0e+1o+2e", "0e+1o+2e").double()
    width, out = primitive.dim_in, primitive.dim_out
    # A map from all that was gathered to rows of the primitive's width, whatever they mean.
    spread = Linear(f"{first.irreps_out.dim}x0e", f"{width}x0e", layout="ir_mul").double()
    steps = [
        Step(before.as_step(), 0, 1, False, 0),
        Step(first.as_step(), 1, 2, False, 1),
        Step(spread.as_step(), 2, 3, False, 2),
        Step(primitive, 3, 4, False, 3 if primitive.learns else None),
        Step(Columns(0, out, out, 0, out), 4, 5, False, None),
    ]
    widths = (C, C, first.irreps_out.dim, width, out, out)
    rows = KNOTS + 3
    weights = [before.weight, torch.randn(rows, first.weight_numel).double(), spread.weight]
    if isinstance(module, Convolution):
        weights.append(torch.randn(rows, module.weight_numel).double())
    elif primitive.learns:
        weights.append(module.weight)  # type: ignore[arg-type]
    return Program(tuple(steps), widths, 4, 5), [w.detach().clone() for w in weights]


def graph(nodes: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Species, vectors, senders and receivers of a graph with an isolated node."""
    pairs = [(i, j) for i in range(nodes - 1) for j in range(nodes - 1) if i != j]
    senders = torch.tensor([j for _, j in pairs], dtype=torch.int64)
    receivers = torch.tensor([i for i, _ in pairs], dtype=torch.int64)
    vectors = torch.randn(len(pairs), 3, dtype=torch.float64)
    return torch.arange(nodes) % SPECIES, vectors, senders, receivers


def derivatives(
    outputs: tuple[Tensor, ...], vectors: Tensor, learned: list[Tensor]
) -> list[Tensor | None]:
    """Values, forces, and gradients of a loss on both by all that is learned."""
    first, second = outputs
    energy = (first * torch.linspace(-1, 1, first.numel()).reshape(first.shape)).sin().sum()
    energy = energy + second.square().sum()
    (forces,) = torch.autograd.grad(energy, vectors, create_graph=True)
    loss = energy.square() + forces.square().sum()
    gradients = torch.autograd.grad(loss, learned, allow_unused=True)
    return [first, second, forces, *gradients]


@pytest.mark.parametrize("nodes", [1, 5])
@pytest.mark.parametrize("channels", [1, 3, 17])
@pytest.mark.parametrize("kind", KINDS)
def test_kernels_agree_with_pytorch(kind: str, channels: int, nodes: int) -> None:
    program, weights = program_with(kind, channels)
    species, vectors, senders, receivers = graph(nodes)
    x = torch.randn(nodes, channels, dtype=torch.float64, requires_grad=True)
    learned = [x, *(w.requires_grad_() for w in weights)]
    vectors.requires_grad_()
    bound = BoundProgram(program, spline_basis(), weights, x)
    on_graph = GraphProgram(bound, species, SPECIES, senders, receivers)
    found = derivatives(propagate(on_graph, vectors, x, weights), vectors, learned)
    expected = derivatives(on_graph.recorded(vectors, x, weights), vectors, learned)
    for one, other in zip(found, expected, strict=True):
        one, other = (torch.zeros(()) if t is None else t for t in (one, other))
        torch.testing.assert_close(one, other.expand_as(one), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_is_differentiated_right(kind: str) -> None:
    """First and second derivatives against finite differences."""
    program, weights = program_with(kind, 2)
    species, vectors, senders, receivers = graph(3)
    x = torch.randn(3, 2, dtype=torch.float64)
    bound = BoundProgram(program, spline_basis(), weights, x)
    on_graph = GraphProgram(bound, species, SPECIES, senders, receivers)
    inputs = [tensor.requires_grad_() for tensor in (vectors[:2].clone(), x, weights[-1])]

    def value(some: Tensor, x: Tensor, last: Tensor) -> Tensor:
        all_vectors = torch.cat([some, vectors[2:].detach()])
        return on_graph.recorded(all_vectors, x, [*weights[:-1], last])[0].sin().sum()

    assert torch.autograd.gradcheck(value, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(value, inputs, fast_mode=True)


def test_no_nodes_at_all() -> None:
    for kind in KINDS:
        program, weights = program_with(kind, 4)
        empty = torch.zeros(0, dtype=torch.int64)
        x = torch.zeros(0, 4, dtype=torch.float64)
        bound = BoundProgram(program, spline_basis(), weights, x)
        on_graph = GraphProgram(bound, empty, SPECIES, empty, empty)
        first, second = propagate(on_graph, torch.zeros(0, 3, dtype=torch.float64), x, weights)
        assert first.shape == second.shape == (0, program.widths[-1])


def test_programs_that_no_pass_can_follow() -> None:
    gated = gate(2).as_step()
    with pytest.raises(UnfitError, match="starts from the features of the species"):
        Program((Step(gated, 0, 1, False, None),), (gated.dim_in, gated.dim_out, 1), 1, 2)
    before = Linear("2x0e", f"{gated.dim_in}x0e", layout="ir_mul").as_step()
    steps = (
        Step(before, 0, 1, False, 0),
        Step(gated, 1, 2, False, None),
        Step(gated, 1, 3, False, None),
    )
    with pytest.raises(UnfitError, match="two nonlinear steps"):
        Program(steps, (2, gated.dim_in, gated.dim_out, gated.dim_out, 1), 2, 4)


def test_memory_is_used_in_turn_without_overlap() -> None:
    """No value lies where another one is that is still needed."""
    program, _ = program_with("gate", 3)
    for backwards in (False, True):
        places, width = program.in_turn(backwards)
        order = program.steps[::-1] if backwards else program.steps
        for step in order:
            if {step.source, step.target} & {0, program.invariants, program.features}:
                continue
            ranges = [range(places[v], places[v] + program.widths[v]) for v in step[1:3]]
            assert not set(ranges[0]) & set(ranges[1])
            assert max(max(r) for r in ranges) < width
