"""The limit on forwarding must not cut off our own answers.

What happens: of 200 answers in two seconds 20 are sent. Why: `max_messages_per_topic_per_second` (default 10) counts
what each forwarding peer hands us to publish, and treats us as one of them; what is over it is dropped without an
error, and the peer (we) is marked for bad behaviour. Where: `GossipSub._check_spam_protection`.

The cure: what we publish ourselves is not counted; it is paced by `publisher.py`. What others want forwarded is.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub

from pinning_worker.adapters.p2p.cures.once import replace

Check = Callable[[GossipSub, ID, Any], bool]


def mend() -> None:
    replace(GossipSub, "_check_spam_protection", _not_our_own)


def _not_our_own(stock: Check) -> Check:
    def mended(self: GossipSub, peer: ID, message: Any) -> bool:
        return (self.pubsub is not None and peer == self.pubsub.my_id) or stock(self, peer, message)

    return mended
