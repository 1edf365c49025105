"""Labelled structures on disk: building, opening, splitting, batching, and their statistics."""

from molnet.datasets.batching import BatchSampler
from molnet.datasets.dataset import GraphDataset
from molnet.datasets.references import ReferenceFit, fit_reference_energies, read_isolated_atoms
from molnet.datasets.splits import Split, load_split, random_split, save_split
from molnet.datasets.statistics import compute_statistics
from molnet.datasets.store import ArrayStore, StoreError, StoreWriter
from molnet.datasets.structures import open_structures

__all__ = [
    "ArrayStore",
    "BatchSampler",
    "GraphDataset",
    "ReferenceFit",
    "Split",
    "StoreError",
    "StoreWriter",
    "compute_statistics",
    "fit_reference_energies",
    "load_split",
    "open_structures",
    "random_split",
    "read_isolated_atoms",
    "save_split",
]
