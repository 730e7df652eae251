"""A name is dialled where it led when it was looked up and judged: what its DNS says a moment later leads nobody astray
(DNS rebinding). The DNS is a twin by trio's own hook; all else is real."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.host.dns_rebinding import leading_to
from pinning_worker.adapters.p2p.host.identity import new_key, peer_id_of
from pinning_worker.adapters.p2p.host.tls_certificate import CertificateFiles
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from tests.certificates import self_signed

DEADLINE = 30.0
NAME = "pin.example.org"
FIRST, AFTERWARDS = "127.0.0.1", "127.0.0.2"


class FickleDns(trio.abc.HostnameResolver):
    """Says FIRST, and from the second time on AFTERWARDS. `asked` counts."""

    def __init__(self) -> None:
        self.asked = 0

    async def getaddrinfo(
        self, host: bytes | None, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        if host != NAME.encode():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        self.asked += 1
        return list(socket.getaddrinfo(FIRST if self.asked == 1 else AFTERWARDS, port, family, type, proto))

    async def getnameinfo(self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int) -> tuple[str, str]:
        raise NotImplementedError


@contextmanager
def fickle_dns() -> Iterator[FickleDns]:
    dns = FickleDns()
    before = trio.socket.set_custom_hostname_resolver(dns)
    try:
        yield dns
    finally:
        trio.socket.set_custom_hostname_resolver(before)


@asynccontextmanager
async def somebody_at(ip: str, port: int) -> AsyncIterator[list[trio.SocketStream]]:
    """The connections that came in there."""
    knocked: list[trio.SocketStream] = []

    async def hear(stream: trio.SocketStream) -> None:
        knocked.append(stream)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(port, host=ip)
        nursery.start_soon(trio.serve_listeners, hear, [listener])
        yield knocked
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("transport", ["", "/ws", "/tls/ws"], ids=["tcp", "ws", "wss"])
@pytest.mark.parametrize("kind", ["dns", "dns4"])
async def test_the_second_answer_leads_nowhere(
    kind: str, transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And over wss it is still the name that the certificate must be for."""
    made = self_signed(tmp_path, names=(NAME,))
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    config = HostConfig(
        new_key(), (f"/ip4/{FIRST}/tcp/0{transport}",), certificate=CertificateFiles(made.certificate, made.key)
    )
    async with open_host(HostConfig(new_key(), ())) as us, open_host(config) as them:
        port = int(them.addresses[0].split("/")[4])
        async with somebody_at(AFTERWARDS, port) as knocked:
            with fickle_dns() as dns:
                address = them.addresses[0].replace(f"/ip4/{FIRST}/", f"/{kind}/{NAME}/")
                assert await us.connect(address, DEADLINE) == them.peer_id
                assert dns.asked == 1
            assert knocked == []


async def test_the_name_is_asked_for_in_the_request() -> None:
    """The name by which a proxy in front of many chooses."""
    heard = trio.Event()
    said = b""

    async def answer(stream: trio.SocketStream) -> None:
        nonlocal said
        async with stream:
            said = bytes(await stream.receive_some())
            heard.set()

    async with open_host(HostConfig(new_key(), ())) as us, trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host=FIRST)
        port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        with fickle_dns(), pytest.raises(CannotConnect):
            await us.connect(f"/dns4/{NAME}/tcp/{port}/ws/p2p/{peer_id_of(new_key())}", DEADLINE)
        with trio.fail_after(DEADLINE):
            await heard.wait()
        assert f"Host: {NAME}:{port}\r\n".encode() in said
        nursery.cancel_scope.cancel()


async def test_outside_of_a_dial_names_lead_where_they_lead() -> None:
    """Also for what a dial has begun, and what lives longer than it."""
    asked, answers = trio.Event(), []

    async def look_up_later() -> None:
        await asked.wait()
        answers.append(await trio.socket.getaddrinfo("localhost", 1, socket.AF_INET))

    async with trio.open_nursery() as nursery:
        with leading_to(["127.0.0.9"]):
            nursery.start_soon(look_up_later)
            assert (await trio.socket.getaddrinfo("localhost", 1))[0][4] == ("127.0.0.9", 1)
        asked.set()
    assert answers[0][0][4] == ("127.0.0.1", 1)
    assert (await trio.socket.getnameinfo(("127.0.0.1", 1), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV))[1] == "1"
