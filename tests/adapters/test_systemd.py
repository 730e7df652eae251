"""What systemd hears, on a real unix datagram socket, by path and in the abstract namespace."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from pinning_worker.adapters.machine.systemd import Systemd

WATCHED = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}


@pytest.fixture(params=["path", "abstract"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """systemd's end, and the address as it stands in $NOTIFY_SOCKET."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@pinning-worker-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address.replace("@", "\0", 1) if request.param == "abstract" else address)
        server.settimeout(5)
        yield server, address


def test_ready_and_stopping(listening: tuple[socket.socket, str]) -> None:
    server, address = listening
    systemd = Systemd.from_environment({"NOTIFY_SOCKET": address})
    systemd.ready("12D3KooW… on /ip4/0.0.0.0/tcp/4001")
    systemd.stopping()
    assert server.recv(4096).decode() == "READY=1\nSTATUS=12D3KooW… on /ip4/0.0.0.0/tcp/4001"
    assert server.recv(4096) == b"STOPPING=1\nSTATUS=draining"


async def test_the_watchdog_hears_us_twice_in_its_time(
    listening: tuple[socket.socket, str], autojump_clock: MockClock
) -> None:
    server, address = listening
    systemd = Systemd.from_environment({"NOTIFY_SOCKET": address} | WATCHED)
    with trio.move_on_after(44):
        await systemd.watch()
    server.setblocking(False)
    assert [server.recv(64) for _ in range(3)] == [b"WATCHDOG=1"] * 3  # at 0, 15 and 30 s
    with pytest.raises(BlockingIOError):
        server.recv(64)


async def test_nobody_asked() -> None:
    for environ in ({}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, WATCHED | {"WATCHDOG_PID": "1"}):
        systemd = Systemd.from_environment(environ)
        assert systemd.watchdog_seconds is None
        with trio.fail_after(1):
            await systemd.watch()
        systemd.ready("")


def test_a_deaf_systemd_harms_nobody(tmp_path: Path) -> None:
    Systemd(str(tmp_path / "nobody listens")).ready("")
