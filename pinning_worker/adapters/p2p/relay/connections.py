"""How a stream through a relay becomes a connection."""

from __future__ import annotations

from typing import cast

from libp2p.abc import INetStream
from libp2p.connection_types import ConnectionType
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.host.sockets import socket_under
from pinning_worker.adapters.p2p.peer_ids import peer_id


def as_connection(circuit: INetStream, peer: ID, *, initiator: bool) -> RawConnection:
    """The stream to a relay that it joined to `peer`, as a wire: noise and yamux go over it as over any other."""
    wire = cast("Yamux", circuit.muxed_conn)
    where = Multiaddr(f"{_place(wire)}/p2p/{peer_id(wire.peer_id)}/p2p-circuit/p2p/{peer_id(peer)}")
    return RawConnection(circuit, initiator, ConnectionType.RELAYED, [where])


def _place(wire: Yamux) -> str:
    """The relay's IP address and port. Identify sends them to the peer, and js-libp2p fails on an address without an
    IP; the library knows them for tcp, and not for ws."""
    if told := wire.get_transport_addresses():
        return str(told[0])
    stream = socket_under(wire.secured_conn)
    if stream is None:
        return ""
    try:
        ip, port, *_ = stream.socket.getpeername()
    except OSError:
        return ""  # gone already
    return f"/ip{6 if ':' in ip else 4}/{ip}/tcp/{port}"
