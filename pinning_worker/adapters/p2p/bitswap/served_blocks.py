"""The blocks that peers may have: the content on the shelf, and the signed receipts beside it.

Receipts lie with the books, so no sweep, no lapse and no quota touches them.
"""

from __future__ import annotations

from dataclasses import dataclass

from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.ports.books import SignedReceipts
from pinning_worker.ports.content import Blocks


@dataclass(frozen=True, slots=True)
class ServedBlocks:
    blocks: Blocks
    receipts: SignedReceipts

    async def get(self, multihash: Multihash) -> bytes | None:
        receipt = await self.receipts.block(multihash)
        return receipt if receipt is not None else await self.blocks.get(multihash)

    async def size(self, multihash: Multihash) -> int | None:
        receipt = await self.receipts.block(multihash)
        return len(receipt) if receipt is not None else await self.blocks.size(multihash)
