"""What every data set is: a class that states its options and labels, and opens its store."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from molnet.datasets.store import ArrayStore
from molnet.properties import Property


class DataSetError(ValueError):
    """The options of a data set do not fit together, or not to its files or to what is asked."""


class MissingSettingsError(DataSetError):
    """Settings are missing that only the user can give.

    Attributes:
        settings: those to give, by key; what the user has to choose stands in capitals.
    """

    def __init__(self, message: str, settings: Mapping[str, str]) -> None:
        super().__init__(message)
        self.settings = dict(settings)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.settings)


def names_files(*words: str | None) -> dict[str, Any]:
    """The metadata of a field that names a file or folder, a glob, or a list of these.

    The command line makes the names absolute: they are relative to the folder in which the command
    was typed.

    Args:
        words: values that are no names of files.
    """
    return {NAMES_FILES: words}


NAMES_FILES = "names_files"


@dataclass(kw_only=True)
class DataSet(ABC):
    """Labelled structures, how they are split, and how they are batched.

    A data set is one subclass, with a typed field for each option, and one file in
    ``conf/dataset``, which names the class and gives values. The class may be anywhere in Python's
    path::

        @dataclass(kw_only=True)
        class Peptides(DataSet):
            folder: str = field(metadata=names_files())

            def open(self, properties, declared):
                labels = {"energy": {"key": "E", "unit": "Hartree"}}
                return open_structures(f"{self.folder}/*.xyz", labels, self.name, self.cache)

            def labelled(self, properties):
                return [name for name in properties if name == "energy"]

    and in ``conf/dataset/peptides.yaml``::

        # @target energy
        _target_: my_package.Peptides
        name: peptides
        folder: /data/peptides
        train_size: 0.8
        validation_size: 0.1

    The first lines, ``# @target``, ``# @model`` and ``# @trainer``, name what a training on the
    data set starts from, unless the command line chooses otherwise.

    ``__post_init__`` may check the options. Whatever the user can mend is a :class:`DataSetError`
    (or any ``ValueError`` in ``__post_init__``), which the command line shows in one line.

    Attributes:
        remedy: what the user can do where there are no labels.
        name: in what a run prints and records.
        level_of_theory: of the labels, in words, e.g. ``"PBE/def2-TZVP"``; it is recorded in the
            model. None: not stated.
        cache: folder for the converted data; see :func:`molnet.cache.cache_folder`.
        verify: see :meth:`molnet.datasets.store.ArrayStore.open`.
        train_size: structures to train on: a count, or a fraction of all; None: what the other
            parts leave over.
        validation_size: structures to choose the best epoch by.
        test_size: structures to measure errors on; None: what the other parts leave over, or as
            many as ``validation_size`` where that is asked of ``train_size`` too.
        split_seed: of the random split.
        split: a file that says which structure belongs to which part, in place of a random split;
            see :func:`molnet.datasets.load_split`.
        batch_size: most structures in a batch.
        max_atoms: most atoms in a batch; None: no limit.
        max_edges: most edges in a batch; None: no limit.
        workers: processes that prepare batches; 0: the training process itself.
    """

    remedy: ClassVar[str] = "choose another data set"

    name: str
    level_of_theory: str | None = None
    cache: str | None = field(default=None, metadata=names_files())
    verify: bool = False
    train_size: int | float | None = None
    validation_size: int | float = 0.1
    test_size: int | float | None = None
    split_seed: int = 0
    split: str | None = field(default=None, metadata=names_files())
    batch_size: int = 16
    max_atoms: int | None = None
    max_edges: int | None = None
    workers: int = 0

    @abstractmethod
    def open(self, properties: Sequence[str], declared: Mapping[str, Property]) -> ArrayStore:
        """The store of all structures; built when first used.

        Args:
            properties: labels that the store must have; it may have more.
            declared: properties beyond :data:`molnet.properties.PROPERTIES`.

        Raises:
            DataSetError: the options do not say what is needed for these labels.
            ValueError: the data cannot be used; the message names file and frame.
        """

    @abstractmethod
    def labelled(self, properties: Sequence[str]) -> list[str]:
        """Those of ``properties`` that :meth:`open` can be asked for."""
