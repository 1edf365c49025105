"""Structure files as a data set that users choose: ``dataset=structures``."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from molnet.datasets.base import DataSet, DataSetError, MissingSettingsError, names_files
from molnet.datasets.missing import missing_settings
from molnet.datasets.store import ArrayStore
from molnet.datasets.structures import open_structures
from molnet.datasets.tally import LabelNotFoundError
from molnet.graph.frames import ReadingOptions, resolve_paths, units_in_files
from molnet.properties import Property, get_property

logger = logging.getLogger(__name__)


@dataclass
class Label:
    """Where a label is found in a structure file.

    Attributes:
        key: of ``atoms.info``, ``atoms.arrays`` or the calculator's results.
        unit: of the values there; None: the one that the file declares.
    """

    key: str
    unit: str | None = None


@dataclass(kw_only=True)
class StructureFiles(DataSet):
    """Structure files of any format that ASE reads.

    Attributes:
        path: a file, a glob, or a list of these.
        validation_path: files whose structures are the validation part, likewise; None: a part of
            those of ``path``.
        test_path: files whose structures are the test part.
        split_by: a key of ``atoms.info``; structures with the same value stay in one part.
        labels: where each property is found; only those that are asked for are read.
        isolated_atoms: see :func:`molnet.datasets.open_structures`, as the next one.
        accept_implausible: of distances and densities.
        format: see :class:`molnet.graph.frames.ReadingOptions`, as the next three.
        elements: a list or a mapping.
        positions_unit: of positions and cells.
        disorder: what to do about partly occupied sites.
    """

    remedy: ClassVar[str] = (
        "add dataset.labels.NAME.unit=UNIT, the unit of the values in your files"
    )

    path: Any = field(metadata=names_files())
    validation_path: Any = field(default=None, metadata=names_files())
    test_path: Any = field(default=None, metadata=names_files())
    split_by: str | None = None
    isolated_atoms: Any = field(default="auto", metadata=names_files("auto", None))
    labels: dict[str, Label] = field(default_factory=dict)
    accept_implausible: bool = False
    format: str | None = None
    elements: Any = None
    positions_unit: str | None = None
    disorder: str | None = None

    def __post_init__(self) -> None:
        others = ("validation_path", "test_path", "split_by")
        if self.split is not None and (given := [key for key in others if getattr(self, key)]):
            raise DataSetError(
                "dataset.split names the structures of every part, and so does "
                f"dataset.{given[0]}: leave one of them out"
            )

    def open(self, properties: Sequence[str], declared: Mapping[str, Property]) -> ArrayStore:
        """The store of the files, with labels for ``properties``."""
        wanted = {}
        for name in properties:
            is_virial = name == "stress" and "virial" in self.labels
            wanted["virial" if is_virial else name] = get_property(name, declared)
        if not wanted.keys() <= self._known().keys():
            raise self._missing(wanted)
        unused = [n for n, label in self.labels.items() if label.unit and n not in wanted]
        if unused:
            logger.info(
                "note: labels of %s are given, but not learned: the target has only %s",
                ", ".join(unused),
                ", ".join(wanted),
            )
        labels = {
            name: {"key": self.labels[name].key, "unit": self.labels[name].unit or ""}
            for name in wanted
        }
        try:
            return open_structures(
                self.path,
                labels,
                self.name,
                self.cache,
                dict(declared),
                self.verify,
                self.accept_implausible,
                self.reading,
                self.validation_path,
                self.test_path,
                self.split_by,
                self.isolated_atoms,
            )
        except LabelNotFoundError as error:
            raise self._missing(wanted) from error

    def labelled(self, properties: Sequence[str]) -> list[str]:
        """Those of ``properties`` whose unit is given, or declared by the files."""
        known = self._known()
        if "virial" in known:
            known["stress"] = known["virial"]
        return [name for name in properties if name in known]

    def _known(self) -> dict[str, Label]:
        """The labels of which the unit is given, or declared by the files."""
        declared_units = units_in_files(self.path, self.reading)
        return {
            name: label
            for name, label in self.labels.items()
            if label.unit is not None or label.key in declared_units
        }

    def _missing(self, wanted: Mapping[str, Property]) -> MissingSettingsError:
        return missing_settings(
            resolve_paths(self.path),
            self.reading,
            wanted,
            {name: (label.key, label.unit) for name, label in self.labels.items()},
            units_in_files(self.path, self.reading),
        )

    @property
    def reading(self) -> ReadingOptions:
        """What the options say about the files.

        Raises:
            DataSetError: an element, a unit or a way to treat disorder that is not known.
        """
        try:
            return ReadingOptions.of(self.format, self.elements, self.positions_unit, self.disorder)
        except ValueError as error:
            raise DataSetError(f"dataset: {error}") from error
