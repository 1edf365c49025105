"""The description of a convolution."""

import pytest

from molnet.kernels import Block, Path, Plan


def test_sizes_and_offsets() -> None:
    plan = Plan(
        inputs=(Block(1, 4), Block(3, 2)),
        output_dims=(1, 3),
        paths=(Path(0, 0, 0, 0), Path(0, 1, 1, 1), Path(1, 0, 1, 1), Path(1, 1, 1, 1)),
    )
    assert plan.outputs == (Block(1, 6), Block(3, 6))
    assert plan.matrix_sizes == (1, 3, 3, 9)
    assert plan.matrix_offsets == (0, 1, 4, 7)
    assert plan.weight_sizes == (4, 4, 2, 2)
    assert (plan.input_size, plan.output_size) == (10, 24)


def test_unsorted_paths_are_refused() -> None:
    with pytest.raises(ValueError, match="sorted by their input block"):
        Plan((Block(1, 1), Block(3, 1)), (1,), (Path(1, 0, 1, 0), Path(0, 0, 0, 0)))


def test_degrees_that_do_not_couple_are_refused() -> None:
    with pytest.raises(ValueError, match="l = 1 and 1 do not couple to 3"):
        Plan((Block(3, 1),), (7,), (Path(0, 0, 1, 0),))
