"""Splits into training, validation and test structures: drawn by seed, or read from a file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from molnet.stored import SEAL, check_seal, read_object, sealed, write_whole

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
    train: int | float | None,
    validation: int | float,
    test: int | float | None = None,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Split:
    """Draws three disjoint parts of ``n`` structures at random.

    The structures are shuffled once by the seed. The test part is taken first, then the validation
    part, then the training part. So if only the training size changes, the larger training set
    contains the smaller one, and the test structures stay the same.

    Args:
        n: number of structures in the data set.
        train: an integer is a number of structures, a float in [0, 1] a fraction of ``n``; None
            takes all that is left.
        validation: likewise, but not None.
        test: likewise; None takes all that is left, or as many as ``validation`` if ``train`` is
            None too.
        seed: the same seed draws the same split, on every machine.
        groups: [n]; structures of one group stay in one part. Each part ends with the group that
            brings it nearest to its size.

    Raises:
        SplitError: a size is negative or a fraction above 1, the parts are larger than the data
            set, or no structure is left for training.
    """
    if train is None and test is None:
        test = validation
    sizes = _sizes(n, {"train": train or 0, "validation": validation, "test": test or 0})
    if train is None:
        sizes["train"] = max(n - sizes["validation"] - sizes["test"], 0)
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
    rng = np.random.default_rng(seed)
    borders = np.cumsum([sizes["test"], sizes["validation"], sizes["train"]])
    if groups is None:
        order = rng.permutation(n)
    else:
        order, ends = _in_groups(groups, rng)
        borders = ends[np.abs(ends[:, None] - borders).argmin(axis=0)]
        _check_parts_of_groups(sizes, np.diff(borders, prepend=0), len(ends) - 1)
    a, b, c = borders
    rest = order[c:] if test is None else order[:a]
    return Split(np.sort(order[b:c]), np.sort(order[a:b]), np.sort(rest), seed)


def _in_groups(groups: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Structures group by group, the groups in random order; and where groups end, from 0."""
    names, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return np.argsort(place[group], kind="stable"), np.append(0, np.cumsum(counts[order]))


def _check_parts_of_groups(wanted: dict[str, int], found: np.ndarray, groups: int) -> None:
    for name, size in zip(("test", "validation", "train"), found.tolist(), strict=True):
        if wanted[name] and not size:
            raise SplitError(
                f"the {name} part of {wanted[name]:,} structures would be empty, as its share is "
                f"too small for a whole group, of which there are {groups:,}. Choose a larger "
                f"dataset.{name}_size, another dataset.split_seed, or leave dataset.split_by out."
            )


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


def save_split(
    path: str | Path, split: Split, checksum: str, structures: str | None = None
) -> None:
    """Writes a split as JSON: seed, sizes, indices, and the checksums of its data set."""
    content = {
        "format_version": FORMAT_VERSION,
        "seed": split.seed,
        "sizes": split.sizes,
        "dataset_checksum": checksum,
        **({} if structures is None else {"structures_checksum": structures}),
        **{name: part.tolist() for name, part in split.parts.items()},
    }
    write_whole(Path(path), json.dumps(sealed(content)) + "\n")


def load_split(
    path: str | Path, n: int, checksum: str | None = None, structures: str | None = None
) -> Split:
    """Reads a split that :func:`save_split` wrote, or one that you have written yourself.

    Yours is ``{"train": [0, 1, 5], "validation": [2], "test": [3, 4]}``: the structures of each
    part, counted from 0. ``validation`` and ``test`` may be left out.

    Args:
        path: the JSON file.
        n: number of structures in the data set.
        checksum: of the data set on which the split is to be used; None skips this comparison.
        structures: :attr:`~molnet.datasets.ArrayStore.structures_checksum` of that data set: the
            same structures with other labels may have the same split.

    Raises:
        FileNotFoundError: no such file.
        SplitError: the file is damaged, or of another data set.
    """
    content = _read(Path(path))
    made_for: str | None = content.get("dataset_checksum")
    same_structures = structures is not None and content.get("structures_checksum") == structures
    if checksum and made_for and checksum != made_for and not same_structures:
        raise SplitError(
            f"{path} was made for another data set (checksum {made_for[:16]}..., expected "
            f"{checksum[:16]}...). Use it with that data set, or draw a new split."
        )
    owner: dict[int, str] = {}
    for name in PARTS:
        for index in content[name]:
            if not 0 <= index < n:
                raise SplitError(
                    f"{path}: {name} holds {index}, but the data set has {n:,} structures: "
                    f"expected indices from 0 to {n - 1}"
                )
            if index in owner:
                raise SplitError(
                    f"{path}: structure {index} is in {owner[index]} and in {name}: expected each "
                    "at most once"
                )
            owner[index] = name
    parts = {name: np.sort(np.array(content[name], dtype=np.int64)) for name in PARTS}
    if not len(parts["train"]):
        raise SplitError(f"{path}: train is empty: there is no structure to train on")
    return Split(**parts, seed=content.get("seed"))


def checksum_of_data(path: str | Path) -> str:
    """The checksum of the data set of a split.

    Raises:
        FileNotFoundError, SplitError: as :func:`load_split`.
    """
    return str(_read(Path(path)).get("dataset_checksum"))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_object(path)
        version = content.get("format_version")
        if type(version) is int and version > FORMAT_VERSION:
            raise ValueError(
                f"it has format version {version}; this molnet reads {FORMAT_VERSION}: upgrade it"
            )
        if SEAL in content or "format_version" in content:
            check_seal(content, path.name)
            required = ["seed", "dataset_checksum"]
        else:  # the user's own
            if unknown := content.keys() - set(PARTS):
                raise ValueError(f"unknown {min(unknown)!r}: expected {', '.join(PARTS)}")
            content = {"validation": [], "test": []} | content
            required = []
        wrong = [
            *(name for name in PARTS if not _is_list_of_indices(content.get(name))),
            *(key for key in required if key not in content),
        ]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: missing, or no list of indices")
    except ValueError as error:
        raise SplitError(
            f"{path} is not a split file, or is damaged: {error}. Draw a new split: a training run "
            'writes its own. Or write {"train": [0, 1, 5], "validation": [2], "test": [3, 4]}.'
        ) from error
    return content


def _is_list_of_indices(value: Any) -> bool:
    return isinstance(value, list) and all(type(index) is int for index in value)
