"""Splits: drawn by seed, disjoint, kept in a file with the identity of their data set."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molnet.datasets.splits import (
    SplitError,
    checksum_of_data,
    load_split,
    random_split,
    save_split,
)
from molnet.stored import sealed


@given(
    n=st.integers(1, 200),
    train=st.integers(1, 100),
    validation=st.integers(0, 60),
    test=st.none() | st.integers(0, 60),
    seed=st.integers(0, 2**32),
)
def test_parts_are_disjoint_and_of_the_sizes_asked_for(
    n: int, train: int, validation: int, test: int | None, seed: int
) -> None:
    if train + validation + (test or 0) > n:
        with pytest.raises(SplitError, match=f"but the data set has {n}"):
            random_split(n, train, validation, test, seed)
        return
    split = random_split(n, train, validation, test, seed)
    rest = n - train - validation if test is None else test
    assert split.sizes == {"train": train, "validation": validation, "test": rest}
    together = np.concatenate(list(split.parts.values()))
    assert len(np.unique(together)) == len(together)
    assert ((together >= 0) & (together < n)).all()


@pytest.mark.parametrize("n", [1, 3, 10, 97, 1000])
def test_fractions_use_every_structure(n: int) -> None:
    split = random_split(n, 0.8, 0.1, 0.1)
    assert sum(split.sizes.values()) == n
    assert split.sizes["train"] == round(0.8 * n)
    assert random_split(n, 1.0, 0.0, 0.0).sizes["train"] == n


def test_numbers_and_fractions_mix() -> None:
    assert random_split(100, 50, 0.1, None).sizes == {"train": 50, "validation": 10, "test": 40}


def test_the_seed_decides() -> None:
    first, again, other = (random_split(50, 30, 10, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.train, again.train)
    assert not np.array_equal(first.train, other.train)
    assert random_split(10, 4, 3, seed=0).train.tolist() == [3, 5, 7, 9]  # on every machine


def test_larger_training_sets_contain_the_smaller() -> None:
    small, large = random_split(100, 20, 10, 30), random_split(100, 60, 10, 30)
    assert set(small.train) < set(large.train)
    assert np.array_equal(small.test, large.test)
    assert np.array_equal(small.validation, large.validation)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((60, 30, 20), r"asks for 110 structures \(train 60, validation 30, test 20\).*has 100"),
        ((0, 10, 10), "no structure for training"),
        ((-1, 10, 10), r"train_size: expected .* got -1"),
        ((0.5, 1.5, 0), r"validation_size: expected .* got 1\.5"),
        ((10, 10, True), "test_size: expected .* got True"),
        ((10, float("nan"), 0), "validation_size: expected .* got nan"),
    ],
)
def test_sizes_that_do_not_fit(sizes: tuple, message: str) -> None:
    with pytest.raises(SplitError, match=message):
        random_split(100, *sizes)


def test_a_size_that_is_left_open_is_what_the_others_leave() -> None:
    assert random_split(50, None, 0.1).sizes == {"train": 40, "validation": 5, "test": 5}
    assert random_split(50, None, 5, 0).sizes == {"train": 45, "validation": 5, "test": 0}
    assert random_split(50, None, 0, 0).sizes == {"train": 50, "validation": 0, "test": 0}
    assert random_split(50, 10, 5).sizes == {"train": 10, "validation": 5, "test": 35}


@given(seed=st.integers(0, 2**32), groups=st.lists(st.integers(0, 12), min_size=40, max_size=90))
def test_groups_stay_together(seed: int, groups: list[int]) -> None:
    labels, n = np.array(groups), len(groups)
    try:
        split = random_split(n, None, 0.2, 0.2, seed, labels)
    except SplitError as error:
        assert "too small for a whole group" in str(error)  # noqa: PT017
        return
    assert sum(split.sizes.values()) == n
    parts = [set(labels[part]) for part in split.parts.values()]
    assert sum(map(len, parts)) == len(set(groups))
    largest = np.bincount(labels).max()
    assert abs(split.sizes["test"] - 0.2 * n) <= largest


def test_groups_too_large_for_a_part_are_refused() -> None:
    with pytest.raises(SplitError, match=r"the test part of 3 structures would be empty.* 2\."):
        random_split(30, None, 3, 3, groups=np.arange(30) // 15)


def test_a_split_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"train": [3, 0], "test": [1]}')
    split = load_split(path, 4, "abc", "def")
    assert split.sizes == {"train": 2, "validation": 0, "test": 1}
    assert split.train.tolist() == [0, 3]
    for text, message in (
        ('{"train": [0, 4]}', "train holds 4, but the data set has 4 structures"),
        ('{"train": [0, 1], "test": [1]}', "structure 1 is in train and in test"),
        ('{"train": []}', "train is empty"),
        ('{"train": [0], "valid": [1]}', "unknown 'valid': expected train, validation, test"),
        ('{"train": [0.5]}', "train: missing, or no list of indices"),
    ):
        path.write_text(text)
        with pytest.raises(SplitError, match=message):
            load_split(path, 4)


def test_a_split_serves_the_same_structures_with_other_labels(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    save_split(path, random_split(30, 20, 5), "abc", "structures")
    assert load_split(path, 30, "other labels", "structures").sizes["train"] == 20
    with pytest.raises(SplitError, match="made for another data set"):
        load_split(path, 30, "other labels", "other structures")


def test_a_saved_split_comes_back(tmp_path: Path) -> None:
    split = random_split(30, 20, 5, seed=7)
    save_split(tmp_path / "split.json", split, "abc")
    content = json.loads((tmp_path / "split.json").read_text())
    assert content["seed"] == 7
    assert content["sizes"] == {"train": 20, "validation": 5, "test": 5}
    assert content["dataset_checksum"] == "abc"
    loaded = load_split(tmp_path / "split.json", 30, "abc")
    assert loaded.seed == 7
    for name, part in split.parts.items():
        assert np.array_equal(loaded.parts[name], part)


def test_a_split_of_other_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    save_split(path, random_split(30, 20, 5), "abc")
    with pytest.raises(SplitError, match=r"made for another data set \(checksum abc"):
        load_split(path, 30, "def")
    with pytest.raises(SplitError, match="expected indices from 0 to 19"):
        load_split(path, 20)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(sealed(content | {"test": content["train"]})))
    with pytest.raises(SplitError, match="each at most once"):
        load_split(path, 30)
    path.write_text(json.dumps(content | {"format_version": 9}))
    with pytest.raises(SplitError, match="format version 9"):
        load_split(path, 30)
    with pytest.raises(FileNotFoundError):
        load_split(tmp_path / "none.json", 30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 8}, "has changed since it was written"),
        ({"test": [0, 1]}, "has changed since it was written"),
    ],
)
def test_an_edited_split_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "split.json"
    save_split(path, random_split(30, 20, 5, seed=7), "abc")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    for read in (lambda: load_split(path, 30), lambda: checksum_of_data(path)):
        with pytest.raises(SplitError, match=f"{message}.*Draw a new split"):
            read()


@pytest.mark.parametrize(
    "text",
    ['{"train": [1, 2', "", "[]", "null", "[" * 100_000, "\0", '{"content_sha256": 1}'],
)
def test_what_is_no_split_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(SplitError, match=r"split\.json is not a split file, or is damaged"):
        load_split(path, 30)


@pytest.mark.parametrize("train", ["0", {"0": 1}, [0.5], [True], ["0"], [[0]], None])
def test_indices_are_whole_numbers(tmp_path: Path, train: object) -> None:
    path = tmp_path / "split.json"
    save_split(path, random_split(30, 20, 5, seed=7), "abc")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(sealed(content | {"train": train})))
    with pytest.raises(SplitError, match="train: missing, or no list of indices"):
        load_split(path, 30)
    path.write_text(json.dumps(sealed(content | {"train": [10**30]})))
    with pytest.raises(SplitError, match="expected indices from 0 to 29"):
        load_split(path, 30)
