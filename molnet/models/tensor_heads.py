"""Heads for tensors: polarizability, and declared properties of any irreps or Cartesian form.

Dimension letters: N atoms, G structures.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molnet.graph.container import Graph
from molnet.models.head import Head, Predicted, readout, sum_over_structures
from molnet.models.network import Features
from molnet.o3.cartesian import CartesianTensor
from molnet.o3.constants import Constants
from molnet.o3.irreps import Irrep, Irreps
from molnet.o3.layout import change_layout
from molnet.o3.linear import Linear
from molnet.o3.wigner import wigner_3j


class Polarizability(Head):
    r"""Polarizability tensor as a sum of isotropic and anisotropic atomic parts.

    .. math:: \alpha = \sum_i \bigl( a_i\, I + T(t_i) \bigr)

    with a scalar :math:`a_i` and a symmetric traceless :math:`T(t_i)` from the ``2e`` features.

    Args:
        statistics: ``scale``.
    """

    def __init__(self, num_scalars: int, irreps_in: Irreps, statistics: dict[str, Any]) -> None:
        super().__init__(num_scalars, irreps_in, statistics)
        self.readout = readout(num_scalars, 1)
        self.anisotropic = Linear(irreps_in, "2e", layout="ir_mul")
        # The 3j symbol couples two vectors to l = 2: an orthonormal basis of traceless matrices.
        self.constants = Constants([wigner_3j(1, 1, 2, dtype=torch.float64)])

    @staticmethod
    def l_required(**options: Any) -> int:
        return 2

    @staticmethod
    def predicts(**options: Any) -> Predicted:
        return Predicted("structure", (3, 3))

    def forward(self, features: Features, graph: Graph) -> Tensor:
        """Tensors ``[G, 3, 3]`` in Å³."""
        isotropic = sum_over_structures(self.readout(features.scalars), graph)  # (G, 1)
        tensors = sum_over_structures(self.anisotropic(features.tensors), graph)  # (G, 5)
        identity = torch.eye(3).to(isotropic)
        return self.scale * (
            isotropic.unsqueeze(2) * identity
            + torch.einsum("gm,ijm->gij", tensors, self.constants[0])
        )


OF_IRREPS = ("irreps", "cartesian", "spherical")
"""Options of a declared tensor that say what it is."""

CARTESIAN_SIZES = (6, 9, 10, 18, 27)
"""Numbers of components of Cartesian tensors of rank two and three, and of symmetric ones."""


def tensor_irreps(irreps: str = "", cartesian: str = "", spherical: bool = False) -> Irreps:
    """The irreps of a declared tensor, a :class:`~molnet.o3.CartesianTensor` for a Cartesian one.

    Raises:
        ValueError: for what is no irreps or no formula, and where it is not said which components
            a label holds.
    """
    if cartesian:
        if irreps or spherical:
            raise ValueError("expected cartesian, or irreps with spherical, got both")
        tensor = CartesianTensor(cartesian)
        if tensor.dim == 0:
            raise ValueError(f"no tensor but zero has the index symmetries {cartesian!r}")
        return tensor
    out = Irreps(irreps or "0e")
    if out.dim in CARTESIAN_SIZES and out.lmax > 0 and not spherical:
        raise ValueError(
            f"irreps {irreps} have {out.dim} components, as many as a Cartesian tensor. If the "
            "labels are xx, xy, ..., write cartesian: ij instead of irreps (for a symmetric tensor "
            "'ij=ji') and the shape [3, 3]; if they are the components of the irreps in the order "
            "of molnet.o3, add spherical: true"
        )
    return out


class TensorProperty(Head):
    """A declared property of any irreps or Cartesian form, of each atom or of the whole structure.

    Args:
        irreps: irreps of the value, e.g. ``"1o"``; its components, one irrep after the other, in
            the order of :mod:`molnet.o3` (a vector is x, y, z). ``"0e"`` by default.
        cartesian: instead of irreps the index symmetries of a Cartesian tensor (polar vectors'
            product), e.g. ``"ij"`` for any 3×3 matrix, ``"ij=ji"`` for a symmetric one.
        spherical: confirms that labels hold components of the irreps, where their number is that
            of a Cartesian tensor.
        per: ``"atom"`` or ``"structure"``, over which the values of the atoms are summed.
    """

    def __init__(
        self,
        num_scalars: int,
        irreps_in: Irreps,
        statistics: dict[str, Any],
        irreps: str = "",
        cartesian: str = "",
        spherical: bool = False,
        per: str = "structure",
    ) -> None:
        super().__init__(num_scalars, irreps_in, statistics)
        self.per = per
        self.irreps_out = out = tensor_irreps(irreps, cartesian, spherical)
        missing = [str(ir) for _, ir in out if irreps_in.count(ir) == 0 and ir != Irrep("0e")]
        if missing:
            raise ValueError(
                f"the network's features {irreps_in} hold no {', '.join(missing)}: "
                "raise model.l_max or model.num_layers, or set model.parity=true"
            )
        self.linear = Linear(irreps_in, out, layout="ir_mul")
        # From the irreps to the components of the Cartesian tensor, [dim, 3, 3, ...].
        one_each = torch.eye(out.dim, dtype=torch.float64)
        self.constants = Constants(
            [out.to_cartesian(one_each)] if isinstance(out, CartesianTensor) else []
        )

    @staticmethod
    def l_required(**options: Any) -> int:
        return tensor_irreps(**_of_irreps(options)).lmax

    @staticmethod
    def predicts(**options: Any) -> Predicted:
        per = options.get("per", "structure")
        if per not in ("atom", "structure"):
            raise ValueError(f"expected per: atom or structure, got {per!r}")
        out = tensor_irreps(**_of_irreps(options))
        if isinstance(out, CartesianTensor):
            return Predicted(per, (3,) * len(out.indices))
        return Predicted(per, (out.dim,) if out.dim > 1 else ())

    def forward(self, features: Features, graph: Graph) -> Tensor:
        """Values ``[N, ...]`` or ``[G, ...]``; a single scalar has no last dimension."""
        values = self.scale * self.linear(features.tensors)
        if any(mul > 1 for mul, _ in self.irreps_out):
            values = change_layout(values, self.irreps_out, "ir_mul", "mul_ir")
        if len(self.constants):
            values = torch.tensordot(values, self.constants[0], dims=1)
        elif values.shape[1] == 1:
            values = values.squeeze(1)
        return values if self.per == "atom" else sum_over_structures(values, graph)


def symmetry_missed(values: NDArray[np.float64], formula: str) -> float:
    """How far tensors are from having index symmetries: RMS of the rest, over that of all.

    Args:
        values: [n, 3, 3, ...].
        formula: as for :class:`~molnet.o3.CartesianTensor`.
    """
    tensors = torch.from_numpy(np.array(values, dtype=np.float64))
    symmetric = CartesianTensor(formula)
    rest = tensors - symmetric.to_cartesian(symmetric.from_cartesian(tensors))
    return float(rest.norm() / tensors.norm().clamp(min=1e-300))


def _of_irreps(options: dict[str, Any]) -> dict[str, Any]:
    return {key: options[key] for key in OF_IRREPS if key in options}
