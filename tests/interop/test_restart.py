"""A paid pin survives whatever happens to the worker: away when the payment came, or dead before it could pin."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pinning_worker.domain.content.cid import RAW, cid_of
from tests.interop.browser import answer, ask_for_quote, join, make_art
from tests.interop.helia import Heard, Helia, open_helia
from tests.interop.market import CONFIRMATIONS, Market, open_market
from tests.interop.node_binary import needs_node
from tests.interop.worker import Worker

pytestmark = [pytest.mark.interop, needs_node]


async def find_pinned(peer: Helia, cid: str, worker: Worker) -> dict[str, Any]:
    """What was said before the peer came back is lost to it, so it asks: the pin is the standing answer, or comes."""
    await join(peer, worker)
    await peer.publish(f"NEW-CID:{cid}")
    return await answer(peer, "CID-PINNED-WITH-NAME", cid, worker)


async def paid(market: Market) -> list[tuple[str, str, list[int]]]:
    """The pins in the worker's store: state, name, and each payment once."""
    pins = json.loads(await market.command("pins", "--json"))["pins"]
    return [(pin["state"], pin["name"], [payment["amount"] for payment in pin["payments"]]) for pin in pins]


async def test_a_payment_made_while_the_worker_was_down(tmp_path: Path) -> None:
    async with open_market(tmp_path) as market, open_helia(listen=()) as alice:
        async with market.worker() as worker:
            await join(alice, worker)
            art = await make_art(alice)
            quote = await ask_for_quote(alice, art.cid, worker)
            assert await worker.stop() == 0
        await alice.forget()  # it must pin from what it holds

        market.pay(quote, "art/1")
        await market.mine(CONFIRMATIONS)

        async with market.worker() as again:
            assert again.peer_id == worker.peer_id
            assert (await find_pinned(alice, art.cid, again))["nameId"] == "art/1"
            assert (await alice.cat(art.image.cid)).sha256 == art.image.sha256
            assert await paid(market) == [("pinned", "art/1", [quote["fee"]["amount"]])]


@pytest.mark.parametrize("confirmed", [0, CONFIRMATIONS - 1])
async def test_killed_after_the_payment_and_before_the_pin(confirmed: int, tmp_path: Path) -> None:
    async with open_market(tmp_path) as market, open_helia(listen=()) as alice:
        async with market.worker() as worker:
            await join(alice, worker)
            art = await make_art(alice)
            quote = await ask_for_quote(alice, art.cid, worker)
            market.pay(quote, "art/1")
            await market.mine(confirmed)
            await alice.heard(lambda m: m.says("PAYMENT-SEEN") and m.json["confirmations"] == confirmed)
            await worker.kill()
        await alice.forget()

        await market.mine(CONFIRMATIONS - confirmed)

        async with market.worker() as again:
            assert (await find_pinned(alice, art.cid, again))["nameId"] == "art/1"
            assert (await alice.cat(art.image.cid)).sha256 == art.image.sha256
            assert await paid(market) == [("pinned", "art/1", [quote["fee"]["amount"]])]


async def test_a_stop_in_the_middle_of_a_fetch_is_no_fault(tmp_path: Path) -> None:
    """Catches: a bitswap engine that ends before the fetches that run in it."""
    async with open_market(tmp_path) as market, open_helia(listen=()) as alice, market.worker() as worker:
        await join(alice, worker)
        nowhere = str(cid_of(RAW, b"nobody has it"))
        await alice.publish(f"NEW-CID:{nowhere}")
        await alice.heard(lambda message: message.says("FETCHING-CID") and message.json["cid"] == nowhere)
        assert await worker.stop() == 0
        assert not [line for line in worker.log if "fault" in line or "Traceback" in line]


async def test_what_is_pinned_when_sigterm_comes_is_told(tmp_path: Path) -> None:
    """Catches: an end that comes between the books and the news, which nobody tells later."""
    async with open_market(tmp_path) as market, open_helia(listen=()) as alice:
        async with market.worker() as worker:
            await join(alice, worker)
            files = [(await alice.add_file(1_000, seed=f"file {number}")).cid for number in range(24)]
            for number, cid in enumerate(files):
                market.pay(await ask_for_quote(alice, cid, worker), f"art/{number}")
                if number % 8 == 7:
                    await market.mine()  # the wallet has so many coins at a time
            await market.mine(CONFIRMATIONS)
            await worker.logged(r"pin\.kept")
            assert await worker.stop() == 0
            pinned = {cid for cid in files if any("pin.kept" in line and cid in line for line in worker.log)}
        for cid in pinned:
            await alice.heard(partial(Heard.says, status="CID-PINNED-WITH-NAME", cid=cid))
