"""Labelled structures on disk: building, opening, splitting, batching, and their statistics."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULES = {
    "DataSet": "base",
    "DataSetError": "base",
    "MissingSettingsError": "base",
    "names_files": "base",
    "BatchSampler": "batching",
    "GraphDataset": "dataset",
    "QM9": "qm9_data_set",
    "ReferenceFit": "references",
    "fit_reference_energies": "references",
    "read_isolated_atoms": "references",
    "Split": "splits",
    "load_split": "splits",
    "random_split": "splits",
    "save_split": "splits",
    "compute_statistics": "statistics",
    "ArrayStore": "store",
    "StoreError": "store",
    "StoreWriter": "store",
    "Label": "structure_files",
    "StructureFiles": "structure_files",
    "open_structures": "structures",
}


if not TYPE_CHECKING:  # else every name would be there

    def __getattr__(name: str) -> Any:
        """Import on first use: processes that read structure files do without PyTorch."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return found


def __dir__() -> list[str]:
    return sorted(__all__)
