"""What is broken in py-libp2p 0.8.1, and mended here until upstream mends it: one small file for each.

Each file says what happens, why, and where the library goes wrong; it has one function `mend()`, which may be called
twice, and a test (`tests/adapters/p2p/test_cure_*.py`) that passes with it and fails without. When upstream has mended
one, its test's stock half starts to fail: delete the file and its line here.

The library is pinned exactly, because these files replace private names of it. They touch the library's classes, so
they hold for every host in the process. `open_host` calls `mend_all()` first.
"""

from pinning_worker.adapters.p2p.cures.connections import (
    back_at_once,
    deafness,
    newest_connection,
    private_network,
    whole_endings,
)
from pinning_worker.adapters.p2p.cures.gossip import (
    crowded_frames,
    flood_publish,
    gossip_in_back_off,
    idontwant,
    message_numbers,
    one_writer,
    outgoing_queue,
    publish_limit,
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
    stream_limit,
    whole_frames,
    whole_goodbyes,
    yamux_frames,
    yamux_window,
)
from pinning_worker.adapters.p2p.gossip import reconnect

ALL = (
    quiet,
    back_at_once,
    circuit_addresses,
    one_writer,  # before crash: what it puts in the place of the library's is guarded by that
    crash,
    crowded_frames,
    deafness,
    exclusive_port,
    first_bytes,
    flood_publish,
    gossip_in_back_off,
    given_up_streams,
    half_open,
    identify_again,
    idontwant,
    many_tasks,
    message_numbers,
    newest_connection,
    outgoing_queue,
    peer_records,
    ping,
    private_network,
    private_port,
    publish_limit,
    reconnect,
    record_again,
    sender_records,
    shared_tls,
    short_lines,
    slow_readers,
    steady_clock,
    stream_limit,
    whole_endings,
    whole_frames,
    whole_goodbyes,
    ws_close,
    ws_dial_count,
    ws_frames,
    ws_refusal,
    wss_address,
    yamux_frames,
    yamux_window,
)


def mend_all() -> None:
    """Applies every cure. Calling it again changes nothing."""
    for cure in ALL:
        cure.mend()
