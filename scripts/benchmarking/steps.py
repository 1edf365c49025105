"""Training steps and evaluations of the model and of its peers on the same batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from ase import Atoms
from torch import Tensor, nn

from benchmarking.peers import PEERS
from benchmarking.systems import Size, describe, make_model, spread
from benchmarking.timing import Comparison, Timing, aligned
from benchmarking.twin import Twin
from molnet.graph import from_atoms
from molnet.graph.container import Graph
from molnet.models import FrozenModel, Model

QM9_TRAINING_SET = 110_000


class Batches(NamedTuple):
    """Batches of one set of structures, and the settings of the models.

    Attributes:
        structures: from which the batches are drawn.
        molecules: the sizes of the batches.
        size: of molnet's network, and of peers with the same architecture.
        dtype: of weights and positions.
        forces: whether energies come with forces.
        peers: names in :data:`benchmarking.peers.PEERS` to compare with beside the twin.
    """

    structures: Sequence[Atoms]
    molecules: Sequence[int]
    size: Size
    dtype: torch.dtype
    forces: bool
    peers: Sequence[str]

    def graphs(self) -> Iterator[Graph]:
        """The batches."""
        for number in self.molecules:
            yield from_atoms(spread(self.structures, number), self.size.cutoff, self.dtype)

    def models(self) -> dict[str, nn.Module]:
        """A model for each column, from graphs to ``energy`` and, if wanted, ``forces``."""
        ours = make_model(self.structures, self.size, self.dtype, self.forces)
        exact = make_model(self.structures, self.size, self.dtype, self.forces, num_knots=None)
        models = {"molnet": ours, "e3nn": Twin(exact).to(self.dtype)}
        for name in self.peers:
            column, make = PEERS[name]
            models[column] = make(exact, self.size)
        return models


def training(batches: Batches) -> Iterator[Comparison]:
    """Loss on energies and forces, its gradient, and a step of Adam."""
    models = batches.models()
    for graph in batches.graphs():
        yield Comparison(
            f"train, {describe(graph)}",
            {column: training_step(model, graph) for column, model in models.items()},
        )


def evaluating(batches: Batches) -> Iterator[Comparison]:
    """Energies and forces for given weights."""
    models = batches.models()
    for graph in batches.graphs():
        yield Comparison(
            f"evaluate, {describe(graph)}",
            {column: evaluation(model, graph) for column, model in models.items()},
        )


def thread_scaling(batches: Batches) -> Iterator[Comparison]:
    """The training step of molnet's model with two threads and with one."""
    model = make_model(batches.structures, batches.size, batches.dtype, batches.forces)
    for graph in batches.graphs():
        step = training_step(model, graph)
        yield Comparison(
            f"train, {describe(graph)}",
            {"2 threads": with_threads(2, step), "1 thread": with_threads(1, step)},
        )


def throughput(timings: Sequence[Timing], molecules: Sequence[int]) -> str:
    """Molecules a second, and how long one pass over QM9's usual training set takes."""
    rows = [["", "molecules/s", f"{QM9_TRAINING_SET:,} molecules take"]]
    for timing, number in zip(timings, molecules, strict=True):
        for column, milliseconds in timing.medians.items():
            rate = 1e3 * number / milliseconds
            rows.append(
                [
                    f"{column}, batches of {number}",
                    f"{rate:.0f}",
                    f"{QM9_TRAINING_SET / rate / 60:.1f} min",
                ]
            )
    return aligned(rows)


def with_threads(threads: int, run: Callable[[], object]) -> Callable[[], object]:
    """``run`` with this number of threads."""

    def with_its_threads() -> object:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return run()
        finally:
            torch.set_num_threads(before)

    return with_its_threads


def training_step(model: nn.Module, graph: Graph) -> Callable[[], object]:
    """A function that does one training step, with invented labels."""
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    counts = graph.ptr.diff()
    labels = {
        name: value.detach() + torch.randn_like(value) for name, value in model(graph).items()
    }

    def loss(outputs: Mapping[str, Tensor]) -> Tensor:
        total = ((outputs["energy"] - labels["energy"]) / counts).square().mean()
        if "forces" in outputs:
            total = total + (outputs["forces"] - labels["forces"]).square().mean()
        return total

    def run() -> object:
        optimizer.zero_grad(set_to_none=True)
        value = loss(model(graph))
        value.backward()
        optimizer.step()
        return value.detach()

    return run


def evaluation(model: nn.Module, graph: Graph) -> Callable[[], object]:
    """A function that evaluates a model in inference.

    molnet's model is frozen, as in predictions and calculators; the others are in evaluation mode
    without gradients of weights.
    """
    evaluated: Callable[[Graph], object]
    if isinstance(model, Model):
        evaluated = FrozenModel(model)
    else:
        evaluated = model.eval().requires_grad_(False)

    def run() -> object:
        with torch.no_grad():
            return evaluated(graph)

    return run
