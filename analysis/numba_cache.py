"""numba's compiled code where the file system is read-only: carried in the image, used from /tmp.

numba takes a cache folder only if it can write there; with none it refuses to load librosa at all.
An image is built with the cache filled in one folder, and runs with a writable one elsewhere (a
tmpfs). This locator fills the second from the first, function by function, as they are asked for;
what was not compiled at the build is compiled once and kept there until the container ends.

    NUMBA_CACHE_LOCATOR_CLASSES=analysis.numba_cache.SeededCacheLocator
    NUMBA_CACHE_DIR=/tmp/numba           the writable folder
    NUMBA_CACHE_SEED=/opt/worker/numba   the one that was filled at the build
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from numba.core.caching import UserProvidedCacheLocator

SEED_VARIABLE: Final = "NUMBA_CACHE_SEED"


class SeededCacheLocator(UserProvidedCacheLocator):
    """The folder of NUMBA_CACHE_DIR, filled from that of NUMBA_CACHE_SEED at first use."""

    def ensure_cache_path(self) -> None:
        """Fill this module's folder, then check as numba does that it can be written."""
        own = Path(self.get_cache_path())  # type: ignore[no-untyped-call]
        seed = os.environ.get(SEED_VARIABLE)
        if seed and not own.exists():
            fill(own, Path(seed) / own.name)
        super().ensure_cache_path()  # type: ignore[no-untyped-call]


def fill(folder: Path, seed: Path) -> None:
    """Copy a folder, so that others see all of it or none: analysis processes start together."""
    if not seed.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        copied = shutil.copytree(seed, Path(scratch) / folder.name)
        try:
            copied.rename(folder)
        except OSError:  # another process was first
            if not folder.is_dir():
                raise
