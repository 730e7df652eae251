"""A peer's messages must be heard, whatever it states about its addresses besides.

The fault: a worker hears nothing of another one, no subscription and no answer, as long as both run: the other was
restarted while its clock was behind, or an earlier record of its addresses came after a later one. Why: with each frame
the library sends a signed record of its addresses, numbered by the clock; a frame whose record is older than the known
one is dropped whole. Where: `maybe_consume_signed_record`, called by `Pubsub.continuously_read_stream` and
`GossipSub.handle_rpc`.

The cure: the record in a frame is not read. No other implementation sends one, identify carries the same, and peers
that strangers name are not dialled from the library's store. It also spares two signatures a frame.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from libp2p.pubsub import gossipsub, pubsub

from pinning_worker.adapters.p2p.cures.gossip import crowded_frames
from pinning_worker.adapters.p2p.cures.once import replace

AFTER = (crowded_frames,)  # both look at a frame before the library does; either order would do


def mend() -> None:
    for module in (pubsub, gossipsub):
        replace(module, "maybe_consume_signed_record", _unread)


def _unread(stock: Callable[..., bool]) -> Callable[..., bool]:
    def mended(frame: Any, host: Any, peer: Any) -> bool:
        frame.ClearField("senderRecord")
        return stock(frame, host, peer)

    return mended
