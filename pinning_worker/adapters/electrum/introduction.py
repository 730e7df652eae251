"""The first exchange with a server: which protocol it speaks, and which chain it follows.

    protocol version; genesis; tip; then the blocks by which our chain is known, at their heights:
    the split block (another one there: the dead chain), the anchor, the operator's checkpoint

All of it is the server's word. It sorts out useless servers and says why they are useless; `follow.py` verifies the
chain later, header by header.
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
    BehindCheckpoint,
    DeadChain,
    LinkLost,
    OtherAnchor,
    OtherCheckpoint,
    OtherNetwork,
    OtherProtocol,
    RequestRefused,
    ServerMisbehaved,
)
from pinning_worker.adapters.electrum.wire import Call, Wire
from pinning_worker.domain.chain.anchor import anchor_of
from pinning_worker.domain.chain.networks import NETWORKS, Network, PinnedBlock

CLIENT_NAME = "pinning-worker"
TIP = "blockchain.headers.subscribe"


@dataclass(frozen=True, slots=True)
class _Landmark:
    """A block of our chain, and the fault of a server that has another block at its height."""

    block: PinnedBlock
    fault: type[ServerMisbehaved]
    means: str


async def introduce(wire: Wire, network: Network) -> ShownTip:
    """Returns the server's tip, if the server says that it follows our chain. Subscribes to its headers.

    Raises OtherProtocol, OtherNetwork, BehindAnchor, DeadChain, OtherAnchor, OtherCheckpoint; LinkLost,
    ServerMisbehaved.
    """
    try:
        await wire.call("server.version", CLIENT_NAME, PROTOCOL_VERSIONS)
    except RequestRefused as refusal:
        raise OtherProtocol(f"it speaks another protocol: {refusal}") from refusal
    features, shown = require_answers(await wire.batch([("server.features", ()), (TIP, ())]))
    _require_network(read_genesis_hash(features), network)
    tip = read_tip(shown)
    require_anchor_reached(tip, network)
    await _require_landmarks(wire, [mark for mark in _landmarks(network) if mark.block.height <= tip.height])
    return tip


def require_anchor_reached(tip: ShownTip, network: Network) -> None:
    """Raises BehindAnchor."""
    anchor = anchor_of(network)
    checkpoint = network.checkpoint
    if checkpoint is not None and tip.height < anchor.height == checkpoint.height:
        raise BehindCheckpoint(f"its chain ends at {tip.height}, below PINNING_CHECKPOINT at {anchor.height}")
    if tip.height < anchor.height:
        raise BehindAnchor(f"its chain ends at {tip.height}, behind our anchor at {anchor.height}")


def require_answers(answers: Sequence[object]) -> Sequence[object]:
    """Returns the answers if none is an error. Raises LinkLost."""
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
    """The split comes first: a chain that differs there differs above it too, and the split is the reason to name."""
    marks = []
    if network.split_block is not None:
        marks.append(_Landmark(network.split_block, DeadChain, "it is on the dead side of the split"))
    if network.checkpoint is not None:
        marks.append(_Landmark(network.checkpoint, OtherCheckpoint, "it is not at PINNING_CHECKPOINT"))
    anchor = anchor_of(network)
    if anchor.height > 0:  # at height 0 the anchor is the genesis block, already compared
        block = PinnedBlock(anchor.height, anchor.block_hash)
        marks.append(_Landmark(block, OtherAnchor, "it is not at our anchor"))
    return marks


async def _require_landmarks(wire: Wire, marks: Sequence[_Landmark]) -> None:
    calls: list[Call] = [("blockchain.block.header", (mark.block.height,)) for mark in marks]
    for mark, answer in zip(marks, require_answers(await wire.batch(calls)), strict=True):
        found = read_block_hash(answer)
        ours = mark.block.block_hash
        if found != ours:
            raise mark.fault(f"{mark.means}: its block {mark.block.height} is {found[:16]}…, ours {ours[:16]}…")
