"""Relays and those behind them, heard of on the discovery topic only: workers as processes, each machine a namespace.

The third worker knows the relay's machine, and everybody else knows the third. Who is hidden listens on its loopback,
where nobody else can dial it, as behind a firewall.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio

from tests.adapters.test_settings import REGTEST
from tests.interop.browser import answer, make_art
from tests.interop.electrum_there import electrum_there
from tests.interop.helia import Connection, Helia, open_helia
from tests.interop.market import SEES
from tests.interop.namespaces import Machine, needs_namespaces, open_local_network
from tests.interop.node_binary import needs_node
from tests.interop.worker import Worker, open_worker

pytestmark = [pytest.mark.interop, needs_namespaces, needs_node]

HIDDEN, OPEN = "/ip4/127.0.0.1/tcp/4001", "/ip4/0.0.0.0/tcp/4001"
DISCOVERY = "doichain._peer-discovery._p2p._pubsub"
FOUND_SECONDS = 90


def worker(
    folder: Path, machine: Machine, listen: str, *known: str, **more: str
) -> AbstractAsyncContextManager[Worker]:
    told = {
        "PINNING_LISTEN": f"{listen} {listen}/ws",
        "PINNING_BOOTSTRAP": " ".join(known) or "none",
        "PINNING_LOG_LEVEL": "debug",
        "PINNING_LOG_FORMAT": "logfmt",
    }
    folder.mkdir()
    return open_worker(folder, REGTEST | told | more, machine.inside)


def near(of: Worker) -> str:
    """Where it is reached over tcp from the other machines."""
    return next(each for each in of.addresses if "/10.89." in each and "/ws/" not in each)


async def connection(here: Helia, peer: str) -> Connection:
    with trio.fail_after(FOUND_SECONDS):
        while True:
            for each in await here.connections():
                if each.peer_id == peer:
                    return each
            await trio.sleep(0.1)


async def test_a_worker_behind_a_firewall_finds_a_relay_and_is_asked_through_it(tmp_path: Path) -> None:
    with open_local_network(4) as (there, relaying, behind, elsewhere):
        async with (
            electrum_there(behind),
            worker(tmp_path / "third", there, OPEN) as third,
            worker(tmp_path / "relay", relaying, OPEN, near(third), PINNING_RELAY="on") as relay,
            worker(tmp_path / "hidden", behind, HIDDEN, near(third), PINNING_RELAYS_WANTED="1") as hidden,
            open_helia([], inside=elsewhere.inside) as asker,
        ):
            await hidden.logged(f"discovery.connected.*{relay.peer_id}", FOUND_SECONDS)
            await hidden.logged(f"relay.place_held.*{relay.peer_id}", FOUND_SECONDS)
            await asker.dial(f"{near(relay)}/p2p-circuit/p2p/{hidden.peer_id}", deadline=30)
            assert not (await connection(asker, hidden.peer_id)).limited
            await asker.wait_mesh(peer_id=hidden.peer_id)
            await hidden.logged(SEES)
            art = await make_art(asker)
            await asker.publish(f"NEW-CID:{art.cid}")
            quoted = await answer(asker, "ADDING-CID", art.cid, hidden)
            assert quoted["bytes"]["total"] == art.bytes


async def test_a_browser_behind_a_relay_that_tells_where_it_is_is_dialled_through_it(tmp_path: Path) -> None:
    with open_local_network(3) as (there, relaying, elsewhere):
        async with (
            electrum_there(there),
            worker(tmp_path / "third", there, OPEN) as third,
            worker(tmp_path / "relay", relaying, OPEN, near(third), PINNING_RELAY="on") as relay,
            open_helia([f"{near(relay)}/p2p-circuit"], inside=elsewhere.inside, discovery=DISCOVERY) as browser,
        ):
            await third.logged(f"discovery.connected.*/p2p-circuit/p2p/{browser.peer_id}", FOUND_SECONDS)
            found = await connection(browser, third.peer_id)
            assert "/p2p-circuit/" in found.addr
            assert not found.limited
            await third.logged(SEES)
            art = await make_art(browser)
            await browser.wait_mesh(peer_id=third.peer_id)
            await browser.publish(f"NEW-CID:{art.cid}")
            assert (await answer(browser, "ADDING-CID", art.cid, third))["bytes"]["total"] == art.bytes
