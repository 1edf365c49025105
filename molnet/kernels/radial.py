"""Tables of radial functions from the weights of their networks, all networks in one compiled call.

A step of training needs them anew. They are small: in plain PyTorch, calls take longer than sums.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from molnet.kernels.compiler import kernels_for, kernels_serve
from molnet.kernels.engine import Function, as_inputs, differentiated


@dataclass(frozen=True, eq=False)
class RadialTables:
    r"""Perceptrons at P points, with a matrix J before their last, linear layers.

    .. math:: h_0 = inputs, \quad h_i = c\, silu(h_{i-1}\, s_i W_i), \quad table = J h\, (s W)

    Args:
        inputs: ``[P, n]``, constant.
        interpolation: J, ``[Q, P]``, constant.
        scales: s of each layer.
        factor: c.
    """

    inputs: Tensor
    interpolation: Tensor
    scales: tuple[float, ...]
    factor: float

    def __call__(self, networks: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """The table of each network, ``[Q, numel]``.

        Args:
            networks: weights of the layers of each, ``[width in, width out]``; alike but for the
                width of the last.
        """
        weights = list(chain.from_iterable(networks))
        if not self._serves():
            return self._in_pytorch(weights)
        return list(_Tables.apply(self, *weights))

    def _serves(self) -> bool:
        autocast = torch.is_autocast_enabled(self.inputs.device.type)
        return not autocast and kernels_serve(self.inputs)

    def _in_pytorch(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The same for any device and dtype, and to be differentiated any number of times."""
        *hidden, last = zip(*self._of_networks(weights), strict=True)
        x = self.inputs.expand(len(last), *self.inputs.shape)
        for scale, layers in zip(self.scales, hidden, strict=False):
            x = self.factor * silu(x @ (torch.stack(layers) * scale))  # (T, P, width)
        # The matrix is smaller than the weights of the last layer, which it is scaled for.
        rows = (self.interpolation * self.scales[-1] @ x).unbind()
        return [y @ weight for weight, y in zip(last, rows, strict=True)]

    def _of_networks(self, weights: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        layers = len(self.scales)
        return [weights[i : i + layers] for i in range(0, len(weights), layers)]

    def _struct(self, weights: Sequence[Tensor]) -> tuple["_RadialStruct", list[Any]]:
        """``Radial`` of the C++ source but for what is kept, and what it holds addresses of."""
        weights = [weight.contiguous() for weight in weights]
        first, *_ = networks = self._of_networks(weights)
        layers = len(self.scales)
        arrays = (
            (ctypes.c_int64 * layers)(*(weight.shape[0] for weight in first)),
            (ctypes.c_int64 * len(networks))(*(last.shape[1] for *_, last in networks)),
            (ctypes.c_double * layers)(*self.scales),
            _addresses([self.inputs, self.interpolation]),
            _addresses(weights),
        )
        struct = _RadialStruct(
            len(networks),
            layers - 1,
            *(constant.shape[0] for constant in (self.inputs, self.interpolation)),
            torch.get_num_threads(),
            self.factor,
            *(ctypes.addressof(array) for array in arrays),
        )
        return struct, [weights, *arrays]


class _Tables(Function):
    @staticmethod
    def forward(ctx: Any, of: RadialTables, *weights: Tensor) -> tuple[Tensor, ...]:
        kernels: Any = kernels_for(of.inputs)
        struct, _held = of._struct(weights)
        kernels.radial_kept.restype = ctypes.c_int64
        kept = of.inputs.new_empty(kernels.radial_kept(ctypes.byref(struct)))
        struct.kept = kept.data_ptr()
        last = weights[len(of.scales) - 1 :: len(of.scales)]
        tables = [kept.new_empty(of.interpolation.shape[0], weight.shape[1]) for weight in last]
        kernels.radial_forward(ctypes.byref(struct), _addresses(tables))
        ctx.of = of
        ctx.save_for_backward(kept, *weights)
        return tuple(tables)

    @staticmethod
    def backward(ctx: Any, *of_tables: Tensor) -> tuple[Tensor | None, ...]:
        kept, *weights = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = as_inputs(weights)
            return None, *differentiated(ctx.of._in_pytorch(inputs), inputs, of_tables)
        kernels: Any = kernels_for(kept)
        struct, _held = ctx.of._struct(weights)
        struct.kept = kept.data_ptr()
        given = [of_table.contiguous() for of_table in of_tables]
        of_weights = [weight.new_empty(weight.shape) for weight in weights]
        kernels.radial_backward(ctypes.byref(struct), _addresses(given), _addresses(of_weights))
        return None, *of_weights


def _addresses(tensors: Sequence[Tensor]) -> "ctypes.Array":
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


class _RadialStruct(ctypes.Structure):
    """``Radial`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("networks", "hidden", "points", "rows", "threads")),
        ("factor", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("widths", "functions", "scales")),
        *((name, ctypes.c_void_p) for name in ("constants", "weights", "kept")),
    )
