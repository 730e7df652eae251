"""The source of a back-up: the places of a worker's data, and the files to copy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pinning_worker.adapters.sql.sqlite_file import sqlite_path
from pinning_worker.backup.errors import WrongPlace
from pinning_worker.backup.folder import BLOCKS

# Files to copy if they exist. The rest of a data directory can be downloaded (headers) or belongs to a process (lock).
SMALL_FILES = (
    "identity.key",
    "swarm.key",
    "bootstrap.peers",
    "webrtc.pem",
    "network",
    f"{BLOCKS}/receipts.jsonl",
    f"{BLOCKS}/quotes.jsonl",
    f"{BLOCKS}/tariffs.jsonl",
    f"{BLOCKS}/ledger.jsonl",
)


@dataclass(frozen=True, slots=True)
class Source:
    """`data_dir` and the database's file are absolute. `database`: None for PostgreSQL."""

    data_dir: Path
    network: str
    database_url: str

    @property
    def database(self) -> Path | None:
        return sqlite_path(self.database_url)

    @property
    def blocks(self) -> Path:
        return self.data_dir / BLOCKS

    def require_ours(self) -> None:
        """Raises WrongPlace for any user but the owner: root would leave files that the worker cannot read."""
        try:
            owner = self.data_dir.stat().st_uid
        except OSError as error:
            raise WrongPlace(
                f"the data directory {self.data_dir} cannot be used: {error.strerror} (PINNING_DATA_DIR names it)"
            ) from error
        if owner != os.geteuid():
            raise WrongPlace(
                f"the data directory {self.data_dir} belongs to user {owner}, and you are {os.geteuid()}: run this as "
                "the worker's user (`runuser -u pinning-worker -- …`)"
            )

    def require_apart(self, target: Path) -> None:
        """Raises WrongPlace if one folder contains the other."""
        if target == self.data_dir or self.data_dir in target.parents or target in self.data_dir.parents:
            raise WrongPlace(f"{target} and the data directory {self.data_dir} must not lie in each other")
