"""Labelled structures on disk: building, opening, splitting, batching, and their statistics."""

from molnet.datasets.base import DataSet, DataSetError, MissingSettingsError, names_files
from molnet.datasets.batching import BatchSampler
from molnet.datasets.dataset import GraphDataset
from molnet.datasets.qm9_data_set import QM9
from molnet.datasets.references import ReferenceFit, fit_reference_energies, read_isolated_atoms
from molnet.datasets.splits import Split, load_split, random_split, save_split
from molnet.datasets.statistics import compute_statistics
from molnet.datasets.store import ArrayStore, StoreError, StoreWriter
from molnet.datasets.structure_files import Label, StructureFiles
from molnet.datasets.structures import open_structures

__all__ = [
    "QM9",
    "ArrayStore",
    "BatchSampler",
    "DataSet",
    "DataSetError",
    "GraphDataset",
    "Label",
    "MissingSettingsError",
    "ReferenceFit",
    "Split",
    "StoreError",
    "StoreWriter",
    "StructureFiles",
    "compute_statistics",
    "fit_reference_energies",
    "load_split",
    "names_files",
    "open_structures",
    "random_split",
    "read_isolated_atoms",
    "save_split",
]
