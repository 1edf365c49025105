"""Repulsion of nuclei that come closer than any bond, where no training data reaches."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from molnet.nn.radial import PolynomialEnvelope

COULOMB = 14.399645
"""e²/4πε₀ in eV Å."""

AMPLITUDES = (0.18175, 0.50986, 0.28022, 0.02817)
DECAYS = (3.19980, 0.94229, 0.40290, 0.20162)
"""The universal screening function, φ(x) = Σ_k a_k exp(−b_k x)."""

SHORTEST = 0.75
"""Where the repulsion ends, in units of the sum of the covalent radii: no bond is so short."""


class Repulsion(nn.Module):
    r"""Screened Coulomb repulsion of nuclei, which ends below the length of a bond.

    .. math::
        E_i = \tfrac12 \sum_{j} u\!\left(\frac{r_{ij}}{0.75 (R_i + R_j)}\right)
              \frac{e^2}{4\pi\epsilon_0} \frac{Z_i Z_j}{r_{ij}}\, \phi\!\left(
              \frac{r_{ij}}{a_{ij}}\right), \quad
        a_{ij} = \frac{0.46850\ \text{Å}}{Z_i^{0.23} + Z_j^{0.23}}

    with the universal screening function of Ziegler, Biersack & Littmark (The Stopping and Range of
    Ions in Solids, 1985), the polynomial envelope u with p = 6 and covalent radii R. Nothing is
    learned. Bonded atoms do not feel it, so training does not have to undo it.

    Args:
        numbers: atomic numbers of the S species.
        radii: their covalent radii, Å.
    """

    charges: Tensor
    radii: Tensor

    def __init__(self, numbers: Sequence[int], radii: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer(
            "charges", torch.tensor(numbers, dtype=torch.float64), persistent=False
        )
        self.register_buffer("radii", torch.tensor(radii, dtype=torch.float64), persistent=False)
        self.envelope = PolynomialEnvelope(1.0, power=6)

    def forward(
        self, species: Tensor, vectors: Tensor, senders: Tensor, receivers: Tensor
    ) -> Tensor:
        """The energy of each atom, ``[N]``, eV, in the dtype of the vectors.

        Args:
            species: indices into the S species, ``[N]``.
            vectors: of the edges, ``[E, 3]``, Å.
            senders, receivers: ``[E]``.
        """
        energies = vectors.new_zeros(len(species))
        with torch.no_grad():
            ends = SHORTEST * self._of(self.radii, species, senders, receivers).sum(0)
            near = (vectors.square().sum(1) < ends.square()).nonzero().squeeze(1)
        if len(near) == 0:
            # Still a function of the vectors, whose gradient is zero.
            return energies + 0 * vectors.sum()
        senders, receivers, ends = senders[near], receivers[near], ends[near].to(vectors)
        distances = vectors[near].norm(dim=1)
        z_i, z_j = self._of(self.charges, species, senders, receivers).to(vectors)
        x = distances * (z_i**0.23 + z_j**0.23) / 0.46850
        screening = sum(a * torch.exp(-b * x) for a, b in zip(AMPLITUDES, DECAYS, strict=True))
        pairs = self.envelope(distances / ends) * COULOMB * z_i * z_j / distances * screening
        return energies.index_add(0, receivers, pairs / 2)

    def with_gradient(
        self, species: Tensor, vectors: Tensor, senders: Tensor, receivers: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The energies, and the gradient of their sum by the vectors, not recorded by autograd."""
        with torch.inference_mode(False), torch.enable_grad():
            # Copies, since what inference mode made cannot be differentiated.
            vectors = vectors.clone().requires_grad_()
            energies = self(species.clone(), vectors, senders.clone(), receivers.clone())
            (gradient,) = torch.autograd.grad(energies.sum(), vectors)
        return energies.detach(), gradient

    @staticmethod
    def _of(table: Tensor, species: Tensor, senders: Tensor, receivers: Tensor) -> Tensor:
        """Values of both ends of each edge, ``[2, E]``."""
        return torch.stack([table[species[receivers]], table[species[senders]]])
