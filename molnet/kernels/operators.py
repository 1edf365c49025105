"""The convolution as custom operators of PyTorch, closed under differentiation.

With S the four-linear form of ``csrc/convolution.cpp`` and D its change along tangents
``(a, m, v)`` of ``(x, M, w)``:

=========================  ==============================  =============================
operator                   computes                        its backward pass uses
=========================  ==============================  =============================
``forward``                ∂S/∂g                           ``backward``
``backward``               ∂S/∂(x, M, w)                   both ``double_*``
``double_forward``         ∂D/∂g                           ``backward``, ``double_backward``
``double_backward``        ∂D/∂(x, M, w)                   the reference, differentiated
=========================  ==============================  =============================

Training on forces runs the first four lines and no more; the last one exists so that any further
derivative is right too.
"""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from molnet.kernels import reference
from molnet.kernels.compiler import library
from molnet.kernels.edges import Edges
from molnet.kernels.plan import Block, Path, Plan

LARGEST_DIM = 9
"""Irreps up to l = 4 have kernels."""

_SUFFIX = {torch.float32: "f32", torch.float64: "f64"}
_EDGES = (
    "Tensor senders, Tensor receivers, Tensor receiver_starts, Tensor by_sender, "
    "Tensor sender_starts, int[] inputs, int[] output_dims, int[] paths"
)
_ARGUMENTS = "Tensor x, Tensor M, Tensor w"
_TANGENTS = "Tensor a, Tensor m, Tensor v"

_operators = torch.library.Library("molnet", "DEF")
_operators.define(f"convolution_forward({_ARGUMENTS}, {_EDGES}) -> Tensor")
_operators.define(
    f"convolution_backward(Tensor g, {_ARGUMENTS}, {_EDGES}) -> (Tensor, Tensor, Tensor)"
)
_operators.define(f"convolution_double_forward({_ARGUMENTS}, {_TANGENTS}, {_EDGES}) -> Tensor")
_operators.define(
    f"convolution_double_backward(Tensor g, {_ARGUMENTS}, {_TANGENTS}, {_EDGES}) "
    "-> (Tensor, Tensor, Tensor)"
)


def available(x: Tensor, plan: Plan) -> bool:
    """Whether compiled kernels serve these features and irreps on this machine."""
    dims = [block.dim for block in plan.inputs] + list(plan.output_dims)
    return (
        x.device.type == "cpu"
        and x.dtype in _SUFFIX
        and max(dims, default=1) <= LARGEST_DIM
        and library() is not None
    )


def convolve(x: Tensor, matrices: Tensor, weights: Tensor, edges: Edges, plan: Plan) -> Tensor:
    """The same as :func:`molnet.kernels.reference.convolve`, by compiled kernels."""
    return torch.ops.molnet.convolution_forward(x, matrices, weights, *edges, *_flat(plan))


def _flat(plan: Plan) -> tuple[list[int], list[int], list[int]]:
    """A plan as lists of integers, as operators take them."""
    return (
        [number for block in plan.inputs for number in block],
        list(plan.output_dims),
        [number for path in plan.paths for number in path],
    )


def _plan(inputs: Sequence[int], output_dims: Sequence[int], paths: Sequence[int]) -> Plan:
    return Plan(
        tuple(Block(*pair) for pair in zip(inputs[::2], inputs[1::2], strict=True)),
        tuple(output_dims),
        tuple(Path(*pair) for pair in zip(paths[::2], paths[1::2], strict=True)),
    )


class _Shape(ctypes.Structure):
    """``Shape`` of the C++ source."""

    _fields_ = (
        [(name, ctypes.c_int64) for name in ("nodes", "paths", "x", "out", "matrix", "weight")]
        + [("path", ctypes.c_void_p)]
        + [(name, ctypes.c_void_p) for name in Edges._fields]
        + [("threads", ctypes.c_int64)]
    )


def _call(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], rest: Any) -> None:
    """Run one kernel on tensors of one dtype; ``rest`` holds the edges and the plan."""
    edges, plan = Edges(*rest[:5]), _plan(*rest[5:])
    paths = torch.tensor(_path_table(plan), dtype=torch.int64)
    shape = _Shape(
        len(edges.receiver_starts) - 1,
        len(plan.paths),
        plan.input_size,
        plan.output_size,
        sum(plan.matrix_sizes),
        sum(plan.weight_sizes),
        paths.data_ptr(),
        *(index.data_ptr() for index in edges),
        torch.get_num_threads(),
    )
    kernels = library()
    if kernels is None:
        raise RuntimeError("the compiled convolution was called on a machine without it")
    function = getattr(kernels, f"{name}_{_SUFFIX[outputs[0].dtype]}")
    given = [tensor.contiguous() for tensor in inputs]
    function(
        ctypes.byref(shape),
        *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (*given, *outputs)),
    )


def _empty_output(x: Tensor, rest: Any) -> Tensor:
    return x.new_empty(x.shape[0], _plan(*rest[5:]).output_size)


def _empty_gradients(x: Tensor, M: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    def contiguous(like: Tensor) -> Tensor:
        return like.new_empty(like.shape)

    return contiguous(x), contiguous(M), contiguous(w)


def _forward(x: Tensor, M: Tensor, w: Tensor, *rest: Any) -> Tensor:
    out = _empty_output(x, rest)
    _call("forward", [x, M, w], [out], rest)
    return out


def _backward(g: Tensor, x: Tensor, M: Tensor, w: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    gradients = _empty_gradients(x, M, w)
    _call("backward", [g, x, M, w], gradients, rest)
    return gradients


def _double_forward(
    x: Tensor, M: Tensor, w: Tensor, a: Tensor, m: Tensor, v: Tensor, *rest: Any
) -> Tensor:
    out = _empty_output(x, rest)
    _call("double_forward", [x, M, w, a, m, v], [out], rest)
    return out


def _double_backward(
    g: Tensor, x: Tensor, M: Tensor, w: Tensor, a: Tensor, m: Tensor, v: Tensor, *rest: Any
) -> tuple[Tensor, ...]:
    gradients = _empty_gradients(x, M, w)
    _call("double_backward", [g, x, M, w, a, m, v], gradients, rest)
    return gradients


def _reference_double_backward(
    g: Tensor, x: Tensor, M: Tensor, w: Tensor, a: Tensor, m: Tensor, v: Tensor, *rest: Any
) -> tuple[Tensor, ...]:
    """∂D/∂(x, M, w) by differentiating the reference, differentiable again."""
    edges, plan = Edges(*rest[:5]), _plan(*rest[5:])

    def form(x: Tensor, M: Tensor, w: Tensor) -> Tensor:
        return (g * reference.convolve(x, M, w, edges, plan)).sum()

    change = form(a, M, w) + form(x, m, w) + form(x, M, v)
    return torch.autograd.grad(change, [x, M, w], create_graph=True, materialize_grads=True)


_NO_GRADIENTS = (None,) * 8  # of the edges and the plan


def _backward_of_forward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    return *torch.ops.molnet.convolution_backward(g, *ctx.saved, *ctx.rest), *_NO_GRADIENTS


def _backward_of_backward(ctx: Any, a: Tensor, m: Tensor, v: Tensor) -> tuple[Any, ...]:
    g, x, M, w = ctx.saved
    return (
        torch.ops.molnet.convolution_double_forward(x, M, w, a, m, v, *ctx.rest),
        *torch.ops.molnet.convolution_double_backward(g, x, M, w, a, m, v, *ctx.rest),
        *_NO_GRADIENTS,
    )


def _backward_of_double_forward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
    return (
        *torch.ops.molnet.convolution_double_backward(g, *ctx.saved, *ctx.rest),
        *torch.ops.molnet.convolution_backward(g, *ctx.saved[:3], *ctx.rest),
        *_NO_GRADIENTS,
    )


def _backward_of_double_backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
    with torch.enable_grad():
        again = [tensor.view_as(tensor) for tensor in ctx.saved]
        if not any(tensor.requires_grad for tensor in again):
            again = [tensor.detach().requires_grad_() for tensor in again]
        outputs = _reference_double_backward(*again, *ctx.rest)
        gradients = torch.autograd.grad(
            outputs, again, cotangents, create_graph=True, allow_unused=True
        )
    return *gradients, *_NO_GRADIENTS


def _register(
    name: str,
    kernel: Callable[..., Any],
    fake: Callable[..., Any],
    backward: Callable[..., Any],
    num_tensors: int,
) -> None:
    def save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[:num_tensors], *inputs[num_tensors : num_tensors + 5])
        ctx.plan = inputs[num_tensors + 5 :]

    def differentiate(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        tensors = ctx.saved_tensors
        ctx.saved = tensors[:num_tensors]
        ctx.rest = (*tensors[num_tensors:], *ctx.plan)
        return backward(ctx, *gradients)

    qualified = f"molnet::convolution_{name}"
    _operators.impl(f"convolution_{name}", kernel, "CPU")
    torch.library.register_fake(qualified, fake, lib=_operators)
    torch.library.register_autograd(qualified, differentiate, setup_context=save, lib=_operators)


_register(
    "forward", _forward, lambda x, M, w, *rest: _empty_output(x, rest), _backward_of_forward, 3
)
_register(
    "backward",
    _backward,
    lambda g, x, M, w, *rest: _empty_gradients(x, M, w),
    _backward_of_backward,
    4,
)
_register(
    "double_forward",
    _double_forward,
    lambda x, M, w, a, m, v, *rest: _empty_output(x, rest),
    _backward_of_double_forward,
    6,
)
_register(
    "double_backward",
    _double_backward,
    lambda g, x, M, w, a, m, v, *rest: _empty_gradients(x, M, w),
    _backward_of_double_backward,
    7,
)


def _path_table(plan: Plan) -> list[tuple[int, ...]]:
    """``Path`` of the C++ source for each path."""
    rows: list[tuple[int, ...]] = []
    x_starts = _starts([block.size for block in plan.inputs])
    out_starts = _starts([block.size for block in plan.outputs])
    weight_starts = _starts(plan.weight_sizes)
    filled = [0] * len(plan.outputs)
    for path, matrix, weight in zip(plan.paths, plan.matrix_offsets, weight_starts, strict=True):
        dim_in, channels = plan.inputs[path.source]
        dim_out, stride = plan.outputs[path.target]
        out = out_starts[path.target] + filled[path.target]
        rows.append((dim_in, dim_out, channels, x_starts[path.source], out, stride, matrix, weight))
        filled[path.target] += channels
    return rows


def _starts(sizes: Sequence[int]) -> list[int]:
    return [sum(sizes[:i]) for i in range(len(sizes))]
