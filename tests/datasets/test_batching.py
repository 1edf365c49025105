"""Batches: every structure once, within the bounds, in an order that seed and epoch decide."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molnet.datasets.batching import BatchSampler


@given(
    sizes=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 200)), max_size=60),
    batch_size=st.integers(1, 10),
    max_atoms=st.none() | st.integers(1, 60),
    max_edges=st.none() | st.integers(1, 400),
    shuffle=st.booleans(),
)
def test_batches_are_whole_bounded_and_full(
    sizes: list[tuple[int, int]],
    batch_size: int,
    max_atoms: int | None,
    max_edges: int | None,
    shuffle: bool,
) -> None:
    atoms, edges = np.array(sizes, dtype=np.int64).reshape(-1, 2).T
    sampler = BatchSampler(atoms, edges, batch_size, max_atoms, max_edges, shuffle)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert sorted(i for batch in batches for i in batch) == list(range(len(sizes)))

    def fits(batch: list[int]) -> bool:
        return (
            len(batch) <= batch_size
            and (max_atoms is None or atoms[batch].sum() <= max_atoms)
            and (max_edges is None or edges[batch].sum() <= max_edges)
        )

    assert all(fits(batch) or len(batch) == 1 for batch in batches)
    for batch, following in pairwise(batches):
        assert not fits([*batch, following[0]])  # closed only because the next did not fit


def ones(n: int) -> np.ndarray:
    return np.ones(n, dtype=np.int64)


def test_without_shuffling_the_order_is_kept() -> None:
    sampler = BatchSampler(ones(5), ones(5), batch_size=2)
    assert list(sampler) == [[0, 1], [2, 3], [4]]
    sampler.set_epoch(3)
    assert list(sampler) == [[0, 1], [2, 3], [4]]


def test_seed_and_epoch_decide_the_order() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        sampler = BatchSampler(ones(50), ones(50), 4, shuffle=True, seed=seed)
        for earlier in range(epoch):  # having been through the epochs before changes nothing
            sampler.set_epoch(earlier)
            list(sampler)
        sampler.set_epoch(epoch)
        return list(sampler)

    direct = BatchSampler(ones(50), ones(50), 4, shuffle=True, seed=1)
    direct.set_epoch(2)
    assert list(direct) == order(1, 2)
    assert order(1, 2) != order(1, 1)
    assert order(1, 2) != order(2, 2)


def test_a_resumed_epoch_goes_on_where_it_stopped() -> None:
    sampler = BatchSampler(ones(50), ones(50), 4, shuffle=True)
    sampler.set_epoch(1)
    whole = list(sampler)
    sampler.set_epoch(1, skip=5)
    assert len(sampler) == len(whole)
    assert list(sampler) == whole[5:]
    assert list(sampler) == whole  # only the first pass is shortened


@pytest.mark.parametrize("bound", ["batch_size", "max_atoms", "max_edges"])
def test_bounds_are_positive(bound: str) -> None:
    with pytest.raises(ValueError, match=f"{bound}: expected a positive number, got 0"):
        BatchSampler(ones(5), ones(5), **({"batch_size": 1} | {bound: 0}))
    with pytest.raises(ValueError, match="as many edge counts as node counts"):
        BatchSampler(ones(5), ones(4), 1)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 200)), min_size=1, max_size=60),
    batch_size=st.integers(1, 10),
    processes=st.integers(1, 4),
)
def test_shares_of_processes_make_the_batches(
    sizes: list[tuple[int, int]], batch_size: int, processes: int
) -> None:
    atoms, edges = np.array(sizes, dtype=np.int64).T
    whole = list(BatchSampler(atoms, edges, batch_size, shuffle=True))
    shares = []
    for process in range(processes):
        sampler = BatchSampler(atoms, edges, batch_size, shuffle=True)
        sampler.share(processes, process)
        shares.append(list(sampler))
    for batch, *of_processes in zip(whole, *shares, strict=True):
        assert sorted(batch) == sorted(i for share in of_processes for i in share)
        work = [int((atoms + edges)[share].sum()) for share in of_processes]
        assert max(work) - min(work) <= int((atoms + edges)[batch].max())


def test_processes_have_the_same_work_where_structures_differ() -> None:
    atoms = np.array([60, 20, 20, 20, 3, 3, 3, 3])
    sampler = BatchSampler(atoms, 10 * atoms, batch_size=8)
    work = []
    for process in range(2):
        sampler.share(2, process)
        work.append(sum(int(atoms[share].sum()) for share in sampler))
    assert work == [66, 66]
