"""The memory twin of signed receipts."""

from __future__ import annotations

from trio.lowlevel import checkpoint

from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.money.signed_receipt import receipt_cid


class MemorySignedReceipts:
    """Port SignedReceipts."""

    def __init__(self) -> None:
        self._blocks: dict[str, bytes] = {}

    async def put(self, key: str, block: bytes) -> None:
        await checkpoint()
        self._blocks[key] = block

    async def get(self, key: str) -> bytes | None:
        await checkpoint()
        return self._blocks.get(key)

    async def drop(self, key: str) -> None:
        await checkpoint()
        self._blocks.pop(key, None)

    async def block(self, multihash: Multihash) -> bytes | None:
        await checkpoint()
        return next((block for block in self._blocks.values() if receipt_cid(block).multihash == multihash), None)
