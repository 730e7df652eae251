"""A peer that comes back must be heard, and hear us, at once.

The fault: a peer that reconnects before its old connection is reaped is deaf for good on pubsub. Why: `Pubsub` keeps
one outgoing stream for each peer, and keeps the one on the dead connection: the new `connected` is a no-op because the
peer is known, the queue of dead peers skips it because it has a live connection, and the first error makes
`_handle_dead_peer` forget the subscriptions that came in on the new connection. Where: `Pubsub._handle_new_peer`,
`.handle_dead_peer_queue`, `._handle_dead_peer`, `.stream_handler`.

The cure, in one rule: our stream to a peer follows the peer. It belongs on the connection where the peer last opened
its own pubsub stream to us, or until then on a live one; when it is elsewhere, or dead, a new one is opened, the queue
moves over, and subscriptions and mesh stay. A peer is forgotten when its last connection has ended.

A peer that has closed its stream to us, yet stays connected, may have forgotten ours too (js-libp2p does so with a peer
that sent it an odd message, and opens none by itself). So we open a new one, which it takes for a new peer's: after
each of the SPEAK_AGAIN_SECONDS, until it opens one to us.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast
from weakref import WeakKeyDictionary

import trio
from libp2p.abc import INetStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.net_stream import StreamState
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectCommunicatorError
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.utils import encode_varint_prefixed

from pinning_worker.adapters.p2p.cures.once import replace

NEGOTIATE_SECONDS = 10
CLOSE_SECONDS = 5
MOST_MOVES = 3
SPOILT = frozenset({StreamState.CLOSE_WRITE, StreamState.CLOSE_BOTH, StreamState.RESET, StreamState.ERROR})
SPEAK_AGAIN_SECONDS = (1.0, 10.0, 60.0)

Method = Callable[..., Awaitable[None]]


class _Whereabouts:
    """Streams of one Pubsub.

    `newest`: the connection on which each peer last opened its pubsub stream to us.
    `speaks_on`: that stream, while it is open.
    `opening`: peers to which we are opening a stream just now.
    `silent`: connected peers that have closed theirs.
    `unheard`: those of the silent to which a new stream of ours is due, though the old one works.
    """

    def __init__(self) -> None:
        self.newest: dict[ID, Any] = {}
        self.speaks_on: dict[ID, INetStream] = {}
        self.opening: set[ID] = set()
        self.silent: set[ID] = set()
        self.unheard: set[ID] = set()


_whereabouts: WeakKeyDictionary[Pubsub, _Whereabouts] = WeakKeyDictionary()


def mend() -> None:
    replace(Pubsub, "stream_handler", _note_where)
    replace(Pubsub, "_handle_new_peer", _register)
    replace(Pubsub, "_handle_dead_peer", _forget_only_the_gone)
    replace(Pubsub, "handle_dead_peer_queue", _look_again)


def _of(pubsub: Pubsub) -> _Whereabouts:
    return _whereabouts.setdefault(pubsub, _Whereabouts())


def _note_where(stock: Method) -> Method:
    async def mended(self: Pubsub, stream: INetStream) -> None:
        peer, of = stream.muxed_conn.peer_id, _of(self)
        of.newest[peer] = stream.muxed_conn
        of.speaks_on[peer] = stream
        if not _stands_right(self, peer):
            self._schedule_peer_stream_retry(peer)
        try:
            await stock(self, stream)
        finally:  # however it ended
            if of.speaks_on.get(peer) is stream:
                del of.speaks_on[peer]
                if peer not in of.silent and self.manager.is_running and self._peer_is_connected(peer):
                    of.silent.add(peer)
                    self.manager.run_task(_speak_again, self, peer)

    return mended


async def _speak_again(pubsub: Pubsub, peer: ID) -> None:
    """Reopens our stream to a peer that is still connected but whose last inbound stream has ended."""
    of = _of(pubsub)
    try:
        for seconds in SPEAK_AGAIN_SECONDS:
            await trio.sleep(seconds)
            if peer in of.speaks_on or not pubsub._peer_is_connected(peer):
                return
            of.unheard.add(peer)
            await pubsub._handle_new_peer_with_retry(peer, NEGOTIATE_SECONDS)
    finally:
        of.silent.discard(peer)
        of.unheard.discard(peer)


def _register(_stock: Method) -> Method:
    async def mended(self: Pubsub, peer: ID) -> None:
        """Raises SwarmException when no stream could be opened: the caller tries again while the peer is there."""
        opening = _of(self).opening
        if peer in opening or self.is_peer_blacklisted(peer) or _stands_right(self, peer):
            return
        opening.add(peer)
        try:
            for _ in range(MOST_MOVES):  # the peer may have moved on while we moved
                await _move(self, peer)
                if _stands_right(self, peer):
                    return
        finally:
            opening.discard(peer)

    return mended


def _forget_only_the_gone(stock: Callable[[Pubsub, ID], None]) -> Callable[[Pubsub, ID], None]:
    def mended(self: Pubsub, peer: ID) -> None:
        if not self._peer_is_connected(peer):
            _of(self).newest.pop(peer, None)
            stock(self, peer)
        elif not _stands_right(self, peer):
            self._schedule_peer_stream_retry(peer)

    return mended


def _look_again(_stock: Method) -> Method:
    async def mended(self: Pubsub) -> None:
        async with self.dead_peer_receive_channel:
            self.event_handle_dead_peer_queue_started.set()
            async for peer in self.dead_peer_receive_channel:
                self._handle_dead_peer(peer)

    return mended


async def _move(pubsub: Pubsub, peer: ID) -> None:
    """Opens our stream where it belongs, sends our subscriptions on it, and puts it in the place of the one before."""
    connection = _where_it_belongs(pubsub, peer)
    if connection is None:
        raise SwarmException(f"no live connection to {peer}")
    stream = await _open_stream(pubsub, connection)
    try:
        await stream.write(encode_varint_prefixed(pubsub.get_hello_packet().SerializeToString()))
    except BaseLibp2pError as error:
        raise SwarmException(f"the stream to {peer} died at once") from error
    pubsub.router.add_peer(peer, stream.get_protocol())
    before, queue_before = pubsub.peers.get(peer), pubsub.peer_queues.get(peer)
    pubsub.peers[peer] = stream
    _of(pubsub).unheard.discard(peer)
    pubsub.peer_queues[peer] = _with_what_was_waiting(queue_before)
    pubsub.manager.run_task(pubsub.handle_sending_messages, peer, stream, pubsub.peer_queues[peer])
    if peer in pubsub._peer_added_events:
        pubsub._peer_added_events.pop(peer).set()
    if before is None:
        await pubsub.router.flush_pending_messages(peer)
        await pubsub._send_recent_messages_to_new_peer(peer)
    else:
        pubsub.manager.run_task(_close_then_reset, before)


async def _open_stream(pubsub: Pubsub, connection: SwarmConn) -> INetStream:
    """Opens a stream on exactly that connection: `host.new_stream` would take any."""
    host = cast("BasicHost", pubsub.host)
    try:
        stream = await connection.new_stream()
    except BaseLibp2pError as error:
        raise SwarmException("no stream on that connection") from error
    try:
        with trio.fail_after(NEGOTIATE_SECONDS):
            talk = MultiselectCommunicator(stream)
            stream.set_protocol(await host.multiselect_client.select_one_of(pubsub.protocols, talk))
    except BaseException as error:  # a cancellation too: no other code knows this stream
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
            await stream.reset()
        if isinstance(error, trio.TooSlowError) or isinstance(error.__cause__, MultiselectCommunicatorError):
            raise SwarmException("no word of it on that stream") from error  # which is not a refusal of pubsub
        raise
    return stream


async def _close_then_reset(stream: INetStream) -> None:
    """Closes a stream before it resets it: js-libp2p forgets a peer that resets a stream, even one that it has
    replaced."""
    with suppress(BaseLibp2pError):  # its connection may be gone: that is why it is replaced
        with trio.move_on_after(CLOSE_SECONDS):
            await stream.close()
            await trio.sleep(CLOSE_SECONDS)
        with trio.move_on_after(CLOSE_SECONDS):
            await stream.reset()


def _with_what_was_waiting(before: RpcQueue | None) -> RpcQueue:
    queue = RpcQueue()
    if before is not None:
        waiting, before._queue = before._queue, queue._queue
        queue._queue = waiting
        before.close()
    return queue


def _stands_right(pubsub: Pubsub, peer: ID) -> bool:
    """Is our stream to that peer alive, and on the connection where it belongs?"""
    stream = cast("Any", pubsub.peers.get(peer))
    if stream is None or stream.muxed_conn.is_closed or peer in _of(pubsub).unheard:
        return False
    if _has_ended(stream):
        return False
    newest = _of(pubsub).newest.get(peer)
    return newest is None or newest.is_closed or newest is stream.muxed_conn


def _has_ended(stream: Any) -> bool:
    muxed = stream.muxed_stream
    if hasattr(muxed, "send_closed"):
        return bool(muxed.closed or muxed.send_closed)
    return stream._state in SPOILT  # a stream over webrtc shows nothing else


def _where_it_belongs(pubsub: Pubsub, peer: ID) -> SwarmConn | None:
    live = [c for c in pubsub.host.get_network().get_connections(peer) if not cast("Any", c).muxed_conn.is_closed]
    newest = _of(pubsub).newest.get(peer)
    for connection in live:
        if connection.muxed_conn is newest:
            return cast("SwarmConn", connection)
    return cast("SwarmConn", live[-1]) if live else None
