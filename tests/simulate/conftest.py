"""A model whose energies are known: ASE's Lennard-Jones potential in place of the network."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ase.calculators.lj import LennardJones
from torch import Tensor

from molnet.graph.container import Graph
from molnet.models import Model
from molnet.properties import Property

CUTOFF = 5.0
SIGMA = 2.2
NETWORK = {
    "cutoff": CUTOFF,
    "channels": 4,
    "l_max": 1,
    "num_layers": 1,
    "parity": False,
    "num_radial": 4,
    "radial_hidden": [8],
    "envelope_power": 6,
}


class LennardJonesModel(Model):
    """The potential of :class:`ase.calculators.lj.LennardJones`, shifted to zero at the cutoff.

    Its other properties are simple functions of the species. Everything around the network
    (forces, stress, units, batches) is the real model's.
    """

    def _evaluated(
        self, graph: Graph, species: Tensor, vectors: Tensor, bound: object, measure: bool = False
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        with torch.enable_grad():
            vectors = vectors.requires_grad_()
            outputs = self._values(graph, vectors)
            gradients = None
            if self.energy is not None:
                total = outputs[self.energy].sum()
                (gradients,) = torch.autograd.grad(total, vectors, materialize_grads=True)
        return {name: value.detach() for name, value in outputs.items()}, gradients

    def _values(self, graph: Graph, vectors: Tensor) -> dict[str, Tensor]:
        r6 = (SIGMA / vectors.norm(dim=1)) ** 6
        at_cutoff = (SIGMA / CUTOFF) ** 6
        pairs = 2.0 * (r6**2 - r6 - at_cutoff**2 + at_cutoff)  # a pair is two edges
        numbers = graph.species.to(vectors)
        zeros = vectors.new_zeros(graph.num_graphs)
        charge = zeros.index_add(0, graph.batch, numbers)
        values = {
            "energy": zeros.double().index_add(0, graph.batch[graph.edge_index[1]], pairs.double()),
            "dipole": torch.stack([charge, 2 * charge, -charge], dim=1),
            "charges": numbers / 10,
            "homo": -charge / 7,
            "polarizability": charge[:, None, None] * torch.arange(9.0).reshape(3, 3).to(vectors),
            "moments": vectors.new_ones(graph.num_nodes, 3, 3),
        }
        return {name: values[name] for name in self.heads}


def lennard_jones(
    *names: str, species: tuple[int, ...] = (1, 6, 8, 29), dtype: torch.dtype = torch.float64
) -> Model:
    heads: dict[str, dict[str, object]] = {
        "energy": {"kind": "extensive", "forces": True},
        "homo": {"kind": "intensive"},
        "charges": {"kind": "charges"},
        "dipole": {"kind": "dipole"},
        "polarizability": {"kind": "tensor", "irreps": "0e"},
        "moments": {"kind": "tensor", "irreps": "0e", "per": "atom"},
    }
    model = LennardJonesModel(
        NETWORK,
        {name: heads[name] for name in names or ("energy",)},
        species,
        {"mean_neighbours": 10.0},
        {"moments": Property("moments", "e*Å^2", "atom", (3, 3))},
    )
    return model.to(dtype).eval()


@pytest.fixture
def make_model() -> Callable[..., Model]:
    """``make_model(*properties, species=..., dtype=...)``; properties: those of the class above."""
    return lennard_jones


@pytest.fixture
def reference() -> LennardJones:
    """ASE's own implementation."""
    return LennardJones(sigma=SIGMA, epsilon=1.0, rc=CUTOFF, smooth=False)


@pytest.fixture
def make_dipole_model() -> Callable[[list[int]], Model]:
    """An untrained model of charges and dipoles in float64 that knows some total charges."""

    def make(total_charges: list[int]) -> Model:
        heads = {"charges": {"kind": "charges"}, "dipole": {"kind": "dipole"}}
        statistics = {"mean_neighbours": 5.0, "total_charges": total_charges}
        return Model(NETWORK, heads, [1, 6, 7, 8], statistics).double().eval()

    return make


@pytest.fixture
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder of the test."""
    monkeypatch.chdir(tmp_path)
