"""Whose request is fetched next: a peer that asks for a thousand CIDs delays nobody who asks for one.

A request counts for the peer that asked for it last. The next place goes to the peer with the fewest fetches running,
among equals to the request that has waited longest; and no peer has more than half of all places, so that whoever comes
finds one. What is paid for and not here shares in the same way, as if one peer had asked, whoever else asks for it; but
among equals it is first, for peers are made up for nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pinning_worker.domain.pin import Request

LOOK_AHEAD = 256  # requests of the queue that one choice looks at


PAYERS = "all who have paid"


def asking_peer(request: Request) -> str:
    """The peer that a request counts for; empty where nobody waits for an answer."""
    return request.askers[-1].peer if request.askers else ""


def fair_choice(
    waiting: Iterable[Request], running: Mapping[bytes, str], places: int, *, paid: Iterable[Request] = ()
) -> list[Request]:
    """The requests to begin now. `waiting`: the longest waiting first, those running may be among them; `running`: the
    peer of each root that is being fetched (PAYERS for one of `paid`); `places`: for fetches in all, busy ones
    included; `paid`: those that wait because somebody has paid."""
    busy, most = Counter(running.values()), max(1, places // 2)
    queues: dict[str, list[Request]] = {PAYERS: [request for request in paid if request.root not in running]}
    for request in waiting:
        if request.root not in running:
            queues.setdefault(asking_peer(request), []).append(request)
    chosen: list[Request] = []
    while len(running) + len(chosen) < places:
        ready = [peer for peer, queue in queues.items() if queue and busy[peer] < most]
        if not ready:
            break
        peer = min(ready, key=busy.__getitem__)  # the first of equals: PAYERS, then the longest waiting
        chosen.append(queues[peer].pop(0))
        busy[peer] += 1
    return chosen
