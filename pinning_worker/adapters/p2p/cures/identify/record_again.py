"""A message to a peer must not cost two milliseconds of looking at our own addresses first.

The fault: a worker on webrtc-direct publishes, forwards and refuses at most 500 messages a second, and does nothing
else. Why: each frame carries the signed record of our addresses, and to check whether it is still right the library
collects and writes out all of them, a certificate's hash in base64 by hand; on tcp alone it takes a third of a
millisecond. Where: `env_to_send_in_RPC`, called by `GossipSub.publish`, `.emit_control_message` and others.

The cure: a record that was right a second ago is sent again.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import trio
from libp2p.abc import IHost
from libp2p.pubsub import gossipsub, pubsub

from pinning_worker.adapters.p2p.cures.once import replace

SECONDS = 1.0

_sent: WeakKeyDictionary[IHost, tuple[float, bytes]] = WeakKeyDictionary()

Record = Callable[[IHost], tuple[bytes, bool]]


def mend() -> None:
    for module in (gossipsub, pubsub):
        replace(module, "env_to_send_in_RPC", _the_same_for_a_second)


def _the_same_for_a_second(stock: Record) -> Record:
    def mended(host: IHost) -> tuple[bytes, bool]:
        now = trio.current_time()
        at, record = _sent.get(host, (0.0, b""))
        if record and 0.0 <= now - at < SECONDS:
            return record, False
        record, is_new = stock(host)
        _sent[host] = now, record
        return record, is_new

    return mended
