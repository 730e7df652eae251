"""webrtc-direct: a real Helia dials the worker's UDP port by the hash of its certificate, and again after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinning_worker.adapters.p2p.identity import new_key
from pinning_worker.domain.cid import parse_cid
from tests.adapters.p2p.bitswap.rig import TCP, open_node
from tests.interop.helia import KIB, MIB, open_helia
from tests.interop.node_binary import needs_node

pytest.importorskip("aiortc", reason="the extra [webrtc] is not installed")
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
