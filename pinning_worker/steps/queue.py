"""The queue: who may wait in it, and who makes room when it is full.

A peer has so many places, what one connection brings at most half of them. When all are taken, a newcomer whose share
has less in it than another's takes the place of the newest request of the greediest. The books tell who waits, so a
start forgets nobody's share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from pinning_worker.domain.pin import Asker, Request, parts_of
from pinning_worker.steps.fair_share import Part, shares_of
from pinning_worker.steps.terms import Terms

FULL = "the queue is full"
MADE_ROOM = "the queue is full, and others have less in it"


def refusal(asker: Asker, waiting: Sequence[Request], terms: Terms) -> str | None:
    """Why there is no place for it, however few others wait; None: there is."""
    if sum(any(asker.peer == a.peer for a in request.askers) for request in waiting) >= terms.most_active_per_peer:
        return "too many requests of yours are waiting"
    connection, share = asker.share[1], max(terms.most_active // 2, terms.most_active_per_peer)
    if sum(any(connection == a.share[1] for a in request.askers) for request in waiting) >= share:
        return "too many requests that came through the same peer as yours are waiting"
    return None


def makes_room(asker: Asker, waiting: Sequence[Request], fetched: Collection[bytes]) -> Request | None:
    """Whose place it takes in a full queue; None: nobody has more than it would have. `waiting`: the longest first;
    `fetched`: roots that are being fetched, and stay."""
    counts = Counter(part for request in waiting for part in _parts(request))
    mine = parts_of(asker.share)

    def has_more(request: Request) -> bool:
        """All that ask for it have more, where they first differ from the newcomer, than it will have."""
        return all(
            next(
                (
                    counts[part] > counts[own] + 1
                    for part, own in zip(parts_of(share), mine, strict=True)
                    if part != own
                ),
                False,
            )
            for share in shares_of(request)
        )

    able = [request for request in waiting if request.askers and request.root not in fetched and has_more(request)]
    return max(
        reversed(able),
        key=lambda request: max([counts[part] for part in parts_of(share)] for share in shares_of(request)),
        default=None,
    )


def _parts(request: Request) -> set[Part]:
    return {part for share in shares_of(request) for part in parts_of(share)}
