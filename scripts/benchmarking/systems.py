"""Structures and models of the benchmarks."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms

from molnet.graph import from_atoms
from molnet.graph.container import Graph
from molnet.graph.frames import read_frames, resolve_paths
from molnet.models import Model

ROOT = Path(__file__).resolve().parents[2]
ACETYLACETONE = ROOT.parent / "shared" / "data" / "acac" / "train_300K.xyz"
BUNDLED = ROOT / "data" / "organic" / "organic.extxyz.gz"
QM9_SAMPLE = 1000


class TooFewStructuresError(ValueError):
    """A batch needs more structures than there are."""


class Size(NamedTuple):
    """Settings of a network."""

    cutoff: float
    l_max: int
    channels: int
    layers: int

    def __str__(self) -> str:
        return (
            f"cutoff {self.cutoff} Å, l up to {self.l_max}, {self.channels} channels, "
            f"{self.layers} layers"
        )


def read_structures(path: Path | None, qm9: bool) -> tuple[str, list[Atoms]]:
    """Structures and what to call them.

    Args:
        path: any file that ASE reads; None for acetylacetone at 300 K where the checkout has the
            published sets beside it, and else for the bundled organic set.
        qm9: a sample of QM9 instead.
    """
    if qm9:
        return "QM9", _qm9_sample()
    if path is None:
        path = ACETYLACETONE if ACETYLACETONE.is_file() else BUNDLED
    files = resolve_paths(path)
    return path.name, [atoms for file in files for atoms in read_frames(file)]


def _qm9_sample() -> list[Atoms]:
    from molnet.datasets.qm9 import open_qm9

    store = open_qm9()
    chosen = np.random.default_rng(0).choice(len(store), QM9_SAMPLE, replace=False)
    rows = [slice(store.offsets[i], store.offsets[i + 1]) for i in chosen]
    return [Atoms(store.species[row], store.positions[row]) for row in rows]


def spread(structures: Sequence[Atoms], number: int) -> list[Atoms]:
    """``number`` of the structures, evenly spread over all of them.

    Raises:
        TooFewStructuresError: there are fewer structures.
    """
    if not 1 <= number <= len(structures):
        raise TooFewStructuresError(
            f"expected a number of molecules from 1 to {len(structures)}, the number of "
            f"structures, got {number}. Change --molecules or --frames."
        )
    return [structures[i * len(structures) // number] for i in range(number)]


def make_model(
    structures: Sequence[Atoms], size: Size, dtype: torch.dtype, forces: bool, **network: Any
) -> Model:
    """An untrained model for these structures.

    Args:
        structures: they give the species, and the mean number of neighbours.
        size: of the network.
        dtype: of the weights.
        forces: whether the model has forces beside the energy.
        network: further settings of :class:`molnet.models.network.Network`.
    """
    graph = from_atoms(list(islice(structures, 100)), size.cutoff)
    settings = {
        "cutoff": size.cutoff,
        "l_max": size.l_max,
        "channels": size.channels,
        "num_layers": size.layers,
        "correlation": 1,  # the networks that it is compared with have no products of messages
        **network,
    }
    head = {"kind": "extensive", "forces": True} if forces else {"kind": "extensive"}
    species = sorted({int(number) for atoms in structures for number in atoms.numbers})
    statistics = {"mean_neighbours": max(graph.num_edges / graph.num_nodes, 1.0)}
    return Model(settings, {"energy": head}, species, statistics).to(dtype)


def describe(graph: Graph) -> str:
    """How large a batch is."""
    return f"{graph.num_graphs} molecules, {len(graph.pos)} atoms, {graph.num_edges} edges"
