"""Energies of structures from the invariants of their atoms, with derivatives in closed form."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from molnet.kernels.compiler import kernels_for, kernels_serve
from molnet.kernels.derivatives import Tensors, recorded


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
        weights = first.weight, first.bias, last.weight, last.bias
        return recorded(self, scalars, *weights, constants)[0]

    def with_gradient(
        self, scalars: Tensor, first: torch.nn.Linear, last: torch.nn.Linear, constants: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Energies, and the gradient of their total by s; nothing is recorded for autograd."""
        tensors = scalars, first.weight, first.bias, last.weight, last.bias, constants
        (energies,), kept = self.evaluate(tensors)
        return energies, self.gradients(tensors, kept, [None], True, False)[0]

    def evaluate(self, inputs: Tensors) -> tuple[tuple[Tensor], Tensors]:
        """See :class:`molnet.kernels.derivatives.ByKernels`; h = W s + b is kept."""
        *tensors, constants = inputs
        scalars, W, *_ = tensors
        energies = constants.new_empty(self.num_structures)
        h = scalars.new_empty(len(scalars), len(W))
        self._run("forward", [*tensors, h], constants, energies)
        return (energies,), (h,)

    def gradients(
        self,
        inputs: Tensors,
        kept: Tensors,
        g: Sequence[Tensor | None],
        to_x: bool,
        trains: bool,
    ) -> list[Any]:
        """From gradients of energies, or ones, those of s, W, b, v and c."""
        scalars, *weights = tensors = inputs[:5]
        of_scalars = scalars.new_empty(scalars.shape)
        of_weights = [w.new_empty(w.shape) if trains else None for w in weights]
        self._run("backward", [*tensors, *kept], *g, of_scalars, *of_weights)
        return [of_scalars, *of_weights, None]

    def along(
        self, inputs: Tensors, kept: Tensors, g: Tensors, t: Tensor, to_x: bool
    ) -> list[Tensor | None]:
        """Derivatives of v·t."""
        of_g, *of_inputs = (each.new_empty(each.shape) for each in (*g, *inputs[:4]))
        self._run("along", [*inputs[:5], *kept], *g, t, of_g, *of_inputs)
        return [*of_inputs, None, None, of_g]

    def reference(self, *inputs: Tensor) -> tuple[Tensor]:
        """What is learned of the energies, in plain PyTorch."""
        scalars, W, b, v, c, _ = inputs
        values = self.scale * linear(silu(linear(scalars, W, b)), v, c).squeeze(1).double()
        return (values.new_zeros(self.num_structures).index_add(0, self.structures, values),)

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
        given = [None if each is None else each.contiguous() for each in arguments]
        addresses = [None if each is None else each.data_ptr() for each in given]
        kernel = getattr(kernels_for(scalars), f"readout_{name}")
        kernel(ctypes.byref(struct), *map(ctypes.c_void_p, addresses))


class _ReadOutStruct(ctypes.Structure):
    """``Readout`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("nodes", "inputs", "hidden", "structures")),
        ("threads", ctypes.c_int64),
        ("scale", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("s", "W", "b", "v", "c", "structure", "h")),
    )
