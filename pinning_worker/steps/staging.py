"""The staging quota: room for quoted, unpaid content, shared so that no asker fills it alone.

The next fetch of a share may take half of the room left, after its own bytes are deducted once more: one share ends at
half of the quota, two at a third each, and a newcomer always finds room. Shares are compared by site (those without a
telling address by connection); within a site, no address, no connection and no peer has more than three quarters of it.
While nothing else is staged, a fetch may take all the room, so that one request of the largest size is served
everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pinning_worker.domain.pin import Share, parts_of

Shares = tuple[Share, ...]


def room_for(share: Share, quota: int, staged: Iterable[tuple[Shares, int]]) -> int:
    """Bytes that one more fetch of that share may take. `staged`: the shares and bytes of each closure."""
    total, own = 0, Counter[tuple[str, ...]]()
    for shares, size in staged:
        total += size
        for part in {part for each in shares for part in parts_of(each)}:
            own[part] += size
    if not total:
        return quota
    (site, *within), names = parts_of(share), iter(share)
    left = max(0, quota - total - own[site]) // 2
    allowed, above = own[site] + left, site[1]
    for part, name in zip(within, names, strict=True):
        if name != above:
            allowed = allowed * 3 // 4
            left = min(left, max(0, allowed - own[part]))
        above = name
    return left


def staged_by(unpaid: Mapping[Shares, int], running: Iterable[tuple[Share, int]]) -> list[tuple[Shares, int]]:
    """The shares and bytes of all quoted closures and running fetches."""
    return [*unpaid.items(), *(((share,), size) for share, size in running)]
