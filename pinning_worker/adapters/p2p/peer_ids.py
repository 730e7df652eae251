"""Peer ids: the library's `ID` becomes our `PeerId` here and nowhere else, and a `PeerId` becomes an `ID` again."""

from __future__ import annotations

from typing import Any

from libp2p.peer.id import ID

from pinning_worker.adapters.p2p.errors import BadAddress
from pinning_worker.domain.identities import PeerId


def peer_id(library: ID) -> PeerId:
    return PeerId(library.to_base58())


def remote_peer(stream: Any) -> PeerId:
    """The peer at the other end of a stream, or of a connection."""
    return peer_id(stream.muxed_conn.peer_id)


def library_id(peer: PeerId) -> ID:
    return ID.from_base58(peer)


def parse_peer_id(text: str) -> ID:
    """Raises BadAddress."""
    try:
        return ID.from_string(text)
    except ValueError as error:
        raise BadAddress(f"{text!r} is not a peer id") from error
