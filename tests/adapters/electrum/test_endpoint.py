"""Server addresses as people write them, and certificates as servers show them."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import cast

import pytest
import trio

from pinning_worker.adapters.electrum.endpoint import BadServerUrl, WrongCertificate, open_stream, parse_server_url
from pinning_worker.sandbox.electrumx import Certificate
from tests.certificates import fingerprint, self_signed

PIN = "ab" * 32


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "path"),
    [
        ("tcp://electrum.example", "tcp", "electrum.example", 50001, "/"),
        ("ssl://electrum.example/", "ssl", "electrum.example", 50002, "/"),
        ("ws://electrum.example", "ws", "electrum.example", 50003, "/"),
        ("wss://big-parrot-60.doi.works:50004", "wss", "big-parrot-60.doi.works", 50004, "/"),
        ("wss://electrum.example:443/electrum", "wss", "electrum.example", 443, "/electrum"),
        ("tcp://[::1]:1234", "tcp", "::1", 1234, "/"),
    ],
)
def test_addresses(url: str, scheme: str, host: str, port: int, path: str) -> None:
    endpoint = parse_server_url(url)
    assert (endpoint.scheme, endpoint.host, endpoint.port, endpoint.path, endpoint.url) == (
        scheme,
        host,
        port,
        path,
        url,
    )
    assert (endpoint.is_tls, endpoint.is_websocket) == (scheme in ("ssl", "wss"), scheme in ("ws", "wss"))


def test_certificates_may_be_pinned() -> None:
    assert parse_server_url(f"ssl://a?cert=sha256:{PIN}").certificate == bytes.fromhex(PIN)
    colons = ":".join(["AB"] * 32)
    assert parse_server_url(f"wss://a:1/p?cert=sha256:{colons}").certificate == bytes.fromhex(PIN)
    assert parse_server_url("ssl://a?ca=/etc/my-ca.pem").ca_file == "/etc/my-ca.pem"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("electrum.example:50001", "begin it with one of tcp://, ssl://, ws://, wss://"),
        ("http://electrum.example", "begin it with"),
        ("", "begin it with"),
        ("tcp://", "host is missing"),
        ("tcp://:50001", "host is missing"),
        ("tcp://" + "a" * 64, "label"),
        ("tcp://a..b", "label"),
        ("tcp://a:99999", "[Pp]ort"),
        ("tcp://a:x", "[Pp]ort|cast"),
        ("tcp://[::1", "IPv6"),
        ("tcp://user:secret@a", "only host"),
        ("tcp://a#b", "only host"),
        ("tcp://a/path", "only ws and wss have a path"),
        ("ssl://a?cert=md5:00", "64 hex digits"),
        ("ssl://a?cert=sha256:00", "64 hex digits"),
        ("ssl://a?cert=", "64 hex digits|either cert"),
        (f"tcp://a?cert=sha256:{PIN}", "with ssl and wss"),
        (f"ssl://a?cert=sha256:{PIN}&ca=x", "either cert"),
        ("ssl://a?verify=no", "either cert"),
    ],
)
def test_what_is_no_address(url: str, why: str) -> None:
    with pytest.raises(BadServerUrl, match=why):
        parse_server_url(url)


@pytest.fixture
async def tls_port(nursery: trio.Nursery, tmp_path: Path) -> int:
    """A TLS server with a certificate that it signed itself."""
    files = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    (listener,) = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1", https_compatible=True)

    async def serve(stream: trio.SSLStream) -> None:
        async with stream:
            try:
                await stream.do_handshake()
                await stream.receive_some()
            except trio.BrokenResourceError:
                pass

    nursery.start_soon(trio.serve_listeners, serve, [listener])
    tcp = cast("trio.SocketListener", listener.transport_listener)
    port: int = tcp.socket.getsockname()[1]
    return port


async def connect(url: str) -> None:
    stream = await open_stream(parse_server_url(url))
    await trio.aclose_forcefully(stream)


async def test_a_certificate_that_nobody_vouches_for(tls_port: int) -> None:
    with pytest.raises(trio.BrokenResourceError) as caught:
        await connect(f"ssl://127.0.0.1:{tls_port}")
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


async def test_a_pinned_certificate(tls_port: int, tmp_path: Path) -> None:
    files = Certificate(tmp_path / "server.pem", tmp_path / "server.key")
    await connect(f"ssl://127.0.0.1:{tls_port}?cert=sha256:{fingerprint(files)}")
    with pytest.raises(WrongCertificate, match=fingerprint(files)):
        await connect(f"ssl://127.0.0.1:{tls_port}?cert=sha256:{PIN}")


async def test_authorities_of_ones_own(tls_port: int, tmp_path: Path) -> None:
    await connect(f"ssl://127.0.0.1:{tls_port}?ca={tmp_path / 'server.pem'}")
    other = self_signed(tmp_path, "other")
    with pytest.raises(trio.BrokenResourceError):
        await connect(f"ssl://127.0.0.1:{tls_port}?ca={other.certificate}")
    with pytest.raises(OSError, match="No such file"):
        await connect(f"ssl://127.0.0.1:{tls_port}?ca={tmp_path / 'missing.pem'}")
    with pytest.raises(trio.BrokenResourceError) as caught:  # the right certificate, under another name
        await connect(f"ssl://localhost:{tls_port}?ca={tmp_path / 'server.pem'}")
    assert "localhost" in str(caught.value.__cause__)
