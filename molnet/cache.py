"""Where molnet keeps what it has built: converted data sets, compiled kernels, downloads."""

import os
from pathlib import Path

import platformdirs


def cache_folder(chosen: str | Path | None = None) -> Path:
    """The folder for built things: the chosen one, else $MOLNET_CACHE, else the user's cache."""
    place = chosen or os.environ.get("MOLNET_CACHE") or platformdirs.user_cache_dir("molnet")
    return Path(place).expanduser()
