"""Labelled structures on disk: building, opening, splitting, batching, and their statistics."""

from typing import TYPE_CHECKING

from molnet.lazy import on_first_use

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

if not TYPE_CHECKING:  # else every name would be there
    # Processes that read structure files do without PyTorch.
    __getattr__ = on_first_use(
        __name__,
        {
            "base": ["DataSet", "DataSetError", "MissingSettingsError", "names_files"],
            "batching": ["BatchSampler"],
            "dataset": ["GraphDataset"],
            "qm9_data_set": ["QM9"],
            "references": ["ReferenceFit", "fit_reference_energies", "read_isolated_atoms"],
            "splits": ["Split", "load_split", "random_split", "save_split"],
            "statistics": ["compute_statistics"],
            "store": ["ArrayStore", "StoreError", "StoreWriter"],
            "structure_files": ["Label", "StructureFiles"],
            "structures": ["open_structures"],
        },
    )


def __dir__() -> list[str]:
    return sorted(__all__)
