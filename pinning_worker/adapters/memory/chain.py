"""The chain twin: blocks of transactions in a list, mined, reorganised and reported as the real watcher does."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pinning_worker.domain.chain.nameop import NameOp, NameOpCode
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.payment import PaymentProof, Proof, Sighting, Tip
from pinning_worker.ports.chain import BlockOfNames, ChainListener, NameOpAt
from pinning_worker.ports.world import Clock


@dataclass(frozen=True, slots=True)
class _Block:
    hash: str
    time: datetime
    transactions: tuple[Sighting, ...]


@dataclass(slots=True)
class MemoryChain:
    """A chain of its own, starting with one empty block. `listener` receives the news while it is set."""

    clock: Clock
    listener: ChainListener | None = None
    mempool: dict[str, Sighting] = field(default_factory=dict)
    scripts: set[Script] = field(default_factory=set)
    seen: bool = True
    past_at_once: int = 3  # blocks in one answer
    read: bool = False  # as of a watcher after a start, until it has reported everything
    _blocks: list[_Block] = field(default_factory=list)
    _mined: int = 0

    def __post_init__(self) -> None:
        self._append(())

    async def tip(self) -> Tip | None:
        last = self._blocks[-1]
        times = sorted(block.time for block in self._blocks[-11:])
        return Tip(len(self._blocks) - 1, last.hash, last.time, times[len(times) // 2])

    async def is_seen(self) -> bool:
        return self.seen

    async def is_read(self) -> bool:
        return self.read

    async def has_block(self, height: int, block_hash: str) -> bool:
        return 0 <= height < len(self._blocks) and self._blocks[height].hash == block_hash

    async def watch(self, scripts: Collection[Script]) -> None:
        self.scripts.update(scripts)

    async def names_below(self, height: int, block_hash: str) -> Sequence[BlockOfNames]:
        if not await self.has_block(height, block_hash):
            return []
        found = [await self.name_ops(below) for below in range(height - 1, max(0, height - 1 - self.past_at_once), -1)]
        return [block for block in found if block is not None]

    async def name_ops(self, height: int) -> BlockOfNames | None:
        if not 0 <= height < len(self._blocks):
            return None
        block = self._blocks[height]
        ops = tuple(
            NameOpAt(tx.txid, position, 0, 1_000_000, NameOp(NameOpCode.NAME_DOI, tx.name, tx.value, Script(b"")))
            for position, tx in enumerate(block.transactions)
            if tx.name is not None
        )
        return BlockOfNames(height, block.hash, block.time, ops)

    # ---------------------------------------------------------------- what a test does to it

    async def broadcast(self, sighting: Sighting) -> None:
        self.mempool[sighting.txid] = replace(sighting, proof=None)
        await self._tell(sighting)

    def transactions(self) -> list[str]:
        """The txids in all blocks."""
        return [tx.txid for block in self._blocks for tx in block.transactions]

    async def mine(self, blocks: int = 1, *, empty: bool = False) -> None:
        """`empty`: the miners take nothing from the mempool."""
        for _ in range(blocks):
            mined = () if empty else tuple(self.mempool.values())
            if not empty:
                self.mempool.clear()
            self._append(mined)
            for sighting in mined:
                await self._tell(sighting)
            await self._tell_tip(None)

    async def reorg(self, depth: int, *, drop: Collection[str] = ()) -> None:
        """Replaces the last `depth` blocks by `depth + 1` empty ones. Their transactions go back to the mempool, but
        those in `drop` (double spent) are gone."""
        fork = len(self._blocks) - depth
        undone = [tx for block in self._blocks[fork:] for tx in block.transactions]
        del self._blocks[fork:]
        for _ in range(depth + 1):
            self._append(())
        self.mempool |= {tx.txid: replace(tx, proof=None) for tx in undone if tx.txid not in drop}
        await self._tell_tip(fork)
        for tx in undone:
            await (self.evict(tx.txid) if tx.txid in drop else self._tell(tx))

    async def evict(self, txid: Txid) -> None:
        self.mempool.pop(txid, None)
        if self.listener is not None:
            await self.listener.payment_gone(txid)

    async def tell_everything(self) -> None:
        """Reports all that a watcher reports after a start: the tip, then the whole history of its scripts."""
        self.read = False
        await self._tell_tip(None)
        for block in self._blocks:
            for tx in block.transactions:
                await self._tell(tx)
        for tx in tuple(self.mempool.values()):
            await self._tell(tx)
        self.read = True

    def _append(self, transactions: tuple[Sighting, ...]) -> None:
        self._mined += 1
        time = self.clock.now().replace(microsecond=0)
        if self._blocks:
            time = max(time, self._blocks[-1].time + timedelta(seconds=1))
        self._blocks.append(_Block(hashlib.sha256(f"block {self._mined}".encode()).hexdigest(), time, transactions))

    async def _tell(self, sighting: Sighting) -> None:
        if self.listener is not None and sighting.outputs:
            proof = self._proof(sighting.txid)
            await self.listener.payment_seen(
                replace(sighting, proof=proof, payment_proof=_kept(sighting.txid, proof) if proof else None)
            )

    def _proof(self, txid: Txid) -> Proof | None:
        for height, block in enumerate(self._blocks):
            places = [place for place, tx in enumerate(block.transactions, start=1) if tx.txid == txid]  # 0: coinbase
            if places:
                return Proof(height, block.hash, block.time, places[0])
        return None

    async def _tell_tip(self, fork: int | None) -> None:
        tip = await self.tip()
        if self.listener is not None and tip is not None:
            await self.listener.tip_moved(tip, fork)


def _kept(txid: Txid, proof: Proof) -> PaymentProof:
    """The twin's transactions have no bytes: these stand for them, and prove nothing."""
    return PaymentProof(txid, bytes.fromhex(txid), bytes.fromhex(proof.block_hash) + bytes(48), proof.position, ())
