"""The socket under a connection, and the IP address that it comes from.

The library wraps a socket many times (tcp, websocket, TLS, noise, the swarm key), and in few cases reports its address.
A connection over webrtc has no socket of its own: its address is noted when it comes in.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import trio

_WRAPPINGS = ("conn", "stream", "_ws", "_stream", "transport_stream")
_DEEPEST = 12

_came_from: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def note_ip(raw: Any, ip: str) -> None:
    """Notes the address of a connection without a socket."""
    _came_from[raw] = ip


def ip_under(connection: Any) -> str:
    """The IP address of a connection as its muxer has it. Empty: a circuit, or a connection that is gone."""
    if (stream := socket_under(getattr(connection, "secured_conn", None))) is not None:
        return ip_of(stream)
    return _came_from.get(connection, "")


def ip_of(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return ""  # the socket is gone


def socket_under(raw: Any) -> trio.SocketStream | None:
    """Down through the wrappings: SecureSession.conn, RawConnection.stream, TrioTCPStream.stream,
    P2PWebSocketConnection._ws._stream, SSLStream.transport_stream, PeekableStream.stream.
    """
    for _ in range(_DEEPEST):
        if raw is None or isinstance(raw, trio.SocketStream):
            return raw
        raw = next((getattr(raw, name) for name in _WRAPPINGS if hasattr(raw, name)), None)
    return None
