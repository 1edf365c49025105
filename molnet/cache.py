"""Places on disk: where molnet keeps what it has built, and what ``~`` means in a name."""

import os
from pathlib import Path

import platformdirs


def cache_folder(chosen: str | Path | None = None) -> Path:
    """The folder for built things: the chosen one, else $MOLNET_CACHE, else the user's cache."""
    place = chosen or os.environ.get("MOLNET_CACHE") or platformdirs.user_cache_dir("molnet")
    return from_home(place)


def from_home(path: str | Path) -> Path:
    """``path`` with ``~`` as the user's home; a name may also begin with ~ and mean nobody's."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no such user
        return Path(path)
