"""Patches of py-libp2p 0.8.1, until upstream mends what they cure: one fault, one small file.

The folders follow the layers of the library: `ports`, `webrtc`, `connections`, `streams`, `identify`, `gossip`;
`process` holds what concerns the whole process. `once.py` is how a cure takes a method's place. A limit on a peer's
cost is no patch and stands in `bounds/`.

The docstring of a cure states the fault, its cause, its place in the library, the cure, and whether upstream knows
(`Upstream:`). Its one function `mend()` may be called twice. `AFTER` names the cures whose replacement it wraps: cures
that replace the same method need an order. A test (`tests/adapters/p2p/test_cure_*.py`) passes with the cure and fails
without it. When upstream has mended a fault, the stock half of that test starts to fail: delete the file and its line
here.

The library is pinned exactly, because cures replace private names of it. They touch its classes, so they hold for every
host in the process. Only `open_host` imports this package; it calls `mend_all()` first.
"""

from collections.abc import Iterable
from types import ModuleType

from pinning_worker.adapters.p2p.cures.connections import (
    back_at_once,
    connection_close,
    deafness,
    newest_connection,
    private_network,
)
from pinning_worker.adapters.p2p.cures.gossip import (
    crowded_frames,
    one_writer,
    outgoing_queue,
    reconnect,
    sender_records,
)
from pinning_worker.adapters.p2p.cures.identify import (
    circuit_addresses,
    identify_again,
    peer_records,
    ping,
    record_again,
)
from pinning_worker.adapters.p2p.cures.ports import (
    exclusive_port,
    first_bytes,
    half_open,
    private_port,
    shared_tls,
    short_lines,
    ws_close,
    ws_dial_count,
    ws_frames,
    ws_refusal,
    wss_address,
)
from pinning_worker.adapters.p2p.cures.process import crash, many_tasks, quiet, steady_clock
from pinning_worker.adapters.p2p.cures.streams import (
    given_up_streams,
    slow_readers,
    stream_close,
    stream_limit,
    whole_frames,
    yamux_frames,
    yamux_window,
)

ALL: tuple[ModuleType, ...] = (
    *(crash, many_tasks, quiet, steady_clock),
    *(exclusive_port, first_bytes, half_open, private_port, shared_tls, short_lines),
    *(ws_close, ws_dial_count, ws_frames, ws_refusal, wss_address),
    *(back_at_once, deafness, newest_connection, private_network, connection_close),
    *(given_up_streams, slow_readers, stream_limit, whole_frames, stream_close, yamux_frames, yamux_window),
    *(circuit_addresses, identify_again, peer_records, ping, record_again),
    *(crowded_frames, one_writer, outgoing_queue, reconnect, sender_records),
)
"""All but those of webrtc, in no order that matters."""


def mend_all() -> None:
    """Applies every cure but those of webrtc. Calling it again changes nothing."""
    _mend(ALL)


def mend_webrtc() -> None:
    """Applies the cures of webrtc, which need aiortc. Calling it again changes nothing."""
    _mend(webrtc_cures())


def webrtc_cures() -> tuple[ModuleType, ...]:
    """Imports them, and aiortc with them."""
    from pinning_worker.adapters.p2p.cures.webrtc import bounds, close, door, threads, window

    return (bounds, door, close, threads, window)


def in_order(cures: Iterable[ModuleType]) -> list[ModuleType]:
    """Each cure behind those in its AFTER; otherwise as given."""
    placed: list[ModuleType] = []

    def place(cure: ModuleType) -> None:
        for earlier in getattr(cure, "AFTER", ()):
            place(earlier)
        if cure not in placed:
            placed.append(cure)

    for cure in cures:
        place(cure)
    return placed


def _mend(cures: Iterable[ModuleType]) -> None:
    for cure in in_order(cures):
        cure.mend()
