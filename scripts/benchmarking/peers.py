"""Models of other packages on molnet's graphs. These packages are not dependencies of molnet.

Each model is built as in its own documentation, runs eagerly, and is called on prepared tensors,
without the package's own data pipeline.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.utils.data import dataloader

from benchmarking.systems import Size
from molnet.graph.container import Graph
from molnet.graph.elements import SYMBOLS
from molnet.models import Model
from molnet.models.interaction import Interaction


class MissingPeerError(ImportError):
    """A package to compare with is not installed, or cannot be imported."""


class Peer(NamedTuple):
    """A package to compare with.

    Attributes:
        column: its name in the table.
        make: builds its model with the species, cutoff and so on of a model of molnet.
    """

    column: str
    make: Callable[[Model, Size], nn.Module]


class NequIP(nn.Module):
    """NequIP's model with the same irreps, layers and radial MLPs as molnet's.

    Three differences remain: NequIP's first layer has no self-connection, its readout uses the last
    layer alone, and it differentiates the energy by the strain whenever it computes forces.
    """

    species_index: Tensor

    def __init__(self, model: Model, size: Size) -> None:
        super().__init__()
        with _default_dtype(torch.float64):  # NequIP sets it for good
            _package("nequip.utils.global_state", "nequip").set_global_state()
        models = _package("nequip.model", "nequip")
        first = cast(Interaction, model.network.interactions[0])
        num_radial, *hidden, _ = first.radial.mlp.hs
        self.forces = model.energy is not None
        self.register_buffer("species_index", model._species_index.clone())
        self.model = models.NequIPGNNModel(
            seed=0,
            model_dtype=str(model.dtype).removeprefix("torch."),
            r_max=size.cutoff,
            type_names=[SYMBOLS[number] for number in model.species],
            num_layers=size.layers,
            l_max=size.l_max,
            parity=False,
            num_features=size.channels,
            radial_mlp_depth=len(hidden),
            radial_mlp_width=hidden[0],
            num_bessels=num_radial,
            polynomial_cutoff_p=model.network.envelope.power,
            avg_num_neighbors=model.network.mean_neighbours,
            per_type_energy_scales=1.0,
            per_type_energy_shifts=0.0,
            do_derivatives=self.forces,
        )

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        """Energies ``[G]`` and forces ``[N, 3]``."""
        inputs = {
            "pos": graph.pos.detach().clone(),
            "atom_types": self.species_index[graph.species],
            "edge_index": graph.edge_index.flip(0),  # receivers first
            "batch": graph.batch,
            "num_atoms": graph.ptr.diff(),
        }
        if "shifts" in graph:
            inputs |= {"cell": graph.cell, "edge_cell_shift": graph.shifts}
        outputs = _with_gradients_for_forces(self.forces, self.model, inputs)
        return _named(outputs, "total_energy", "forces")


class PaiNN(nn.Module):
    """SchNetPack's PaiNN at its usual size: 128 features, 3 interactions, 20 Gaussians."""

    def __init__(self, model: Model, size: Size) -> None:
        super().__init__()
        if not hasattr(dataloader, "T_co"):
            # SchNetPack, up to 2.1.1, imports this type variable; torch 2.13 has renamed it.
            dataloader.T_co = TypeVar("T_co")  # type: ignore[attr-defined]
        schnetpack = _package("schnetpack", "schnetpack")
        self.forces = model.energy is not None
        outputs = [schnetpack.atomistic.Atomwise(n_in=128, output_key="energy")]
        if self.forces:
            outputs.append(schnetpack.atomistic.Forces())
        with _default_dtype(torch.float32):  # its Gaussians know no other
            self.model = schnetpack.model.NeuralNetworkPotential(
                representation=schnetpack.representation.PaiNN(
                    n_atom_basis=128,
                    n_interactions=3,
                    radial_basis=schnetpack.nn.GaussianRBF(n_rbf=20, cutoff=size.cutoff),
                    cutoff_fn=schnetpack.nn.CosineCutoff(size.cutoff),
                ),
                input_modules=[schnetpack.atomistic.PairwiseDistances()],
                output_modules=outputs,
            )
        self.model.to(model.dtype)

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        """Energies ``[G]`` and forces ``[N, 3]``."""
        senders, receivers = graph.edge_index
        offsets = graph.pos.new_zeros(len(senders), 3)
        if "shifts" in graph:
            offsets = torch.einsum("ea,eax->ex", graph.shifts, graph.cell[graph.batch[receivers]])
        inputs = {
            "_atomic_numbers": graph.species,
            "_positions": graph.pos.detach().clone(),
            "_idx_i": receivers,
            "_idx_j": senders,
            "_offsets": offsets,
            "_idx_m": graph.batch,
            "_n_atoms": graph.ptr.diff(),
        }
        outputs = _with_gradients_for_forces(self.forces, self.model, inputs)
        return _named(outputs, "energy", "forces")


PEERS = {"nequip": Peer("NequIP", NequIP), "schnetpack": Peer("PaiNN", PaiNN)}


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _package(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPeerError(
            f"the comparison with {package} needs the package {package}, which cannot be imported "
            f"({error}). Install it (pip install {package}), or leave it out of --peers."
        ) from error


def _with_gradients_for_forces(
    forces: bool, model: nn.Module, inputs: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Call a model, with gradients enabled if it differentiates its energy."""
    if not forces:
        return model(inputs)
    with torch.enable_grad():
        return model(inputs)


def _named(outputs: dict[str, Tensor], energy: str, forces: str) -> dict[str, Tensor]:
    named = {"energy": outputs[energy].flatten()}
    if forces in outputs:
        named["forces"] = outputs[forces]
    return named
