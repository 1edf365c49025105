"""A table of all attempts, shown at the end."""

from collections.abc import Iterator

import pytest

from tests.fuzz.harness import Tally


@pytest.fixture(scope="session")
def tally() -> Iterator[Tally]:
    """Counts the attempts of all tests of this folder."""
    tally = Tally()
    yield tally
    print(f"\n\n{tally.table()}\n")
