"""The chain of Doichain: our own verified headers, and the payments and names that servers show."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pinning_worker.domain.chain.nameop import NameOp
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.payment import Sighting, Tip


@dataclass(frozen=True, slots=True)
class NameOpAt:
    """A NameOp in a block of our best chain; every byte of it was checked against the verified merkle root."""

    txid: Txid
    position: int  # of the transaction in the block
    vout: int
    amount: int  # swartz in the name output
    op: NameOp


@dataclass(frozen=True, slots=True)
class BlockOfNames:
    height: int
    hash: str
    time: datetime
    ops: tuple[NameOpAt, ...]


class Chain(Protocol):
    """Our own verified headers, and the payments and names that servers show."""

    async def tip(self) -> Tip | None:
        """Our tip; None until our verified headers have reached a server's tip, once in this run."""

    async def is_seen(self) -> bool:
        """Whether a payment made now would be noticed soon. While it is False, nothing may be sold."""

    async def is_read(self) -> bool:
        """Whether the listener has received every payment that servers show, up to the chain's tip, in this run. Before
        that our books may be behind, and nothing may be freed."""

    async def has_block(self, height: int, block_hash: str) -> bool:
        """Whether our chain has that block. A block below our first header counts as in it."""

    async def watch(self, scripts: Collection[Script]) -> None:
        """Adds payment scripts to the watched ones."""

    async def name_ops(self, height: int) -> BlockOfNames | None:
        """The block's NameOps; None if our chain has no such block (any more). Raises Trouble if no server answers."""


class Past(Protocol):
    """The blocks below a known one, back to the first. Reading them keeps no payment and no new block waiting."""

    async def names_below(self, height: int, block_hash: str) -> Sequence[BlockOfNames]:
        """The NameOps of some blocks just below that one, the highest first, each the parent of the one before. Waits
        until there is one, for as long as it takes; empty if our chain does not have that block (any more), or no block
        below it holds a name. Asked again for the same block, it says the same."""


class ChainListener(Protocol):
    """The receiver of the chain watcher's news, such as the lifecycle. A repeated call does no harm."""

    async def payment_seen(self, sighting: Sighting) -> None: ...

    async def payment_gone(self, txid: Txid) -> None:
        """An unproven payment that no server shows any more. A server that is merely away is no reason."""

    async def tip_moved(self, tip: Tip, fork_height: int | None) -> None:
        """`fork_height`: the lowest height whose block was replaced, in a reorg."""
