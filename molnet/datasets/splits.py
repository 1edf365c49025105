"""Splits into training, validation and test structures: drawn by seed, recorded in a file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from molnet.stored import check_seal, read_object, sealed, write_whole

FORMAT_VERSION = 2
PARTS = ("train", "validation", "test")


class SplitError(ValueError):
    """A split that does not fit its data set, or a split file that cannot be used."""


@dataclass(frozen=True)
class Split:
    """Indices of structures, ascending, each in at most one part.

    Attributes:
        train: [n_train] int64.
        validation: [n_validation] int64.
        test: [n_test] int64.
        seed: of the random numbers; None for a split that was not drawn.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    seed: int | None = None

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """The three parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def sizes(self) -> dict[str, int]:
        """The number of structures in each part."""
        return {name: len(part) for name, part in self.parts.items()}


def random_split(
    n: int,
    train: int | float,
    validation: int | float,
    test: int | float | None = None,
    seed: int = 0,
) -> Split:
    """Draws three disjoint parts of ``n`` structures at random.

    The structures are shuffled once by the seed. The test part is taken first, then the validation
    part, then the training part. So if only the training size changes, the larger training set
    contains the smaller one, and the test structures stay the same.

    Args:
        n: number of structures in the data set.
        train: an integer is a number of structures, a float in [0, 1] a fraction of ``n``.
        validation: likewise.
        test: likewise; None takes all that is left.
        seed: the same seed draws the same split, on every machine.

    Raises:
        SplitError: a size is negative or a fraction above 1, the parts are larger than the data
            set, or no structure is left for training.
    """
    sizes = _sizes(n, {"train": train, "validation": validation, "test": test or 0})
    total = sum(sizes.values())
    listed = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    if total > n:
        raise SplitError(
            f"the split asks for {total:,} structures ({listed}), but the data set has {n:,}. "
            "Choose smaller dataset.train_size, dataset.validation_size or dataset.test_size."
        )
    if sizes["train"] == 0:
        raise SplitError(
            f"the split leaves no structure for training ({listed}, of {n:,}). Choose a larger "
            "dataset.train_size."
        )
    order = np.random.default_rng(seed).permutation(n)
    a, b, c = np.cumsum([sizes["test"], sizes["validation"], sizes["train"]])
    rest = order[c:] if test is None else order[:a]
    return Split(np.sort(order[b:c]), np.sort(order[a:b]), np.sort(rest), seed)


def _sizes(n: int, wanted: dict[str, int | float]) -> dict[str, int]:
    for name, size in wanted.items():
        if isinstance(size, bool) or size < 0 or (isinstance(size, float) and not size <= 1):
            raise SplitError(
                f"dataset.{name}_size: expected a number of structures or a fraction from 0.0 to "
                f"1.0, got {size!r}"
            )
    # Fractions are rounded at their borders, so that those that add up to 1 use every structure.
    sizes, border = {}, 0.0
    for name, size in wanted.items():
        if isinstance(size, float):
            sizes[name] = round((border + size) * n) - round(border * n)
            border += size
        else:
            sizes[name] = int(size)
    return sizes


def save_split(path: str | Path, split: Split, checksum: str) -> None:
    """Writes a split as JSON: seed, sizes, indices, and the checksum of its data set."""
    content = {
        "format_version": FORMAT_VERSION,
        "seed": split.seed,
        "sizes": split.sizes,
        "dataset_checksum": checksum,
        **{name: part.tolist() for name, part in split.parts.items()},
    }
    write_whole(Path(path), json.dumps(sealed(content)) + "\n")


def load_split(path: str | Path, n: int, checksum: str | None = None) -> Split:
    """Reads a split that :func:`save_split` wrote.

    Args:
        path: the JSON file.
        n: number of structures in the data set.
        checksum: of the data set on which the split is to be used; None skips this comparison.

    Raises:
        FileNotFoundError: no such file.
        SplitError: the file is damaged, or of another data set.
    """
    content = _read(Path(path))
    made_for = content["dataset_checksum"]
    if checksum is not None and checksum != made_for:
        raise SplitError(
            f"{path} was made for another data set (checksum {made_for[:16]}..., expected "
            f"{checksum[:16]}...). Use it with that data set, or draw a new split."
        )
    together = [index for name in PARTS for index in content[name]]
    if len(set(together)) != len(together) or not all(0 <= index < n for index in together):
        raise SplitError(
            f"{path}: expected indices from 0 to {n - 1}, each at most once. Draw a new split."
        )
    parts = {name: np.array(content[name], dtype=np.int64) for name in PARTS}
    return Split(**parts, seed=content["seed"])


def checksum_of_data(path: str | Path) -> str:
    """The checksum of the data set of a split.

    Raises:
        FileNotFoundError, SplitError: as :func:`load_split`.
    """
    return str(_read(Path(path))["dataset_checksum"])


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_object(path)
        version = content.get("format_version")
        if type(version) is int and version > FORMAT_VERSION:
            raise ValueError(
                f"it has format version {version}; this molnet reads {FORMAT_VERSION}: upgrade it"
            )
        check_seal(content, path.name)
        wrong = [
            *(name for name in PARTS if not _is_list_of_indices(content.get(name))),
            *(key for key in ("seed", "dataset_checksum") if key not in content),
        ]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: missing, or no list of indices")
    except ValueError as error:
        raise SplitError(
            f"{path} is not a split file, or is damaged: {error}. Draw a new split: a training run "
            "writes its own."
        ) from error
    return content


def _is_list_of_indices(value: Any) -> bool:
    return isinstance(value, list) and all(type(index) is int for index in value)
