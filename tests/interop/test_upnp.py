"""UPnP with a real router: a worker at home is dialled from outside at the address that it tells; and all that can go
wrong with routers is said and outlived."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio

from pinning_worker.adapters.p2p.host.webrtc_direct import missing
from tests.adapters.test_settings import REGTEST
from tests.interop.helia import HeliaError, open_helia
from tests.interop.home import ALLOW, ANOTHER_ROUTERS, ROUTER, Home, needs_home, open_home
from tests.interop.kubo import needs_kubo, open_kubo
from tests.interop.node_binary import needs_node
from tests.interop.worker import COMMAND, Worker, open_worker

pytestmark = [pytest.mark.interop, needs_home]

PORT = 4001
TCP = f"/ip4/0.0.0.0/tcp/{PORT}"
LISTEN = " ".join([TCP, f"{TCP}/ws"] + ([] if missing() else [f"/ip4/0.0.0.0/udp/{PORT}/webrtc-direct"]))
OUTSIDE = f"/ip4/{ROUTER}/tcp/{PORT}"
SECONDS = 60
PYTHON = str(COMMAND.parent / "python")

# The same program, for which a minute is a second.
HURRIED = """
import sys
from pinning_worker.adapters.p2p.discovery import mapped_ports
from pinning_worker.cli import main
mapped_ports.RENEW_SECONDS = mapped_ports.FIRST_WAIT_SECONDS = 1.0
del sys.argv[0]
main()
"""
# Another program of the household, which was there first.
FIRST_COME = f"""
import miniupnpc
device = miniupnpc.UPnP()
device.discover()
device.selectigd()
device.addportmapping({PORT}, "TCP", "192.168.77.9", 1234, "a console", "", 600)
"""


def worker(
    folder: Path, home: Home, *, command: Sequence[str] = (), **settings: str
) -> AbstractAsyncContextManager[Worker]:
    told = {"PINNING_UPNP": "on", "PINNING_LISTEN": LISTEN, "PINNING_LOG_FORMAT": "logfmt"}
    return open_worker(folder / "worker", REGTEST | told | settings, [*home.inside.inside, *command])


@needs_node
@needs_kubo
async def test_a_worker_at_home_is_dialled_from_outside_and_gives_its_ports_back(tmp_path: Path) -> None:
    with open_home() as home:
        async with home.upnp(tmp_path), worker(tmp_path, home) as us:
            line = await us.logged("event=upnp.mapped", SECONDS)
            assert f"{OUTSIDE}" in line
            async with open_helia([], inside=home.outside.inside) as peer:
                assert await peer.dial(f"{OUTSIDE}/p2p/{us.peer_id}", deadline=20) == us.peer_id
                await peer.wait_mesh(peer_id=us.peer_id)
            async with open_kubo(tmp_path / "kubo", inside=home.outside.inside) as node:
                await node.connect(f"{OUTSIDE}/ws/p2p/{us.peer_id}")
                await node.until(lambda told: f"{OUTSIDE}/p2p/{us.peer_id}" in told, "id", us.peer_id)
            assert f"dport {PORT}" in home.forwarded()
            assert await us.stop() == 0
            await us.logged("event=upnp.given_back")
            assert "dnat" not in home.forwarded()


@needs_node
@pytest.mark.skipif(missing(), reason="webrtc-direct needs aiortc: pip install 'pinning-worker[webrtc]'")
async def test_webrtc_direct_is_mapped_too(tmp_path: Path) -> None:
    with open_home() as home:
        async with home.upnp(tmp_path), worker(tmp_path, home) as us:
            line = await us.logged("event=upnp.mapped.*webrtc-direct", SECONDS)
            address = next(
                part for part in line.replace('"', " ").replace(",", " ").split() if "/webrtc-direct/" in part
            )
            async with open_helia([], inside=home.outside.inside) as peer:
                assert await peer.dial(f"{address}/p2p/{us.peer_id}", deadline=30) == us.peer_id


@needs_node
async def test_a_router_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    """And before it does, nobody comes in."""
    with open_home() as home:
        async with worker(tmp_path, home) as us, open_helia([], inside=home.outside.inside) as peer:
            await us.logged("event=upnp.not_mapped.*no router answers by UPnP", SECONDS)
            with pytest.raises(HeliaError):
                await peer.dial(f"{OUTSIDE}/p2p/{us.peer_id}", deadline=3)
            async with home.upnp(tmp_path):
                await us.logged(f"event=upnp.mapped.*{OUTSIDE}", SECONDS)
                assert await peer.dial(f"{OUTSIDE}/p2p/{us.peer_id}", deadline=20) == us.peer_id


async def test_a_router_that_refuses(tmp_path: Path) -> None:
    with open_home() as home:
        async with home.upnp(tmp_path, "# nobody may"), worker(tmp_path, home) as us:
            await us.logged(f"event=upnp.not_mapped.*does not forward tcp port {PORT}: Action not authorized", SECONDS)
            assert await us.stop() == 0
            assert "upnp.mapped" not in "".join(us.log)


async def test_a_router_behind_another_one(tmp_path: Path) -> None:
    with open_home(ANOTHER_ROUTERS) as home:
        async with home.upnp(tmp_path), worker(tmp_path, home) as us:
            await us.logged("event=upnp.not_mapped.*external address.*another router before it", SECONDS)
            assert "dnat" not in home.forwarded()


async def test_a_port_that_somebody_else_has_is_left_to_them(tmp_path: Path) -> None:
    with open_home() as home:
        async with home.upnp(tmp_path, ALLOW):
            home.inside.run(PYTHON, "-c", FIRST_COME)
            async with worker(tmp_path, home, PINNING_LISTEN=f"{TCP} {TCP}/ws") as us:
                line = await us.logged("event=upnp.mapped", SECONDS)
                assert f"/ip4/{ROUTER}/tcp/" in line
                assert f"{OUTSIDE}" not in line
                await us.stop()
                assert "192.168.77.9" in home.forwarded()
                assert home.forwarded().count("dnat") == 1


async def test_what_a_router_forgets_is_mapped_again_and_a_new_address_is_told(tmp_path: Path) -> None:
    with open_home() as home:
        async with home.upnp(tmp_path), worker(tmp_path, home, command=[PYTHON, "-c", HURRIED]) as us:
            await us.logged(f"event=upnp.mapped.*{OUTSIDE}", SECONDS)
            home.forget()
            assert "dnat" not in home.forwarded()
            with trio.fail_after(SECONDS):
                while f"dport {PORT}" not in home.forwarded():  # noqa: ASYNC110  nftables rings no bell
                    await trio.sleep(0.1)
            home.router.ip("address", "flush", "dev", "wan")
            home.router.ip("address", "add", "45.83.2.77/24", "dev", "wan")
            await us.logged("event=upnp.mapped.*/ip4/45.83.2.77/tcp/4001", SECONDS)


async def test_a_router_that_has_gone_is_said_and_one_that_hangs_does_not_keep_the_worker_from_ending(
    tmp_path: Path,
) -> None:
    with open_home() as home, trio.fail_after(120):
        hurried = worker(tmp_path, home, command=[PYTHON, "-c", HURRIED])
        async with hurried as us, home.upnp(tmp_path) as router:
            await us.logged("event=upnp.mapped", SECONDS)
            router.send_signal(signal.SIGSTOP)
            await us.logged("event=upnp.not_mapped", SECONDS)
            assert await us.stop() == 0
            await us.logged("event=upnp.not_given_back")
