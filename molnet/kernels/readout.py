"""Energies of structures from the invariants of their atoms, with derivatives in closed form.

With s the invariants, E the energies and g gradients of these:

==================  =====================================  ============================
function            computes                               its backward pass uses
==================  =====================================  ============================
:class:`_Energies`  E                                      ``backward`` or `_Gradient`
:class:`_Gradient`  u = ∂(g·E)/∂s                          ``along``
==================  =====================================  ============================

What goes further, and second derivatives that start from weights, is left to PyTorch.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from molnet.kernels.compiler import kernels_for, kernels_serve
from molnet.kernels.engine import Function, as_inputs, differentiated, wanted_gradients


@dataclass(frozen=True, eq=False)
class ReadOut:
    r"""Sums over the atoms of structures of ``scale * value + constant``.

    .. math:: value = v \cdot silu(W s + b) + c

    Args:
        scale: of what is learned.
        structures: which one an atom belongs to, ``[N]`` integers.
        num_structures: G.
    """

    scale: float
    structures: Tensor
    num_structures: int

    @staticmethod
    def serves(scalars: Tensor) -> bool:
        """Whether there are kernels for these scalars here."""
        return kernels_serve(scalars)

    def __call__(
        self, scalars: Tensor, first: torch.nn.Linear, last: torch.nn.Linear, constants: Tensor
    ) -> Tensor:
        """Energies in float64, ``[G]``.

        Args:
            scalars: s, ``[N, C]``.
            first: from C numbers to hidden ones, W and b.
            last: to one number, v and c.
            constants: ``[N]`` in float64.
        """
        weights = [first.weight, first.bias, last.weight, last.bias]
        # Leaves are passed as views: see molnet.kernels.engine.
        views = (weight.view_as(weight) for weight in weights)
        return _Energies.apply(self, constants, scalars, *views)

    def with_gradient(
        self, scalars: Tensor, first: torch.nn.Linear, last: torch.nn.Linear, constants: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Energies, and the gradient of their total by s; nothing is recorded for autograd."""
        tensors = [scalars, first.weight, first.bias, last.weight, last.bias]
        energies, h = self.energies(tensors, constants)
        return energies, self.gradient(None, [*tensors, h])

    def energies(self, tensors: Sequence[Tensor], constants: Tensor) -> tuple[Tensor, Tensor]:
        """Energies and h of s, W, b, v, c; not recorded, as what follows."""
        scalars, W, *_ = tensors
        energies = constants.new_empty(self.num_structures)
        h = scalars.new_empty(len(scalars), len(W))
        self._run("forward", [*tensors, h], constants.contiguous(), energies)
        return energies, h

    def gradient(self, of_energies: Tensor | None, tensors: Sequence[Tensor]) -> Tensor:
        """From the gradients of energies, ``[G]`` in float64, or ones, that of s.

        Args:
            of_energies: see above.
            tensors: s, W, b, v, c, h.
        """
        of_scalars = tensors[0].new_empty(tensors[0].shape)
        self._run("backward", tensors, of_energies, of_scalars, *[None] * 4)
        return of_scalars

    def gradients(self, of_energies: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The same of s, W, b, v and c."""
        results = [tensor.new_empty(tensor.shape) for tensor in tensors[:5]]
        self._run("backward", tensors, of_energies, *results)
        return results

    def along(self, of_energies: Tensor, tensors: Sequence[Tensor], t: Tensor) -> list[Tensor]:
        """Derivatives of u·t by the gradients of energies, s, W, b and v.

        Args:
            of_energies, tensors: which led to the gradient u of s.
            t: ``[N, C]``.
        """
        results = [tensor.new_empty(tensor.shape) for tensor in (of_energies, *tensors[:4])]
        self._run("along", tensors, of_energies, t, *results)
        return results

    def _run(self, name: str, tensors: Sequence[Tensor], *arguments: Tensor | None) -> None:
        """Run a kernel for s, W, b, v, c, h; it fills what is new among the arguments."""
        scalars, W, *_ = tensors
        held = [
            *(tensor.contiguous() for tensor in tensors[:5]),
            self.structures.long().contiguous(),
            tensors[5],
        ]
        struct = _ReadOutStruct(
            *scalars.shape,
            W.shape[0],
            self.num_structures,
            torch.get_num_threads(),
            self.scale,
            *(tensor.data_ptr() for tensor in held),
        )
        addresses = [None if each is None else each.data_ptr() for each in arguments]
        kernel = getattr(kernels_for(scalars), f"readout_{name}")
        kernel(ctypes.byref(struct), *map(ctypes.c_void_p, addresses))

    def _in_pytorch(self, scalars: Tensor, W: Tensor, b: Tensor, v: Tensor, c: Tensor) -> Tensor:
        """What is learned of the energies."""
        values = self.scale * linear(silu(linear(scalars, W, b)), v, c).squeeze(1).double()
        return values.new_zeros(self.num_structures).index_add(0, self.structures, values)


class _Energies(Function):
    @staticmethod
    def forward(ctx: Any, of: ReadOut, constants: Tensor, *tensors: Tensor) -> Tensor:
        energies, h = of.energies(tensors, constants)
        ctx.of = of
        ctx.save_for_backward(*tensors, h)
        return energies

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        of, (*tensors, h) = ctx.of, ctx.saved_tensors
        trains = any(islice(wanted_gradients(ctx), 2, None))  # after constants and scalars
        if not torch.is_grad_enabled():
            saved = [*tensors, h]
            if trains:
                return None, None, *of.gradients(g.contiguous(), saved)
            return None, None, of.gradient(g.contiguous(), saved), *[None] * 4
        if trains:
            inputs = as_inputs(tensors)
            return None, None, *differentiated([of._in_pytorch(*inputs)], inputs, [g])
        return None, None, _Gradient.apply(of, g, *tensors, h), *[None] * 4


class _Gradient(Function):
    @staticmethod
    def forward(ctx: Any, of: ReadOut, g: Tensor, *tensors: Tensor) -> Tensor:
        ctx.of = of
        ctx.save_for_backward(g, *tensors)
        return of.gradient(g.contiguous(), tensors)

    @staticmethod
    def backward(ctx: Any, t: Tensor) -> tuple[Tensor | None, ...]:
        of, (g, *tensors, h) = ctx.of, ctx.saved_tensors
        if not torch.is_grad_enabled():
            return None, *of.along(g.contiguous(), [*tensors, h], t.contiguous()), None, None
        with torch.enable_grad():
            g, *inputs = as_inputs([g, *tensors])
            by = [inputs[0]]
            (u,) = torch.autograd.grad(of._in_pytorch(*inputs), by, [g], create_graph=True)
            return None, *differentiated([u], [g, *inputs], [t]), None


class _ReadOutStruct(ctypes.Structure):
    """``Readout`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("nodes", "inputs", "hidden", "structures")),
        ("threads", ctypes.c_int64),
        ("scale", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("s", "W", "b", "v", "c", "structure", "h")),
    )
