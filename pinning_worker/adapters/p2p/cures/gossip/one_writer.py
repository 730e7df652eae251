"""Our messages to a peer must arrive one after the other, and continue after a write failed.

The fault: a browser that joins while messages of some 100 kB are on their way hears nothing of us, and we nothing of
it, until it connects anew: js-libp2p finds a frame "too long" and forgets us, connection and streams notwithstanding.
Why: the task that registers a new peer sends it the newest messages, while another task writes its queue; a frame that
is not written at once (64 KiB, or the rest of the window) is cut in two by the other task's frame. Where:
`GossipSub.send_recent_messages` and `.flush_pending_messages`, beside `Pubsub.handle_sending_messages`.

And a peer that reads nothing for a minute, a laptop that sleeps, never gets a message again: the loop that writes ends
when a write fails, and its stream stays in use with half a message on it.

The cure: every message goes through the peer's queue (outgoing_queue.py), and one task writes. A stream on which a
write failed is reset, and reconnect.py opens a new one.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from libp2p.abc import INetStream
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.utils import encode_varint_prefixed

from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.host.connections import quietly

_log = structlog.get_logger(__name__)

Method = Callable[..., Awaitable[Any]]


def mend() -> None:
    replace(Pubsub, "write_msg", _by_the_queue)
    replace(Pubsub, "handle_sending_messages", _alone)


def _by_the_queue(_stock: Method) -> Method:
    async def mended(self: Pubsub, stream: INetStream, rpc: rpc_pb2.RPC) -> bool:
        """False: the peer has no queue, for it is gone. A full queue drops, as it does for any message."""
        peer = stream.muxed_conn.peer_id
        if peer not in self.peer_queues:
            return False
        cast("GossipSub", self.router).send_rpc(peer, rpc)
        return True

    return mended


def _alone(_stock: Method) -> Method:
    async def mended(self: Pubsub, peer: ID, stream: INetStream, queue: RpcQueue) -> None:
        try:
            while (rpc := await queue.pop()) is not None:
                await stream.write(encode_varint_prefixed(rpc.SerializeToString()))
        except Exception as error:  # noqa: BLE001  whatever a write raises ends that stream only
            _log.debug("pubsub.write_failed", peer=str(peer), error=repr(error))
            await quietly(stream.reset)
            self._handle_dead_peer(peer)

    return mended
