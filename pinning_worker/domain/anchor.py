"""Where a chain of headers starts, and how it is taken up again after a restart.

The anchor is the block whose hash the network's row knows beforehand: the checkpoint, else the genesis block. The
headers before it that later rules look back to (the next retarget, the median of 11 times) are chained *backwards* by
hash from it: mainnet's first retarget after 500 000 needs 499 967. No fork begins below the anchor.

What was verified once is stored as 80 bytes each; the AuxPow is gone, so its work cannot be checked again. The hash of
the tip, stored beside it, commits to every header before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from pinning_worker.domain.chain import Network
from pinning_worker.domain.difficulty import BadBits, lookback, work_of
from pinning_worker.domain.headerchain import MEDIAN_SPAN, HeaderChain
from pinning_worker.domain.headers import HEADER_SIZE, BadHeader, Header, parse_header, skip_proof


def anchor_height(network: Network) -> int:
    """The height whose hash is known beforehand."""
    return network.checkpoint.height if network.checkpoint else 0


def anchor_heights(network: Network) -> range:
    """The headers to ask for first: the anchor, and those before it that later rules look back to."""
    anchor = anchor_height(network)
    retarget_at = (anchor // network.retarget_interval + 1) * network.retarget_interval
    lowest = min(retarget_at - 1 - lookback(network, retarget_at), anchor - MEDIAN_SPAN + 1)
    return range(max(0, lowest), anchor + 1)


def start_chain(network: Network, data: bytes) -> HeaderChain:
    """A chain of just the `anchor_heights`, whose headers (with their AuxPow) `data` is. Raises BadHeader.

    Their work is not checked: the anchor's hash commits to all of them.
    """
    return _chain_of(network, list(_headers_in(data)))


def resume_chain(network: Network, raw: bytes, tip_hash: str) -> HeaderChain:
    """A chain from headers that we verified earlier and stored, 80 bytes each. Raises BadHeader.

    `tip_hash` is that of the last one, and the anchor among them must be the network's.
    """
    headers = [parse_header(raw[at : at + HEADER_SIZE]) for at in range(0, len(raw), HEADER_SIZE)]
    anchors = len(anchor_heights(network))
    chain = _chain_of(network, headers[:anchors])
    _require_linked(headers, tip_hash)
    chain.take_up(headers[anchors:])
    return chain


def _chain_of(network: Network, headers: Sequence[Header]) -> HeaderChain:
    heights = anchor_heights(network)
    if len(headers) != len(heights):
        raise BadHeader(f"{len(headers)} headers instead of {len(heights)} up to the anchor")
    checkpoint = network.checkpoint
    _require_linked(headers, checkpoint.block_hash if checkpoint else network.genesis_hash)
    try:
        work = checkpoint.work if checkpoint else work_of(headers[-1].bits)
    except BadBits as error:
        raise BadHeader(str(error)) from error
    return HeaderChain(network, heights.start, b"".join(header.raw for header in headers), work)


def _headers_in(data: bytes) -> Iterator[Header]:
    at = 0
    while at < len(data):
        header, at = skip_proof(data, at)
        yield header


def _require_linked(headers: Sequence[Header], last_hash: str) -> None:
    if headers[-1].hash[::-1].hex() != last_hash:
        raise BadHeader("the last header is another chain's")
    if any(after.previous != before.hash for before, after in pairwise(headers)):
        raise BadHeader("the headers do not follow each other")
