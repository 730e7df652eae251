"""webrtc-direct without a browser: the certificate that is kept, and what is refused, each with its mend."""

from __future__ import annotations

import datetime
import os
import socket
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pinning_worker.adapters.p2p.errors import CannotListen
from pinning_worker.adapters.p2p.host import webrtc_direct as webrtc
from pinning_worker.adapters.p2p.host.identity import new_key
from pinning_worker.adapters.p2p.open_host import HostConfig, open_host

WEBRTC = "/ip4/127.0.0.1/udp/0/webrtc-direct"


async def certhash(pem: Path | None) -> str:
    async with open_host(HostConfig(new_key(), (WEBRTC,), webrtc_pem=pem)) as host:
        (address,) = host.addresses
        assert address.endswith(f"/p2p/{host.peer_id}")
        assert address.count("/p2p/") == 1
    return address.partition("/certhash/")[2].partition("/")[0]


async def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiortc", None)
    with pytest.raises(CannotListen, match=r"pip install 'pinning-worker\[webrtc\]'"):
        await certhash(None)


aiortc = pytest.mark.skipif(webrtc.missing(), reason="no aiortc: the extra [webrtc]")


@aiortc
async def test_the_certificate_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    pem = tmp_path / "webrtc.pem"
    first = await certhash(pem)
    assert pem.stat().st_mode & 0o777 == 0o600
    assert await certhash(pem) == first
    assert await certhash(None) != first
    assert os.listdir(tmp_path) == ["webrtc.pem"]


@aiortc
async def test_one_that_ends_soon_is_replaced_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = tmp_path / "webrtc.pem"
    monkeypatch.setattr(webrtc, "GOOD_FOR", datetime.timedelta(days=29))
    first = await certhash(pem)
    monkeypatch.undo()
    with capture_logs() as logs:
        second = await certhash(pem)
    assert second != first
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["webrtc.certificate_replaced"]
    assert await certhash(pem) == second


@aiortc
@pytest.mark.parametrize("damage", ["empty", "garbage", "half", "of two pairs", "folder"])
async def test_a_damaged_file_is_named_and_never_overwritten(damage: str, tmp_path: Path) -> None:
    pem, other = tmp_path / "webrtc.pem", tmp_path / "other.pem"
    await certhash(pem)
    await certhash(other)
    key, certificate = pem.read_bytes(), other.read_bytes()
    wrong = {
        "empty": b"",
        "garbage": b"\x00" * 100,
        "half": key[: len(key) // 2],
        "of two pairs": key[: key.index(b"-----BEGIN CERT")] + certificate[certificate.index(b"-----BEGIN CERT") :],
    }
    if damage == "folder":
        pem.unlink()
        pem.mkdir()
    else:
        pem.write_bytes(wrong[damage])
    with pytest.raises(CannotListen, match=str(pem)):
        await certhash(pem)
    assert damage == "folder" or pem.read_bytes() == wrong[damage]


@aiortc
async def test_a_busy_udp_port_is_a_clear_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        taken = f"/ip4/127.0.0.1/udp/{other.getsockname()[1]}/webrtc-direct"
        with pytest.raises(CannotListen, match=f"{taken}: Address already in use"):
            async with open_host(HostConfig(new_key(), (taken,))):
                pass
