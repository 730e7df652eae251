"""The operator's denylist: CIDs that are never fetched, whoever asks and pays. One CID a line, `#` begins a comment.

A CID may be written in any version and base, also as `ipfs://<cid>` or `/ipfs/<cid>`. It stands for its block, whatever
the codec of a request.
"""

from __future__ import annotations

from pathlib import Path

from pinning_worker.domain.content.cid import BadCid, Root, UnsupportedCid, parse_cid


def read_denylist(path: Path) -> frozenset[Root]:
    """The `Cid.key` of each line. Raises ValueError (the rest of a sentence that begins with the setting's name)."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"names {path}, which is not UTF-8") from None
    except OSError as error:
        raise ValueError(f"names {path}, which cannot be read: {error.strerror}") from None
    keys = set()
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip().removeprefix("ipfs://").removeprefix("/ipfs/")
        if text:
            keys.add(_key(text, f"names {path}, whose line {number} is not a CID"))
    return frozenset(keys)


class DenylistFile:
    """The list as a file that may change while the worker runs; `path` None: nothing is denied."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def read(self) -> frozenset[Root]:
        """Raises ValueError like `read_denylist`."""
        self._seen = self._stamp()
        return read_denylist(self._path) if self._path is not None else frozenset()

    def is_changed(self) -> bool:
        """Whether the file has changed or disappeared since the last read."""
        return self._stamp() != self._seen

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat() if self._path is not None else None
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns) if found is not None else None


def _key(text: str, complaint: str) -> Root:
    try:
        return parse_cid(text).key
    except (BadCid, UnsupportedCid):
        raise ValueError(complaint) from None
