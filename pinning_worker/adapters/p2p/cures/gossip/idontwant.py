"""No "I don't want it" for messages smaller than the saying so.

What happens: a burst of 20 answers loses some. Why: with each message published or forwarded the library sends every
mesh peer an IDONTWANT too, which fills the same queue of 32; on loopback and with answers of 300 bytes it costs more
than the duplicate that it may spare. go-libp2p and js-libp2p send it for messages of 1 KiB and 512 bytes up, and go
never for its own. Where: `GossipSub._emit_idontwant_for_message`.

The cure: only for messages of at least 1 KiB that came from somebody else.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from libp2p.pubsub.gossipsub import GossipSub

from pinning_worker.adapters.p2p.cures.once import replace

WORTH_IT = 1024

Emit = Callable[[GossipSub, bytes, Iterable[str]], Awaitable[None]]


def mend() -> None:
    replace(GossipSub, "_emit_idontwant_for_message", _only_for_large_ones_of_others)


def _only_for_large_ones_of_others(stock: Emit) -> Emit:
    async def mended(self: GossipSub, msg_id: bytes, topic_ids: Iterable[str]) -> None:
        message = self.mcache.get(msg_id)
        if message is None or self.pubsub is None:
            return
        if len(message.data) >= WORTH_IT and message.from_id != self.pubsub.my_id.to_bytes():
            await stock(self, msg_id, topic_ids)

    return mended
