"""Two workers that name each other as direct peers, with browsers that know only one of them; and direct peers of
js-libp2p, whichever side names the other."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from pinning_worker.adapters.p2p.gossip.router import Router
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.host.identity import new_key
from tests.adapters.p2p.gossips import Node, meet, open_node
from tests.interop.browser import answer, ask_for_quote, join, make_art
from tests.interop.helia import LOCAL_TCP, Heard, Helia, open_helia
from tests.interop.market import Market, open_market
from tests.interop.node_binary import needs_node
from tests.interop.worker import free_port

pytestmark = [pytest.mark.interop, needs_node]


def said(peer: Helia | Host, text: str) -> Callable[[Heard], bool]:
    return lambda message: message.sender == peer.peer_id and message.text == text


async def where(market: Market, name: str) -> str:
    """The multiaddr of a worker that does not run yet."""
    settings = json.loads(await market.command("check-config", "--json", name=name))["settings"]
    listen = settings["PINNING_LISTEN"]["value"].split(",")[0]
    peer = json.loads(await market.command("keygen", "--json", name=name))["peer"]
    return f"{listen}/p2p/{peer}"


async def test_what_is_asked_at_one_worker_is_answered_by_both_also_after_one_was_killed(tmp_path: Path) -> None:
    async with open_market(tmp_path) as market:
        near, far = await where(market, "near"), await where(market, "far")
        settings = {"PINNING_BOOTSTRAP": "none", "PINNING_DIRECT_PEERS": f"{near} {far}"}
        async with market.worker("near", **settings) as a, open_helia(listen=()) as alice:
            await join(alice, a)
            for image in ("before", "after"):
                async with market.worker("far", **settings) as b, open_helia(listen=()) as bob:
                    await join(bob, b)
                    await until_heard(alice, bob)
                    assert alice.peer_id not in await bob.peers()
                    art = await make_art(alice, image, image)
                    await ask_for_quote(alice, art.cid, a)
                    await bob.heard(said(alice, f"NEW-CID:{art.cid}"))
                    assert (await answer(alice, "ADDING-CID", art.cid, b))["bytes"]["total"] == art.bytes
                    assert (await answer(bob, "ADDING-CID", art.cid, a))["bytes"]["total"] == art.bytes
                    await b.kill()


async def until_heard(speaker: Helia, listener: Helia) -> None:
    """Says a word that no worker answers, again and again, until it arrives."""
    with trio.fail_after(60):
        while not listener.heard_so_far(said(speaker, "LAST_100_CIDS:NONE")):
            await speaker.publish("LAST_100_CIDS:NONE")
            await trio.sleep(0.2)


@pytest.fixture
def without_gossip(monkeypatch: pytest.MonkeyPatch) -> None:
    """We say to nobody what we have: what comes from us comes by being handed over."""

    def nothing(self: Router) -> defaultdict[Any, Any]:
        return defaultdict(dict)

    monkeypatch.setattr(Router, "gossip_heartbeat", nothing)


async def both_ways(node: Node, js: Helia, browser: Node, word: str) -> None:
    """What a browser of ours says is heard by js, and what js says by the browser. Said again until it is: a connection
    may be ending, or just beginning."""
    with trio.fail_after(60):
        while not js.heard_so_far(said(browser.host, f"{word}?")):
            browser.topic.publish(f"{word}?".encode())
            await trio.sleep(0.2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_say_again, js, f"{word}!")
            assert (await browser.hears(f"{word}!".encode(), seconds=60)).forwarder == node.host.peer_id
            nursery.cancel_scope.cancel()


async def _say_again(js: Helia, text: str) -> None:
    while True:
        await js.publish(text)
        await trio.sleep(0.2)


@pytest.mark.parametrize("who_names", ["we", "js", "both"])
async def test_js_libp2p(who_names: str, request: pytest.FixtureRequest) -> None:
    """js that names us without being named keeps out of our mesh, and hears by gossip what others say to us."""
    if who_names != "js":
        request.getfixturevalue("without_gossip")
    key, listen = new_key(), f"/ip4/127.0.0.1/tcp/{free_port()}"
    async with open_node(key=key, listen=(listen,)) as once:
        (ours,) = once.host.addresses
    async with open_helia((LOCAL_TCP,), direct_peers=[] if who_names == "we" else [ours]) as js:
        named = [] if who_names == "js" else [js.tcp_addr]
        async with open_node(key=key, listen=(listen,), direct_peers=named) as node, open_node() as browser:
            await meet(browser, node)
            if who_names == "js":
                await js.dial(ours)
            await both_ways(node, js, browser, "before")
            await js.hangup(node.host.peer_id)  # who named the other comes back
            if who_names == "js":
                await js.dial(ours)
            await both_ways(node, js, browser, "after")
