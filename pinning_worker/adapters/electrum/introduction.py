"""The first words with a server: which protocol it speaks, and which chain it follows.

    protocol version; genesis; tip; then the blocks by which our chain is known, at their heights:
    the split block (another one there: the dead chain), the anchor, the operator's checkpoint

All of it is the server's word. It sorts out who can be of use, and says why not; what counts is verified later, header
by header.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pinning_worker.adapters.electrum.answers import (
    PROTOCOL_VERSIONS,
    ShownTip,
    read_block_hash,
    read_genesis_hash,
    read_tip,
)
from pinning_worker.adapters.electrum.faults import (
    BehindAnchor,
    DeadChain,
    LinkLost,
    OtherAnchor,
    OtherNetwork,
    OtherProtocol,
    RequestRefused,
    ServerMisbehaved,
)
from pinning_worker.adapters.electrum.wire import Call, Wire
from pinning_worker.domain.anchor import anchor_of
from pinning_worker.domain.chain import NETWORKS, Network, PinnedBlock

CLIENT_NAME = "pinning-worker"
TIP = "blockchain.headers.subscribe"


@dataclass(frozen=True, slots=True)
class _Landmark:
    """A block that our chain has, and what it means that a server's has another one there."""

    height: int
    block_hash: str
    fault: type[ServerMisbehaved]
    means: str


async def introduce(wire: Wire, network: Network) -> ShownTip:
    """The tip that the server shows, if it follows our chain as far as it says. Subscribes to its headers.

    Raises OtherProtocol, OtherNetwork, BehindAnchor, DeadChain, OtherAnchor; LinkLost, ServerMisbehaved.
    """
    try:
        await wire.call("server.version", CLIENT_NAME, PROTOCOL_VERSIONS)
    except RequestRefused as refusal:
        raise OtherProtocol(f"it speaks another protocol: {refusal}") from refusal
    features, shown = require_answers(await wire.batch([("server.features", ()), (TIP, ())]))
    _require_network(read_genesis_hash(features), network)
    tip = read_tip(shown)
    require_anchor_reached(tip, network)
    await _require_landmarks(wire, [mark for mark in _landmarks(network) if mark.height <= tip.height])
    return tip


def require_anchor_reached(tip: ShownTip, network: Network) -> None:
    """Raises BehindAnchor."""
    anchor = anchor_of(network)
    if tip.height < anchor.height:
        raise BehindAnchor(f"its chain ends at {tip.height}, behind our anchor at {anchor.height}")


def require_answers(answers: Sequence[object]) -> Sequence[object]:
    """The same, where none is an error. Raises LinkLost."""
    for answer in answers:
        if isinstance(answer, RequestRefused):
            raise LinkLost(f"it does not answer: {answer}")
    return answers


def _require_network(genesis_hash: str, network: Network) -> None:
    if genesis_hash != network.genesis_hash:
        names = [other.name for other in NETWORKS.values() if other.genesis_hash == genesis_hash]
        served = names[0] if names else f"a chain that begins with {genesis_hash[:16]}…"
        raise OtherNetwork(f"it serves another network than {network.name}: {served}")


def _landmarks(network: Network) -> list[_Landmark]:
    """The split first: what differs there differs above it, too, and that is the reason to name."""
    marks = []
    if network.split_block is not None:
        marks.append(_landmark(network.split_block, DeadChain, "it is on the dead side of the split"))
    anchor = anchor_of(network)
    if anchor.height > 0:  # the genesis block has been compared
        marks.append(_landmark(PinnedBlock(anchor.height, anchor.block_hash), OtherAnchor, "it is not at our anchor"))
    if network.checkpoint is not None and network.checkpoint.height != anchor.height:
        marks.append(_landmark(network.checkpoint, OtherAnchor, "it is not at PINNING_CHECKPOINT"))
    return marks


def _landmark(block: PinnedBlock, fault: type[ServerMisbehaved], means: str) -> _Landmark:
    return _Landmark(block.height, block.block_hash, fault, means)


async def _require_landmarks(wire: Wire, marks: Sequence[_Landmark]) -> None:
    calls: list[Call] = [("blockchain.block.header", (mark.height,)) for mark in marks]
    for mark, answer in zip(marks, require_answers(await wire.batch(calls)), strict=True):
        found = read_block_hash(answer)
        if found != mark.block_hash:
            raise mark.fault(f"{mark.means}: its block {mark.height} is {found}, ours {mark.block_hash}")
