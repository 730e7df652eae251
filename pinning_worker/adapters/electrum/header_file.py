"""Our verified headers on disk: a flat file of 80 bytes each, and beside it a small file that says which of them count.

    headers-doichain.bin    position = (height - base) * 80
    headers-doichain.tip    {"base": 431396, "height": …, "hash": "…", "work": "0x…"}

The small file is replaced as a whole (written aside, synced, renamed), and it is the truth: it never names a header
that is not safely in the big one. So headers are first appended and synced, then the tip moves up; in a reorg the tip
first moves *down* to the fork, then the headers above it are replaced. A power cut at any moment leaves a chain that is
at worst a little shorter, and the next save cuts off all headers above the tip.

A start verifies everything again but the work (the AuxPow is not kept): linkage back from the tip's hash, the anchor,
the sum of work. A chain that fails is ignored: any server can supply it again. A sound chain that has another block at
the operator's checkpoint stops the start: one of the two is wrong, and only the operator knows which.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import structlog

from pinning_worker.adapters.machine.private_file import sync_folder
from pinning_worker.domain.chain.anchor import resume_chain
from pinning_worker.domain.chain.headerchain import HeaderChain
from pinning_worker.domain.chain.headers import HEADER_SIZE, BadHeader
from pinning_worker.domain.chain.networks import Network

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StoredTip:
    """Says which headers of the file count: those from `base` up to `height`, the last of which has this hash."""

    base: int
    height: int
    hash: str
    work: int

    def __post_init__(self) -> None:
        if not 0 <= self.base <= self.height:
            raise ValueError(f"no chain goes from {self.base} to {self.height}")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The headers to be stored, from `from_height` up to the tip; those below have not changed since the last save.
    `fork` is the header below them (None if there is none)."""

    from_height: int
    headers: bytes
    fork: StoredTip | None
    tip: StoredTip


def snapshot(chain: HeaderChain, from_height: int) -> Snapshot:
    """Copies the headers, so that a thread can write them while the chain moves on."""
    from_height = max(from_height, chain.base_height)
    fork = _stored_tip(chain, from_height - 1) if chain.has(from_height - 1) else None
    return Snapshot(from_height, chain.raw_from(from_height), fork, _stored_tip(chain, chain.tip_height))


def _stored_tip(chain: HeaderChain, height: int) -> StoredTip:
    return StoredTip(chain.base_height, height, chain.hash_at(height) or "", chain.work_at(height))


class HeaderFile:
    """The two files of one network, in the worker's data directory. Synchronous: call it in a thread."""

    def __init__(self, directory: Path, network: Network) -> None:
        self._network = network
        self._headers = directory / f"headers-{network.name}.bin"
        self._tip = directory / f"headers-{network.name}.tip"

    def load(self) -> HeaderChain | None:
        """Returns the stored chain, verified, or None if there is no usable one. Raises WrongCheckpoint."""
        tip = self._load_tip()
        if tip is None:
            return None
        try:
            raw = self._headers.read_bytes()[: (tip.height - tip.base + 1) * HEADER_SIZE]
            chain = resume_chain(self._network, tip.base, raw, tip.hash)
        except (BadHeader, OSError) as error:
            _log.warning("headers.chain_not_used", file=str(self._headers), why=str(error))
            return None
        if _stored_tip(chain, chain.tip_height) != tip:
            _log.warning("headers.chain_not_used", file=str(self._headers), why="another height or work")
            return None
        return chain

    def save(self, change: Snapshot) -> None:
        """Stores the change so that it survives a power cut. Raises OSError (a full disk) and keeps the older chain."""
        stored = self._load_tip()
        if change.fork is None or (stored is not None and stored.base != change.tip.base):
            self._tip.unlink(missing_ok=True)
        elif stored is not None and stored.height > change.fork.height:
            self._save_tip(change.fork)
        self._write_headers(change)
        self._save_tip(change.tip)

    def _write_headers(self, change: Snapshot) -> None:
        with os.fdopen(os.open(self._headers, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:
            file.seek((change.from_height - change.tip.base) * HEADER_SIZE)
            file.truncate()
            file.write(change.headers)
            file.flush()
            os.fsync(file.fileno())

    def _load_tip(self) -> StoredTip | None:
        try:
            fields = json.loads(self._tip.read_text(encoding="ascii"))
            return StoredTip(
                int(fields["base"]), int(fields["height"]), str(fields["hash"]), int(str(fields["work"]), 16)
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
            _log.warning("headers.tip_not_read", file=str(self._tip), why=repr(error))
            return None

    def _save_tip(self, tip: StoredTip) -> None:
        aside = self._tip.with_suffix(".new")
        with aside.open("w", encoding="ascii") as file:
            json.dump({"base": tip.base, "height": tip.height, "hash": tip.hash, "work": hex(tip.work)}, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._tip)
        sync_folder(self._tip.parent)
