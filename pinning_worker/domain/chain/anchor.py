"""The start of a chain of headers, and its resumption after a restart.

The anchor is the block whose hash the network's row has: a block of mainnet, an operator's checkpoint, the genesis
block of regtest. Later rules look back to headers before it (the difficulty, the median of 11 times). These are chained
*backwards* by hash from it; the row has them, or a server delivers them. No fork begins below the anchor.

Verified headers are stored as 80 bytes each, without their AuxPow, so their work cannot be checked again. The hash of
the tip, stored beside them, commits to every header before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from pinning_worker.domain.chain.difficulty import MEDIAN_SPAN, lookback
from pinning_worker.domain.chain.headerchain import HeaderChain
from pinning_worker.domain.chain.headers import HEADER_SIZE, BadHeader, Header, added_work, parse_header, skip_proof
from pinning_worker.domain.chain.networks import Anchor, Network, Retarget2016


class WrongCheckpoint(Exception):
    """The chain that an earlier run verified has another block at the height of the operator's checkpoint."""


def anchor_of(network: Network) -> Anchor:
    """The anchor of a row; `networks.with_checkpoint` gives one to a row without."""
    if network.anchor is None:
        raise ValueError(f"{network.name} has no anchor")
    return network.anchor


def anchor_heights(network: Network) -> range:
    """The heights of the anchor, and of the headers before it that later rules look back to."""
    anchor = anchor_of(network).height
    after = anchor + 1
    if isinstance(network.difficulty, Retarget2016):
        after += -after % network.difficulty.interval  # the next retarget looks further back than those before it
    lowest = min(after - lookback(network, after), anchor - MEDIAN_SPAN + 1)
    return range(max(0, lowest), anchor + 1)


def built_in_chain(network: Network) -> HeaderChain | None:
    """A chain of the anchor's headers, if the row has them. Raises BadHeader on a wrong row."""
    context = network.anchor.context if network.anchor else b""
    return _chain_of(network, _stored_headers(context)) if context else None


def start_chain(network: Network, data: bytes) -> HeaderChain:
    """A chain of just the `anchor_heights`. `data`: their headers, with AuxPow. Raises BadHeader.

    Their work is not checked: the anchor's hash commits to all of them.
    """
    return _chain_of(network, list(_headers_in(data)))


def resume_chain(network: Network, base_height: int, raw: bytes, tip_hash: str) -> HeaderChain:
    """A chain from headers that we verified earlier and stored, 80 bytes each, from `base_height` up.

    `tip_hash` is that of the last one. The chain must have the anchor, and the headers that later rules look back to.
    Raises BadHeader; WrongCheckpoint if the chain is sound and has another block at the operator's checkpoint.
    """
    headers = _stored_headers(raw)
    _require_linked(headers, tip_hash)
    chain = HeaderChain(network, base_height, raw, sum(added_work(header, network) for header in headers))
    if checkpoint := network.checkpoint:
        found = chain.hash_at(checkpoint.height)
        if found is not None and found != checkpoint.block_hash:
            raise WrongCheckpoint(
                f"PINNING_CHECKPOINT names {checkpoint.block_hash} at {checkpoint.height}, and the chain that this "
                f"worker has verified has {found} there. Correct the setting, or take it away; if it is right, move "
                "the files headers-* out of the data directory"
            )
    anchor = anchor_of(network)
    if base_height > anchor_heights(network).start or chain.hash_at(anchor.height) != anchor.block_hash:
        raise BadHeader(f"it does not contain the anchor at {anchor.height}")
    return chain


def _chain_of(network: Network, headers: Sequence[Header]) -> HeaderChain:
    heights = anchor_heights(network)
    if len(headers) != len(heights):
        raise BadHeader(f"{len(headers)} headers instead of {len(heights)} up to the anchor")
    _require_linked(headers, anchor_of(network).block_hash)
    work = sum(added_work(header, network) for header in headers)
    return HeaderChain(network, heights.start, b"".join(header.raw for header in headers), work)


def _stored_headers(raw: bytes) -> list[Header]:
    return [parse_header(raw[at : at + HEADER_SIZE]) for at in range(0, len(raw), HEADER_SIZE)]


def _headers_in(data: bytes) -> Iterator[Header]:
    at = 0
    while at < len(data):
        header, at = skip_proof(data, at)
        yield header


def _require_linked(headers: Sequence[Header], last_hash: str) -> None:
    if not headers or headers[-1].block_hash != last_hash:
        raise BadHeader("the last header is another chain's")
    if any(after.previous != before.hash for before, after in pairwise(headers)):
        raise BadHeader("the headers do not follow each other")
