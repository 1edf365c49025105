"""What is said of disordered structures."""

from collections.abc import Sequence
from typing import NoReturn

from molnet.graph.reading.errors import StructureFileError


def refuse_disorder(sites: Sequence[str], place: str) -> NoReturn:
    """Names the disordered sites and says how to go on."""
    named = ", ".join(sites[:6]) + (f" and {len(sites) - 6} more" if len(sites) > 6 else "")
    raise StructureFileError(
        f"{place} is disordered: {named} (in brackets the alternative and the occupancy). To fill "
        "each site with the most occupied of its alternatives, give disorder=majority; or order "
        "the structure yourself."
    )
