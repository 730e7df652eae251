"""Whether this user may use a block folder, checked before anything is written there.

A later check would come too late: the first receipt is written when somebody has paid.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pinning_worker.adapters.blocks.disk import ASIDE
from pinning_worker.adapters.blocks.mark_file import MARK_FILE
from pinning_worker.adapters.blocks.quarantine import FREED
from pinning_worker.adapters.blocks.quote_journal import JOURNAL as QUOTES
from pinning_worker.adapters.blocks.receipt_journal import JOURNAL as RECEIPTS
from pinning_worker.adapters.machine.disk_faults import is_usable, user_name
from pinning_worker.ports.world import NeedsMending

_FOLDERS, _FILES = (ASIDE, FREED), (MARK_FILE, RECEIPTS, QUOTES)


def require_usable(folder: Path) -> None:
    """Accepts a missing folder: it will be made. Raises NeedsMending, with the first path that is not ours to use."""
    for place in _places(folder):
        if not os.path.lexists(place):
            continue
        if place.name not in _FILES and not place.is_dir():
            raise NeedsMending(f"the blocks in {folder} cannot be used: {place} is no folder. Move it aside")
        if not is_usable(place):
            raise NeedsMending(
                f"the blocks in {folder} cannot be used: {place} is not to be read and written by user {user_name()}. "
                "All in there must be that user's, on a disk that can be written"
            )


def _places(folder: Path) -> Iterator[Path]:
    yield folder
    yield from (folder / name for name in (*_FOLDERS, *_FILES))
    yield from (folder / f"{last_byte:02x}" for last_byte in range(256))
