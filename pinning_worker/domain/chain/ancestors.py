"""The headers below a block that we know: its hash commits to its parent, that one to its own, down to the first block.

So no server can invent a past. Nothing else is checked here: not the work (below Doichain's block 431 017 no node
enforced it), not the rule about bits, not the times. Whoever knows the block knows its past.
"""

from __future__ import annotations

from itertools import pairwise

from pinning_worker.domain.chain.headers import HEADER_SIZE, BadHeader, Header, parse_header, skip_proof

FIRST_BLOCK = 1
"""The lowest height that may hold a name. The genesis block holds nothing but a coinbase, and no node gives that."""


def ancestors(data: bytes, count: int, last_hash: str) -> list[Header]:
    """The `count` headers in `data`, lowest first, the last one with that hash (hex, display order).

    All of them with their AuxPow, or all without, as a server cuts them. Raises BadHeader.
    """
    is_cut = len(data) == count * HEADER_SIZE
    headers = _cut_headers(data) if is_cut else _whole_headers(data, count)
    if not headers or headers[-1].block_hash != last_hash:
        raise BadHeader("the last header is not the one that is known")
    if any(above.previous != header.hash for header, above in pairwise(headers)):
        raise BadHeader("the headers do not follow each other")
    return headers


def _cut_headers(data: bytes) -> list[Header]:
    return [parse_header(data[at : at + HEADER_SIZE]) for at in range(0, len(data), HEADER_SIZE)]


def _whole_headers(data: bytes, count: int) -> list[Header]:
    headers, at = list[Header](), 0
    while at < len(data):
        if len(headers) == count:
            raise BadHeader(f"more than the {count} headers that were asked for")
        header, at = skip_proof(data, at)
        headers.append(header)
    if len(headers) != count:
        raise BadHeader(f"{len(headers)} headers instead of {count}")
    return headers
