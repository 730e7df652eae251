"""Which addresses the host really dials: by every transport whatever it listens on, names too, and wss only if it can
believe the certificate."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from pinning_worker.adapters.p2p.errors import BadAddress, CannotConnect
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.host.tls_certificate import CertificateFiles
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from tests.certificates import self_signed

TCP, WS, WSS = (f"/ip4/127.0.0.1/tcp/0{transport}" for transport in ("", "/ws", "/tls/ws"))
DEADLINE = 20.0


@pytest.mark.parametrize("listens", [TCP, WS])
@pytest.mark.parametrize("dialled", [TCP, WS])
async def test_tcp_and_ws_are_dialled_whatever_we_listen_on(listens: str, dialled: str) -> None:
    async with (
        open_host(HostConfig(new_key(), (listens,))) as us,
        open_host(HostConfig(new_key(), (dialled,))) as them,
    ):
        assert await us.connect(them.addresses[0], DEADLINE) == them.peer_id


@pytest.mark.parametrize("name", ["dns", "dns4"])
@pytest.mark.parametrize("transport", [TCP, WS], ids=["tcp", "ws"])
async def test_a_name_is_dialled(name: str, transport: str) -> None:
    async with open_host(HostConfig(new_key(), (TCP,))) as us, open_host(HostConfig(new_key(), (transport,))) as them:
        address = them.addresses[0].replace("/ip4/127.0.0.1/", f"/{name}/localhost/")
        assert await us.connect(address, DEADLINE) == them.peer_id


async def test_a_name_that_a_stranger_told_us_leads_not_into_our_own_network() -> None:
    async with (
        open_host(HostConfig(new_key(), (TCP,))) as at_home,
        open_host(HostConfig(new_key(), (TCP,), announce=("/ip4/8.8.8.8/tcp/4001",))) as us,
        open_host(HostConfig(new_key(), (TCP, WS))) as them,
    ):
        for address in them.addresses:
            named = address.replace("/ip4/127.0.0.1/", "/dns4/localhost/")
            with pytest.raises(CannotConnect, match="localhost leads into a private network"):
                await us.connect_on_hearsay(named, DEADLINE)
            with pytest.raises(CannotConnect, match="the relay: localhost leads into a private network"):
                await us.connect_on_hearsay(f"{named}/p2p-circuit/p2p/{at_home.peer_id}", DEADLINE)
            with pytest.raises(BadAddress):
                await us.connect_on_hearsay(address, DEADLINE)
            with pytest.raises(BadAddress):
                await us.connect_on_hearsay(f"{address}/p2p-circuit/p2p/{at_home.peer_id}", DEADLINE)
        assert us.peers() == []
        assert await us.connect(named, DEADLINE) == them.peer_id  # the operator may
        assert await at_home.connect_on_hearsay(named, DEADLINE) == them.peer_id


async def test_a_name_that_nobody_has_is_told() -> None:
    async with open_host(HostConfig(new_key(), (TCP,))) as us, open_host(HostConfig(new_key(), (TCP, WS))) as them:
        for address in them.addresses:
            nobody = address.replace("/ip4/127.0.0.1/", "/dns4/nobody.invalid/")
            with pytest.raises(CannotConnect, match=r"nobody\.invalid: Name or service not known"):
                await us.connect(nobody, DEADLINE)


@pytest.mark.parametrize("host", ["ip4/127.0.0.1", "dns4/localhost"])
@pytest.mark.parametrize("tls", ["tls/ws", "wss"])
async def test_wss_is_dialled_when_the_certificate_is_for_that_name(
    host: str, tls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = self_signed(tmp_path, names=("localhost",))
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))  # as if an authority that the machine trusts had signed
    files = CertificateFiles(made.certificate, made.key)
    async with (
        open_host(HostConfig(new_key(), (TCP,))) as us,
        open_host(HostConfig(new_key(), (WSS,), certificate=files)) as them,
    ):
        address = them.addresses[0].replace("/ip4/127.0.0.1/", f"/{host}/").replace("/tls/ws/", f"/{tls}/")
        assert await us.connect(address, DEADLINE) == them.peer_id


@pytest.mark.parametrize(
    ("trusted", "host", "days", "told"),
    [
        (False, "ip4/127.0.0.1", 1, "self-signed certificate"),
        (True, "dns4/localhost", 1, "Hostname mismatch.*localhost"),
        (True, "ip4/127.0.0.1", -1, "certificate has expired"),
    ],
    ids=["nobody trusts it", "it is for another name", "expired"],
)
async def test_a_certificate_that_cannot_be_believed_is_told_and_nobody_is_connected(
    trusted: bool, host: str, days: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = self_signed(tmp_path, until=datetime.timedelta(days=days))
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    files = CertificateFiles(made.certificate, made.key)
    async with (
        open_host(HostConfig(new_key(), (TCP,))) as us,
        open_host(HostConfig(new_key(), (WSS,), certificate=files)) as them,
    ):
        with pytest.raises(CannotConnect, match=f"certificate verify failed.*{told}"):
            await us.connect(them.addresses[0].replace("/ip4/127.0.0.1/", f"/{host}/"), DEADLINE)
        assert us.peers() == []
