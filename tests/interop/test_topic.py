"""Many on one topic: two workers that sell at different prices, and the deployed browser with all its habits."""

from collections import Counter
from pathlib import Path

import pytest

from tests.interop.browser import answer, ask_for_quote, join, make_art
from tests.interop.helia import Heard, open_helia
from tests.interop.market import open_market
from tests.interop.node_binary import needs_node

pytestmark = [pytest.mark.interop, needs_node]


async def test_two_workers_both_quote_and_stay_silent_to_each_other(tmp_path: Path) -> None:
    async with (
        open_market(tmp_path) as market,
        market.worker("cheap", PINNING_PRICE_PER_MIB_MONTH="500000") as cheap,
        market.worker("dear", PINNING_PRICE_PER_MIB_MONTH="900000") as dear,
        open_helia(listen=()) as alice,
    ):
        await join(alice, cheap)
        await join(alice, dear)  # each hears the other through alice
        art = await make_art(alice)

        asked_cheap = await ask_for_quote(alice, art.cid, cheap)
        asked_dear = await answer(alice, "ADDING-CID", art.cid, dear)
        assert asked_cheap["fee"]["amount"] < asked_dear["fee"]["amount"]

        fence = await alice.add_metadata("fence")
        for _ in range(2):  # the second answer about a CID waits two seconds: an answer to an answer would have come
            await ask_for_quote(alice, fence.cid, cheap)
            await answer(alice, "ADDING-CID", fence.cid, dear)
        heard = alice.heard_so_far(lambda m: not m.says("FETCHING-CID"))  # said by whoever takes two seconds
        said = Counter((m.sender, m.json["status"], m.json["cid"]) for m in heard)
        assert said == {
            (worker.peer_id, "ADDING-CID", cid): times
            for worker in (cheap, dear)
            for cid, times in ((art.cid, 1), (fence.cid, 2))
        }


async def test_the_deployed_browser(tmp_path: Path) -> None:
    """As recorded: LIST five times at connect, an image's CID before its metadata's, each NEW-CID twice, and its own
    LAST_100_CIDS:NONE on the topic."""
    async with open_market(tmp_path) as market, market.worker() as worker, open_helia(listen=()) as browser:
        await join(browser, worker, worker.ws_addr)
        for _ in range(5):
            await browser.publish('{"type":"LIST","dateString":"LAST","pageSize":10,"from":0,"filter":"all"}')
        for _ in range(5):
            await browser.heard(lambda m: m.text == "LAST_100_CIDS:NONE")
        await browser.publish("LAST_100_CIDS:NONE")

        art = await make_art(browser)
        for cid in (art.image.cid, art.image.cid, art.cid, art.cid):
            await browser.publish(f"NEW-CID:{cid}")
        of_image = await answer(browser, "ADDING-CID", art.image.cid, worker)
        of_metadata = await answer(browser, "ADDING-CID", art.cid, worker)
        assert of_image["bytes"]["total"] == art.image.dag_bytes
        assert of_metadata["bytes"]["total"] == art.bytes

        def quote_of_metadata(message: Heard) -> bool:
            return message.says("ADDING-CID", art.cid)

        await browser.publish(f"NEW-CID:{art.cid}")  # whoever asked last is served, within the two seconds
        await browser.heard(quote_of_metadata)
        quotes = {m.json["quote"]["id"] for m in browser.heard_so_far(quote_of_metadata)}
        assert quotes == {of_metadata["quote"]["id"]}
        assert len(browser.heard_so_far(lambda m: m.text == "LAST_100_CIDS:NONE")) == 5
