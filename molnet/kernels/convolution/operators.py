"""The convolution as custom operators of PyTorch, closed under differentiation.

With S the form of ``csrc/convolution/coupled/sweep.h`` and D its change along tangents
``(a, y, b, u)`` of ``(x, Y, B, T)``:

=========================  ==============================  =============================
operator                   computes                        its backward pass uses
=========================  ==============================  =============================
``forward``                ∂S/∂g                           ``backward``
``backward``               ∂S/∂(x, Y, B, T)                both ``double_*``
``double_forward``         ∂D/∂g                           the reference, differentiated
``double_backward``        ∂D/∂(x, Y, B, T)                the reference, differentiated
=========================  ==============================  =============================

Training on forces runs these four and no more; the reference takes over behind them so that any
further derivative is right too. The operators of gradients are told which of those of Y, B and T
are ``wanted``; the others come out empty.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from molnet.kernels.convolution import calls, reference
from molnet.kernels.convolution.plan import Block, Path, Plan
from molnet.kernels.convolution.weights import Weights
from molnet.kernels.edges import Edges
from molnet.kernels.engine import Function, as_inputs, differentiated, wanted_gradients

# What every operator takes after the tensors it is differentiated by: constants, then the plan, in
# schemas as lists of integers.
_CONSTANTS = (
    "Tensor coupling, Tensor rows, Tensor senders, Tensor receivers, Tensor receiver_starts, "
    "Tensor by_sender, Tensor sender_starts"
)
_NUM_CONSTANTS = 7
_REST = f"{_CONSTANTS}, int[] inputs, int[] output_dims, int[] paths"
_ARGUMENTS = "Tensor x, Tensor Y, Tensor B, Tensor T"
_TANGENTS = "Tensor a, Tensor y, Tensor b, Tensor? u"
_GRADIENTS = "(Tensor, Tensor, Tensor, Tensor)"

_operators = torch.library.Library("molnet", "DEF")
_functions: dict[str, type[Function]] = {}


def convolve(
    x: Tensor, harmonics: Tensor, coupling: Tensor, weights: Weights, edges: Edges, plan: Plan
) -> Tensor:
    """The same as :func:`molnet.kernels.convolution.reference.convolve`, by compiled kernels."""
    return _call("forward")(
        x, harmonics, weights.basis, weights.table, coupling, weights.rows, *edges, plan
    )


def _unpack(B: Tensor, T: Tensor, rest: Sequence[Any]) -> tuple[Tensor, Weights, Edges, Plan]:
    """Coupling, weights, edges and plan again, from what a function takes."""
    coupling, rows, *edges, plan = rest
    return coupling, Weights(B, T, rows), Edges(*edges), plan


def to_schema(arguments: Sequence[Any]) -> list[Any]:
    """Arguments of a function as those of its operator: the plan as lists of integers."""
    (place,) = (i for i, argument in enumerate(arguments) if isinstance(argument, Plan))
    plan = arguments[place]
    lists = [
        [number for block in plan.inputs for number in block],
        list(plan.output_dims),
        [number for path in plan.paths for number in path],
    ]
    return [*arguments[:place], *lists, *arguments[place + 1 :]]


def _of_schema(arguments: Sequence[Any], place: int) -> tuple[Any, ...]:
    """Arguments of an operator as those of its function; the plan begins at ``place``."""
    lists = (tuple(numbers) for numbers in arguments[place : place + 3])
    return *arguments[:place], _plan(*lists), *arguments[place + 3 :]


@cache
def _plan(inputs: tuple[int, ...], output_dims: tuple[int, ...], paths: tuple[int, ...]) -> Plan:
    """One plan for each layer, however often its operators run."""
    return Plan(
        tuple(Block(*pair) for pair in zip(inputs[::2], inputs[1::2], strict=True)),
        output_dims,
        tuple(Path(*paths[start : start + 4]) for start in range(0, len(paths), 4)),
    )


class _Operator(NamedTuple):
    """One of the operators; its tensors are ``num_real`` to differentiate by, then constants."""

    name: str
    num_real: int

    @property
    def gives_gradients(self) -> bool:
        """Whether it returns those of x, Y, B and T, rather than features."""
        return self.name.endswith("backward")

    def new_outputs(self, *arguments: Any) -> Any:
        """Room for what it returns; unwanted gradients are empty."""
        rest = arguments[self.num_real :]
        if not self.gives_gradients:
            x, plan = arguments[0], rest[_NUM_CONSTANTS]
            return x.new_empty(x.shape[0], plan.output_size)
        wanted = True, *rest[-1]
        return tuple(
            primal.new_empty(primal.shape if asked else 0)
            for primal, asked in zip(arguments[1:5], wanted, strict=True)
        )

    def run(self, *arguments: Any) -> Any:
        """Fill them by a kernel."""
        tensors, rest = arguments[: self.num_real], arguments[self.num_real :]
        outputs = self.new_outputs(*arguments)
        filled, (B, T) = [outputs], arguments[2:4]
        if self.gives_gradients:
            filled, (B, T) = _only((True, *rest[-1]), outputs), arguments[3:5]
        calls.run(self.name, tensors, filled, *_unpack(B, T, rest[: _NUM_CONSTANTS + 1]))
        return outputs


def _reference_change(arguments: Sequence[Tensor | None], rest: Sequence[Any]) -> Tensor:
    """∂D/∂g, from the reference."""
    x, Y, B, T, a, y, b, u = arguments

    def form(x: Any, Y: Any, B: Any, T: Any) -> Tensor:
        return reference.convolve(x, Y, *_unpack(B, T, rest))

    change = form(a, Y, B, T) + form(x, y, B, T) + form(x, Y, b, T)
    return change if u is None else change + form(x, Y, B, u)


def _backward_of_forward(
    saved: Sequence[Tensor], rest: Sequence[Any], wanted: Sequence[bool], g: Tensor
) -> Sequence[Tensor | None]:
    gradients = _call("backward")(g, *saved, *rest, wanted[1:])
    return _only(wanted, gradients)


def _backward_of_backward(
    saved: Sequence[Tensor],
    rest: Sequence[Any],
    wanted: Sequence[bool],
    *tangents: Tensor | None,
) -> tuple[Tensor | None, ...]:
    g, *arguments = saved
    a, y, b = (
        torch.zeros_like(argument) if tangent is None else tangent
        for tangent, argument in zip(tangents[:3], arguments[:3], strict=True)
    )
    of_g: Tensor | None = None
    of_arguments: Sequence[Tensor | None] = [None] * 4
    if wanted[0]:
        of_g = _call("double_forward")(*arguments, a, y, b, tangents[3], *rest[:-1])
    if any(wanted[1:]):
        gradients = _call("double_backward")(
            g, *arguments, a, y, b, tangents[3], *rest[:-1], wanted[2:]
        )
        of_arguments = _only(wanted[1:], gradients)
    return of_g, *of_arguments


def _only(wanted: Sequence[bool], tensors: Sequence[Tensor]) -> list[Tensor | None]:
    return [tensor if asked else None for tensor, asked in zip(tensors, wanted, strict=True)]


def _backward_of_double_forward(
    saved: Sequence[Tensor], rest: Sequence[Any], wanted: Sequence[bool], g: Tensor
) -> tuple[Tensor | None, ...]:
    with torch.enable_grad():
        arguments = as_inputs(saved)
        return differentiated([_reference_change(arguments, rest)], arguments, [g])


def _backward_of_double_backward(
    saved: Sequence[Tensor],
    rest: Sequence[Any],
    wanted: Sequence[bool],
    *cotangents: Tensor | None,
) -> tuple[Tensor | None, ...]:
    with torch.enable_grad():
        g, *arguments = as_inputs(saved)
        change = (g * _reference_change(arguments, rest[:-1])).sum()
        outputs = torch.autograd.grad(
            change, arguments[:4], create_graph=True, materialize_grads=True
        )
        return differentiated(outputs, [g, *arguments], cotangents)


def _call(name: str) -> Callable[..., Any]:
    """One of the operators; without a compiler as a plain function, which is called much faster."""
    if torch.compiler.is_compiling():
        operator = getattr(torch.ops.molnet, f"convolution_{name}")
        return lambda *arguments: operator(*to_schema(arguments))
    return _functions[name].apply


def _register(name: str, signature: str, backward: Callable[..., Sequence[Tensor | None]]) -> None:
    """Define one operator: schema, CPU kernel, fake implementation and autograd rule."""
    operator = f"convolution_{name}"
    _operators.define(f"{operator}{signature}")
    num_tensors = signature.partition("->")[0].count("Tensor")
    num_real = num_tensors - _NUM_CONSTANTS
    of = _Operator(name, num_real)

    def save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[:num_tensors])
        ctx.others = inputs[num_tensors:]

    def differentiate(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        nothing = [None] * (len(ctx.needs_input_grad) - num_real)
        if all(gradient is None for gradient in gradients):
            return *[None] * num_real, *nothing
        tensors = ctx.saved_tensors
        rest = (*tensors[num_real:], *ctx.others)
        wanted = list(islice(wanted_gradients(ctx), num_real))
        return *backward(tensors[:num_real], rest, wanted, *gradients), *nothing

    def of_schema(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: function(*_of_schema(arguments, num_tensors))

    def save_of_schema(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        save(ctx, _of_schema(inputs, num_tensors), output)

    qualified = f"molnet::{operator}"
    _operators.impl(operator, of_schema(of.run), "CPU")
    torch.library.register_fake(qualified, of_schema(of.new_outputs), lib=_operators)
    torch.library.register_autograd(
        qualified, differentiate, setup_context=save_of_schema, lib=_operators
    )
    rules: dict[str, Callable[..., Any]] = {
        "forward": of.run,
        "setup_context": save,
        "backward": differentiate,
    }
    members: dict[str, Any] = {}
    for rule, function in rules.items():
        members[rule] = staticmethod(function)
    _functions[name] = type(operator, (Function,), members)


_register("forward", f"({_ARGUMENTS}, {_REST}) -> Tensor", _backward_of_forward)
_register(
    "backward",
    f"(Tensor g, {_ARGUMENTS}, {_REST}, bool[] wanted) -> {_GRADIENTS}",
    _backward_of_backward,
)
_register(
    "double_forward",
    f"({_ARGUMENTS}, {_TANGENTS}, {_REST}) -> Tensor",
    _backward_of_double_forward,
)
_register(
    "double_backward",
    f"(Tensor g, {_ARGUMENTS}, {_TANGENTS}, {_REST}, bool[] wanted) -> {_GRADIENTS}",
    _backward_of_double_backward,
)
