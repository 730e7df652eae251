"""webrtc-direct: a real Helia dials the worker's UDP port by the hash of its certificate, and again after a restart;
and what it sends is all read, however late."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamError

from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from pinning_worker.domain.content.cid import parse_cid
from tests.adapters.p2p.bitswap.rig import TCP, open_node
from tests.adapters.p2p.cure_rig import until
from tests.interop.helia import KIB, MIB, open_helia
from tests.interop.node_binary import needs_node

pytest.importorskip("aiortc", reason="the extra [webrtc] is not installed")

from aioice import ice

from tests.adapters.p2p.webrtc_rig import sctp_of

pytestmark = [pytest.mark.interop, needs_node]

WEBRTC = "/ip4/127.0.0.1/udp/0/webrtc-direct"


async def test_a_file_there_and_back_and_the_address_outlives_a_restart(tmp_path: Path) -> None:
    key, listen, told = new_key(), WEBRTC, []
    for _ in range(2):
        async with (
            open_node(key=key, listen=(TCP, listen), more={"webrtc_pem": tmp_path / "webrtc.pem"}) as node,
            open_helia([], topic=None) as browser,
        ):
            (address,) = (each for each in node.host.addresses if "/webrtc-direct/certhash/" in each)
            told.append(address)
            await browser.dial(address)
            file = await browser.add_file(5 * MIB, chunk_size=256 * KIB)
            assert (await node.fetch(parse_cid(file.cid), browser.peer_id)).bytes == file.dag_bytes
            await browser.forget()
            read = await browser.cat(file.cid)
            assert read.sha256 == file.sha256
            print(f"5 MiB from the worker over webrtc-direct: {read.ms:.0f} ms")
            assert [each.addr for each in await browser.connections()] == [address]
            listen = address.partition("/certhash/")[0]
    assert told[0] == told[1]


async def test_who_hangs_up_is_gone_without_being_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missed is who says nothing for half a minute, which here is never."""
    monkeypatch.setattr(ice, "CONSENT_FAILURES", 1_000_000)
    async with open_host(HostConfig(new_key(), (WEBRTC,))) as host, open_helia([], topic=None) as browser:
        await browser.dial(host.addresses[0])
        await browser.hangup(host.peer_id)
        with trio.fail_after(60):
            while host.is_connected(browser.peer_id):
                await host.changed()


async def test_a_reader_that_is_busy_for_a_while_gets_everything() -> None:
    """Several times what may lie unread; it begins to read when the sender has no more room."""
    size, protocol = 8 * MIB, TProtocol("/late/1.0.0")
    got, ended = bytearray(), trio.Event()

    async with open_host(HostConfig(new_key(), (WEBRTC,))) as host, open_helia([], topic=None) as browser:

        async def read_late(stream: INetStream) -> None:
            (connection,) = host.swarm.get_connections()
            sctp = sctp_of(connection.muxed_conn)
            await until(lambda: sctp._advertised_rwnd < 16 * KIB, 10)
            with suppress(StreamError):  # the library's word for the end as well
                while part := await stream.read(MIB):
                    got.extend(part)
            ended.set()

        host.raw.set_stream_handler(protocol, read_late)
        await browser.dial(host.addresses[0])
        await browser.send(host.peer_id, protocol, size)
        with trio.fail_after(60):
            await ended.wait()
    assert got == b"".join(bytes([n]) * (64 * KIB) for n in range(size // (64 * KIB)))
