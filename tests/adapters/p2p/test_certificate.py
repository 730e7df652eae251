"""The certificate for wss, against OpenSSL: what is served before and after it is renewed, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
import ssl
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from pinning_worker.adapters.p2p.errors import BadAddress, CannotListen
from pinning_worker.adapters.p2p.host import tls_certificate as renewal
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.host.tls_certificate import CertificateFiles, TlsCertificate
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host
from tests.certificates import fingerprint, self_signed

TCP, WSS = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/tls/ws"


def files(folder: Path, name: str = "server") -> CertificateFiles:
    made = self_signed(folder, name)
    return CertificateFiles(made.certificate, made.key)


async def served(port: int) -> str:
    """The fingerprint of the certificate that a new connection is shown."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    stream = await trio.open_ssl_over_tcp_stream("127.0.0.1", port, ssl_context=anybody, https_compatible=True)
    with trio.fail_after(30):
        await stream.do_handshake()
    der: bytes = stream.getpeercert(binary_form=True)  # type: ignore[assignment]  # typed for the other form
    await trio.aclose_forcefully(stream)
    return hashlib.sha256(der).hexdigest()


async def test_a_renewed_certificate_is_served_without_a_restart_and_connections_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "LOOK_SECONDS", 0.01)
    old, new = self_signed(tmp_path, "old"), self_signed(tmp_path, "new")
    live = CertificateFiles(tmp_path / "live.pem", tmp_path / "live.key")
    shutil.copy(old.certificate, live.certificate)
    shutil.copy(old.key, live.key)
    async with (
        open_host(HostConfig(new_key(), (TCP, WSS), certificate=live)) as host,
        open_host(HostConfig(new_key(), (TCP,))) as other,
    ):
        port = int(host.addresses[0].split("/")[4])
        await other.connect(host.addresses[0], 20)
        assert await served(port) == fingerprint(old)
        with capture_logs() as logs:
            shutil.copy(new.certificate, live.certificate)  # its key is not there yet
            await until_told(logs, "tls.not_renewed")
            assert await served(port) == fingerprint(old)
            shutil.copy(new.key, live.key)
            await until_told(logs, "tls.certificate")
        assert await served(port) == fingerprint(new)
        assert other.is_connected(host.peer_id)


async def until_told(logs: object, event: str) -> None:
    with trio.fail_after(30):
        while not any(line["event"] == event for line in logs):  # type: ignore[attr-defined]  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_who_breaks_off_or_speaks_nonsense_in_tls_harms_nobody(tmp_path: Path) -> None:
    async with open_host(HostConfig(new_key(), (TCP, WSS), certificate=files(tmp_path))) as host:
        port = int(host.addresses[0].split("/")[4])
        for sent in (b"\x16\x03\x01", b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01" + bytes(300)):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(sent)
            await stream.send_eof()
            with trio.fail_after(8):  # before the handshake's time is over
                while await stream.receive_some():
                    pass
            await stream.aclose()
        assert await served(port)


@pytest.mark.parametrize("wrong", ["missing", "other key", "no certificate"])
def test_files_that_cannot_be_used_are_named(wrong: str, tmp_path: Path) -> None:
    good, other = files(tmp_path), files(tmp_path, "other")
    pair = {
        "missing": CertificateFiles(tmp_path / "nowhere.pem", good.key),
        "other key": CertificateFiles(good.certificate, other.key),
        "no certificate": CertificateFiles(good.key, good.key),
    }[wrong]
    with pytest.raises(CannotListen, match=f"cannot use {pair.certificate} with {pair.key} for wss: "):
        TlsCertificate(pair)


async def test_wss_without_a_certificate_is_refused() -> None:
    with pytest.raises(BadAddress, match="with a certificate only"):
        async with open_host(HostConfig(new_key(), (WSS,))):
            pass
