"""Structure files as a data set that users choose: ``dataset=structures``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from molnet.datasets.base import DataSet, DataSetError, names_files
from molnet.datasets.store import ArrayStore
from molnet.datasets.structures import open_structures
from molnet.graph.frames import ReadingOptions, units_in_files
from molnet.properties import Property


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
        accept_implausible: see :func:`molnet.datasets.open_structures`.
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
        declared_units = self._declared_units()
        labels: dict[str, dict[str, str]] = {}
        for name in properties:
            label = self.labels.get(name)
            if name == "stress" and "virial" in self.labels:
                name, label = "virial", self.labels["virial"]
            if label is None:
                raise DataSetError(
                    f"the target {name!r} needs labels: say where they are with "
                    f"'+dataset.labels.{name}={{key: KEY, unit: UNIT}}'"
                )
            if label.unit is None and label.key not in declared_units:
                raise DataSetError(
                    f"the unit of {name!r} is not given: add dataset.labels.{name}.unit=UNIT, the "
                    f"unit of the values in your files, e.g. eV"
                )
            labels[name] = {"key": label.key, "unit": label.unit or ""}
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
        )

    def labelled(self, properties: Sequence[str]) -> list[str]:
        """Those of ``properties`` whose unit is given, or declared by the files."""
        declared_units = self._declared_units()
        known = {
            name
            for name, label in self.labels.items()
            if label.unit is not None or label.key in declared_units
        }
        if "virial" in known:
            known.add("stress")
        return [name for name in properties if name in known]

    def _declared_units(self) -> dict[str, str]:
        return units_in_files(self.path, self.reading)

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
