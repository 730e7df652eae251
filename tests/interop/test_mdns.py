"""mDNS in local networks of their own: Kubo, js-libp2p and another worker are found and find us; liars lead nowhere.

So that it is known who found whom, one of two listens on its loopback only, where the other cannot dial it.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL

import pytest
import trio

from pinning_worker.adapters.p2p.host.identity import new_key, peer_id_of
from pinning_worker.domain.swarm_key import encode_swarm_key
from tests.adapters.test_settings import REGTEST
from tests.interop.helia import Helia, open_helia
from tests.interop.kubo import Kubo, needs_kubo, open_kubo
from tests.interop.namespaces import Machine, needs_namespaces, open_local_network, open_machine, plug
from tests.interop.node_binary import needs_node
from tests.interop.worker import COMMAND, Worker, open_worker

pytestmark = [pytest.mark.interop, needs_namespaces]

HIDDEN, OPEN = "/ip4/127.0.0.1/tcp/4001", "/ip4/0.0.0.0/tcp/4001"
FOUND_SECONDS = 60
KEYS = pytest.mark.parametrize("swarm_key", [None, secrets.token_bytes(32)], ids=["open", "private"])


def worker(
    folder: Path, machine: Machine, listen: str, *, swarm_key: bytes | None = None, **settings: str
) -> AbstractAsyncContextManager[Worker]:
    folder.mkdir()
    told = {
        "PINNING_MDNS": "on",
        "PINNING_LISTEN": f"{listen} {listen}/ws",
        "PINNING_LOG_LEVEL": "debug",
        "PINNING_LOG_FORMAT": "logfmt",
    }
    if swarm_key is not None:
        told["PINNING_SWARM_KEY"] = str(folder / "swarm.key")
        (folder / "swarm.key").write_bytes(encode_swarm_key(swarm_key))
    return open_worker(folder, REGTEST | told | settings, machine.inside)


def kubo(folder: Path, machine: Machine, listen: str, swarm_key: bytes | None) -> AbstractAsyncContextManager[Kubo]:
    return open_kubo(folder, inside=machine.inside, mdns_at=listen, swarm_key=swarm_key)


def helia(machine: Machine, listen: str) -> AbstractAsyncContextManager[Helia]:
    return open_helia([listen], inside=machine.inside, mdns=True)


async def finds(us: Worker, peer: str) -> None:
    await us.logged(f"discovery.connected.*{peer}.*found_by.*mDNS", FOUND_SECONDS)


async def is_among(peer: str, peers: Callable[[], Awaitable[list[str]]]) -> None:
    with trio.fail_after(FOUND_SECONDS):
        while peer not in await peers():  # noqa: ASYNC110  they ring no bell
            await trio.sleep(0.1)


async def is_found_by_kubo(us: Worker, node: Kubo) -> None:
    async def peers() -> list[str]:
        return [address.split("/")[-1] for address in await node.peers()]

    await is_among(us.peer_id, peers)


@needs_kubo
@KEYS
async def test_kubo_finds_a_worker(tmp_path: Path, swarm_key: bytes | None) -> None:
    with open_local_network(2) as (here, there):
        async with (
            worker(tmp_path / "w", here, OPEN, swarm_key=swarm_key) as us,
            kubo(tmp_path / "k", there, HIDDEN, swarm_key) as node,
        ):
            await is_found_by_kubo(us, node)


@needs_kubo
@KEYS
async def test_a_worker_finds_kubo(tmp_path: Path, swarm_key: bytes | None) -> None:
    with open_local_network(2) as (here, there):
        async with (
            kubo(tmp_path / "k", there, OPEN, swarm_key) as node,
            worker(tmp_path / "w", here, HIDDEN, swarm_key=swarm_key) as us,
        ):
            await finds(us, node.peer_id)


@needs_node
async def test_helia_finds_a_worker(tmp_path: Path) -> None:
    with open_local_network(2) as (here, there):
        async with worker(tmp_path / "w", here, OPEN) as us, helia(there, HIDDEN) as peer:
            await is_among(us.peer_id, peer.peers)


@needs_node
async def test_a_worker_finds_helia_that_came_later(tmp_path: Path) -> None:
    """js-libp2p announces nothing by itself: it answers who asks."""
    with open_local_network(2) as (here, there):
        async with worker(tmp_path / "w", here, HIDDEN) as us, helia(there, OPEN) as peer:
            await finds(us, peer.peer_id)


async def test_workers_find_each_other_and_one_with_mdns_off_says_nothing(tmp_path: Path) -> None:
    with open_local_network(3) as (here, there, elsewhere):
        async with (
            worker(tmp_path / "off", elsewhere, OPEN, PINNING_MDNS="") as silent,
            worker(tmp_path / "a", here, OPEN) as seen,
            worker(tmp_path / "b", there, HIDDEN) as seeing,
        ):
            await finds(seeing, seen.peer_id)
            assert await seeing.stop() == 0
            assert not any(silent.peer_id in line for line in seeing.log + seen.log)


@needs_kubo
async def test_a_worker_that_was_started_without_a_network_is_found_when_there_is_one(tmp_path: Path) -> None:
    """And tells the address that it has now."""
    with open_local_network(2, addresses=False) as (here, there):
        there.give_address(f"{there.address}/24")
        loopback = "/ip4/127.0.0.1/tcp/4002 /ip4/127.0.0.1/tcp/4002/ws"
        async with (
            worker(tmp_path / "w", here, OPEN, PINNING_LISTEN=f"{OPEN} {loopback}") as us,
            kubo(tmp_path / "k", there, HIDDEN, None) as node,
        ):
            await us.logged("mdns.off.*in no local network")
            here.give_address(f"{here.address}/24")
            await is_found_by_kubo(us, node)
            await node.until(lambda told: f"/ip4/{here.address}/tcp/4001/p2p/{us.peer_id}" in told, "id", us.peer_id)


async def test_who_asks_from_another_network_is_not_answered(tmp_path: Path) -> None:
    """mDNS is for the local network, and whoever sends from elsewhere would learn our private addresses."""
    question = [str(COMMAND.parent / "python"), "-m", "tests.interop.mdns_question"]
    with open_local_network(2) as (here, there), open_machine("stranger") as stranger:
        plug(here, "eth1", stranger, "eth0")
        here.ip("address", "add", "45.83.2.1/24", "dev", "eth1")
        stranger.ip("address", "add", "45.83.2.2/24", "dev", "eth0")
        async with worker(tmp_path / "w", here, OPEN) as us:
            await us.logged("mdns.on", FOUND_SECONDS)
            assert int(there.run(*question, here.address, "10")) > 0
            assert int(stranger.run(*question, "45.83.2.1", "2")) == 0


async def test_only_addresses_in_our_own_local_network_are_dialled(tmp_path: Path) -> None:
    """A liar names our loopback, another private network, a public address, and last one that is near and dead."""
    far, near = peer_id_of(new_key()), peer_id_of(new_key())
    with open_local_network(2) as (here, there):
        lies = [f"/ip4/{ip}/tcp/4001/p2p/{far}" for ip in ("127.0.0.1", "10.90.0.1", "1.1.1.1")]
        lies += [f"/ip4/{there.address}/udp/4001/quic-v1/p2p/{far}", f"/ip4/{there.address}/tcp/1/p2p/{near}"]
        async with worker(tmp_path / "w", here, OPEN) as us, liar(there, *lies):
            await us.logged(f"discovery.not_connected.*{near}", FOUND_SECONDS)
            assert not any(far in line for line in us.log)


@asynccontextmanager
async def liar(machine: Machine, *addresses: str) -> AsyncIterator[None]:
    python = COMMAND.parent / "python"
    command = [*machine.inside, str(python), "-m", "tests.interop.mdns_liar", machine.address, *addresses]
    process = await trio.lowlevel.open_process(command, stdin=DEVNULL)
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
