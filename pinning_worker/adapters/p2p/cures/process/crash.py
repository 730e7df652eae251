"""One bad message must not end the process.

The fault: 200 random bytes as a `/meshsub` frame, a pubsub message with a bad `key`, or any stream handler that raises
ends the whole host. Why: the library runs handlers in the nurseries of its swarm and of its pubsub service, so an
exception that nobody caught cancels everything. Where: `SwarmConn._handle_muxed_stream`, the tasks that `Pubsub`
starts, `GossipSub.handle_rpc` and `.heartbeat`, and identify, which runs as a trio system task.

The cure: an exception ends its own scope (this stream, this message, this connection) and is counted by place and kind,
and the rest goes on. Cancellation passes through. A fault that a peer can cause is logged at debug level, or a flooder
would fill the disk with log lines; one raised in our own code is a bug, and is logged with its traceback.

Upstream: not reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import structlog
import trio
from libp2p.host.basic_host import BasicHost
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.stream_muxer.yamux.yamux import Yamux

from pinning_worker.adapters.p2p.cures.gossip import one_writer
from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.host import protected_connection
from pinning_worker.adapters.p2p.host.connections import quietly

RESTART_SECONDS = 1.0

_log = structlog.get_logger(__name__)
_caught: Counter[tuple[str, str]] = Counter()

Method = Callable[..., Awaitable[Any]]


def caught() -> Counter[tuple[str, str]]:
    """The exceptions caught since the process began: (place, kind of exception) -> count."""
    return _caught.copy()


AFTER = (one_writer,)  # the loop that it puts in the place of the library's is guarded too


def mend() -> None:
    replace(SwarmConn, "_handle_muxed_stream", _reset_the_stream)
    replace(SwarmConn, "start", _close_the_connection)
    replace(Yamux, "start", _close_the_connection)
    for name in ("push_msg", "_handle_new_peer_with_retry", "_replay_recent_messages", "handle_sending_messages"):
        replace(Pubsub, name, _drop_it)
    for name in ("handle_rpc", "flush_pending_messages", "on_peer_subscribed"):
        replace(GossipSub, name, _drop_it)
    replace(GossipSub, "heartbeat", _beat_again)
    replace(BasicHost, "_identify_task_entry", _drop_it)


def _reset_the_stream(stock: Method) -> Method:
    async def mended(self: SwarmConn, muxed_stream: Any) -> None:
        try:
            await stock(self, muxed_stream)
        except Exception as error:  # noqa: BLE001  logged and counted; a stream's fault ends that stream
            _tell(stock, error)
            await quietly(muxed_stream.reset)

    return mended


def _close_the_connection(stock: Method) -> Method:
    async def mended(self: Any) -> None:
        try:
            await stock(self)
        except Exception as error:  # noqa: BLE001  logged and counted; a connection's fault ends that connection
            _tell(stock, error)
            await quietly(self.close)

    return mended


def _drop_it(stock: Method) -> Method:
    async def mended(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await stock(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  logged and counted; a message's fault ends that message
            _tell(stock, error)

    return mended


def _beat_again(stock: Method) -> Method:
    async def mended(self: GossipSub) -> None:
        while True:
            try:
                await stock(self)
            except Exception as error:  # noqa: BLE001  logged and counted; without its heartbeat gossip would die out
                _tell(stock, error)
                await trio.sleep(RESTART_SECONDS)

    return mended


def _tell(place: Method, error: Exception) -> None:
    where, kind = place.__qualname__, type(error).__name__
    _caught[where, kind] += 1
    if _is_ours(error.__traceback__):
        _log.error("libp2p.bug_in_our_handler", place=where, error=repr(error), exc_info=error)
    else:
        _log.debug("libp2p.fault_caught", place=where, error=repr(error))


def _is_ours(traceback: TracebackType | None) -> bool:
    """Was any of our own code running when it was raised, other than the cures and what the library reads through?"""
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        if module.startswith("pinning_worker.") and ".cures." not in module and module != protected_connection.__name__:
            return True
        traceback = traceback.tb_next
    return False
