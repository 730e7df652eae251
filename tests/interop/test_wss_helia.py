"""wss with the operator's certificate: a real Helia dials it, over one port with tcp and ws, also after a renewal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio

from pinning_worker.adapters.p2p.host import tls_certificate as renewal
from pinning_worker.adapters.p2p.host.tls_certificate import CertificateFiles
from pinning_worker.domain.content.cid import parse_cid
from tests.adapters.p2p.bitswap.rig import TCP, WS, open_node
from tests.certificates import self_signed
from tests.interop.helia import KIB, MIB, HeliaError, open_helia
from tests.interop.node_binary import needs_node

pytestmark = [pytest.mark.interop, needs_node]

WSS = "/ip4/127.0.0.1/tcp/0/tls/ws"


async def test_a_helia_asks_and_is_asked_over_wss(tmp_path: Path) -> None:
    made = self_signed(tmp_path)
    files = CertificateFiles(made.certificate, made.key)
    async with (
        open_node(listen=(TCP, WS, WSS), more={"certificate": files}) as node,
        open_helia([], topic=None, trusted=made.certificate) as browser,
    ):
        tcp, ws, wss = node.host.addresses
        assert (ws, wss) == (tcp.replace("/p2p/", "/ws/p2p/"), tcp.replace("/p2p/", "/tls/ws/p2p/"))
        for address in (wss, wss.replace("/tls/ws/", "/wss/")):
            await browser.dial(address)
            file = await browser.add_file(3 * MIB, seed=address, chunk_size=256 * KIB)
            fetched = await node.fetch(parse_cid(file.cid), browser.peer_id)
            assert fetched.bytes == file.dag_bytes
            await browser.forget()
            assert (await browser.cat(file.cid)).sha256 == file.sha256
            assert [each.addr for each in await browser.connections()] == [address]
            await browser.hangup(node.host.peer_id)


async def test_after_a_renewal_only_the_new_certificate_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "LOOK_SECONDS", 0.05)
    old, new = self_signed(tmp_path, "old"), self_signed(tmp_path, "new")
    live = CertificateFiles(tmp_path / "live.pem", tmp_path / "live.key")
    shutil.copy(old.certificate, live.certificate)
    shutil.copy(old.key, live.key)
    async with (
        open_node(listen=(WSS,), more={"certificate": live}) as node,
        open_helia([], topic=None, trusted=old.certificate) as before,
        open_helia([], topic=None, trusted=new.certificate) as after,
    ):
        (address,) = node.host.addresses
        await before.dial(address)
        with pytest.raises(HeliaError):
            await after.dial(address)
        shutil.copy(new.key, live.key)
        shutil.copy(new.certificate, live.certificate)
        with trio.fail_after(30):
            while True:
                try:
                    await after.dial(address)
                    break
                except HeliaError:
                    await trio.sleep(0.2)
        assert await before.peers() == [node.host.peer_id]
