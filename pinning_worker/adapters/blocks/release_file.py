"""What the operator lets go, `<path>/release.json`: written by `blocks release`, spent by the worker's next sweep.

The worker may run or not when it is written: what is released is freed only once a run has read the chain.
"""

from __future__ import annotations

import json
from pathlib import Path

import structlog

from pinning_worker.adapters.private_file import replace

RELEASE_FILE = "release.json"

log = structlog.get_logger(__name__)


class ReleaseFile:
    """Blocks that nothing in the books holds, up to so many bytes, once."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / RELEASE_FILE

    def bytes(self) -> int:
        """0 where nothing is released."""
        try:
            return int(json.loads(self._file.read_bytes())["bytes"])
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("blocks.release_unreadable", file=str(self._file), why=repr(error))
            return 0

    def spend(self) -> None:
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("blocks.release_stays", file=str(self._file), why=str(error), mend="remove it by hand")

    def write(self, most: int) -> None:
        """Raises OSError."""
        replace(self._file, json.dumps({"bytes": most}).encode() + b"\n")
