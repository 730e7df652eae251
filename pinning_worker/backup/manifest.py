"""The contents of a back-up: `backup.json`. It is written last; a back-up without it is not whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pinning_worker.backup.errors import Damaged
from pinning_worker.domain.store_mark import Mark

MANIFEST = "backup.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """`files`: the sha256 of each file but the blocks, by its place. `missing`: kept blocks that were not found."""

    made: str
    network: str
    mark: Mark
    revision: str | None  # of the database; None: the back-up has no database (PostgreSQL)
    blocks: int
    block_bytes: int
    files: Mapping[str, str]
    missing: tuple[str, ...] = ()
    version: int = field(default=VERSION)

    def written(self) -> bytes:
        return json.dumps(asdict(self), indent=2).encode() + b"\n"


def read_manifest(file: Path) -> Manifest:
    """Raises Damaged, FileNotFoundError."""
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
        version = int(found["version"])
        if version != VERSION:
            raise Damaged(f"{file} is of version {version}, and this program knows {VERSION}: use a newer one")
        mark = Mark(str(found["mark"]["id"]), int(found["mark"]["starts"]))
        files = {str(place): str(digest) for place, digest in found["files"].items()}
        return Manifest(**found | {"mark": mark, "files": files, "missing": tuple(found["missing"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{file} is damaged ({error}): the back-up cannot be trusted. Take another one") from error


def sha256_of(file: Path) -> str:
    """Raises OSError."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
