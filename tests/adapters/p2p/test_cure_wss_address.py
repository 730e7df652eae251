"""The wss-address cure: a peer is dialled however its address says wss."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.cures.ports import first_bytes, shared_tls, wss_address
from tests.adapters.p2p.cure_rig import TCP, bare_host, outcome, play
from tests.certificates import self_signed


async def dial_by_either_name() -> str:
    for listening in (first_bytes, shared_tls):  # the other side's; they are not what this is about
        listening.mend()
    said = []
    with tempfile.TemporaryDirectory() as folder:
        made = self_signed(Path(folder))
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=made.certificate)
        server.load_cert_chain(made.certificate, made.key)
        async with (
            bare_host(TCP, TCP + "/wss", tls_server_config=server) as host,
            bare_host(TCP, TCP + "/ws", tls_client_config=client) as us,
        ):
            port = int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
            swarm = us.get_network()
            assert isinstance(swarm, Swarm)
            for name in ("wss", "tls/ws"):
                try:
                    await swarm.dial_addr(Multiaddr(f"/ip4/127.0.0.1/tcp/{port}/{name}"), host.get_id())
                    said.append(f"{name}: connected")
                except SwarmException as error:
                    said.append(f"{name}: {str(error.__cause__).split('/')[0].strip()}")
    return ", ".join(said)


def test_both_are_dialled() -> None:
    assert outcome(dial_by_either_name, stock=False) == "wss: connected, tls/ws: connected"


def test_the_stock_library_dials_one_of_them() -> None:
    assert outcome(dial_by_either_name, stock=True) == "wss: connected, tls/ws: Cannot dial"


if __name__ == "__main__":
    play(globals(), wss_address)
