"""The memory twin of receipts: it keeps for the life of the process what the SQL one keeps over a restart."""

from __future__ import annotations

from collections.abc import Sequence

from trio.lowlevel import checkpoint

from pinning_worker.domain.money.receipt import Receipt


class MemoryReceipts:
    """Port Receipts."""

    def __init__(self) -> None:
        self._receipts: dict[str, Receipt] = {}

    async def put(self, receipt: Receipt) -> None:
        await checkpoint()
        self._receipts[receipt.key] = receipt

    async def get(self, key: str) -> Receipt | None:
        await checkpoint()
        return self._receipts.get(key)

    async def all(self) -> Sequence[Receipt]:
        await checkpoint()
        return [self._receipts[key] for key in sorted(self._receipts)]
