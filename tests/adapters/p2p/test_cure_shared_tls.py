"""The shared-TLS cure: on a port that tcp, ws and wss share, what begins like TLS is TLS."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

import trio

from pinning_worker.adapters.p2p.cures.ports import first_bytes, shared_tls
from tests.adapters.p2p.cure_rig import TCP, bare_host, outcome, play
from tests.certificates import self_signed


async def a_tls_handshake() -> str:
    with tempfile.TemporaryDirectory() as folder:
        made = self_signed(Path(folder))
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=made.certificate)
        server.load_cert_chain(made.certificate, made.key)
        async with bare_host(TCP, TCP + "/wss", tls_server_config=server) as host:
            port = int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
            stream = await trio.open_ssl_over_tcp_stream("127.0.0.1", port, ssl_context=client, https_compatible=True)
            try:
                with trio.fail_after(30):
                    await stream.do_handshake()
            except trio.BrokenResourceError:
                return "not encrypted"
            finally:
                await trio.aclose_forcefully(stream)
            return "encrypted"


def test_it_is_encrypted() -> None:
    assert outcome(a_tls_handshake, stock=False) == "encrypted"


def test_the_stock_library_is_not() -> None:
    assert outcome(a_tls_handshake, stock=True) == "not encrypted"


if __name__ == "__main__":
    play(globals(), first_bytes, shared_tls)
