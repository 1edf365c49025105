"""QM9 as a data set that users choose: ``dataset=qm9``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from molnet.datasets.base import DataSet, names_files
from molnet.datasets.qm9 import UNITS, open_qm9
from molnet.datasets.store import ArrayStore
from molnet.properties import Property


@dataclass(kw_only=True)
class QM9(DataSet):
    """The molecules of QM9, see :mod:`molnet.datasets.qm9`.

    Attributes:
        source: ``"auto"``, ``"package"``, ``"download"``, or the path of a file or folder, see
            :func:`molnet.datasets.qm9.open_qm9`.
    """

    source: str = field(default="auto", metadata=names_files("auto", "package", "download"))

    def open(self, properties: Sequence[str], declared: Mapping[str, Property]) -> ArrayStore:
        """The store, which always has all labels of its source."""
        return open_qm9(self.source, self.cache, self.verify)

    def labelled(self, properties: Sequence[str]) -> list[str]:
        """Those of ``properties`` that QM9 has; polarizabilities are in ``qm9pack`` alone."""
        return [name for name in properties if name in UNITS or name == "polarizability"]
