"""Permission to free blocks, `<path>/release.json`: `blocks release` writes it, the worker's next sweep spends it.

The worker need not run when it is written: a released block is freed only once a run has read the chain. It holds for
one sweep, and lapses after a day: a forgotten permission must not meet other books beside the blocks.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import structlog

from pinning_worker.adapters.machine.json_lines import read_object, whole_number
from pinning_worker.adapters.machine.private_file import replace

LIFE_SECONDS = 86_400.0  # by the clock of the file system
RELEASE_FILE = "release.json"

log = structlog.get_logger(__name__)


class ReleaseFile:
    """Permission to free blocks that nothing in the books holds, up to so many bytes, once."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / RELEASE_FILE

    def bytes(self) -> int:
        """0 if nothing is released."""
        try:
            found = read_object(self._file)
            if found is None or time.time() - self._file.stat().st_mtime > LIFE_SECONDS:
                return 0
            return whole_number(found.get("bytes"))
        except (OSError, ValueError) as error:
            log.warning("blocks.release_not_read", file=str(self._file), why=str(error))
            return 0

    def spend(self) -> None:
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("blocks.release_stays", file=str(self._file), why=str(error), mend="remove it by hand")

    def write(self, most: int) -> None:
        """Raises OSError."""
        replace(self._file, json.dumps({"bytes": most}).encode() + b"\n")
