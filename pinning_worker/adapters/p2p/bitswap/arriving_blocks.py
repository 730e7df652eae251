"""The block store as sessions see it: a block that another session is writing is awaited, not asked of the network.

Otherwise a session that looks for a block after its twin has received it, and before its twin has written it, would ask
the network again; and Helia does not answer that for five seconds. A block in quarantine comes back when a session
looks for it, so owed or repeated content is not fetched twice.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.ports.content import Blocks


class Shelf:
    """`stored` is called with the multihash of each block once it is written."""

    def __init__(self, blocks: Blocks, stored: Callable[[Multihash], None]) -> None:
        self._blocks = blocks
        self._stored = stored
        self._writing: dict[Multihash, trio.Event] = {}

    async def put(self, multihash: Multihash, data: bytes) -> None:
        """Raises the store's errors."""
        written = self._writing.setdefault(multihash, trio.Event())
        try:
            await self._blocks.put(multihash, data)
        finally:
            written.set()
            self._writing.pop(multihash, None)
        self._stored(multihash)

    async def get(self, multihash: Multihash) -> bytes | None:
        await self._settled(multihash)
        return await self._blocks.get(multihash)

    async def size(self, multihash: Multihash) -> int | None:
        await self._settled(multihash)
        size = await self._blocks.size(multihash)
        if size is None and await self._blocks.recall([multihash]):
            size = await self._blocks.size(multihash)
        return size

    async def _settled(self, multihash: Multihash) -> None:
        written = self._writing.get(multihash)
        if written is not None:  # an event is neither true nor false
            await written.wait()
