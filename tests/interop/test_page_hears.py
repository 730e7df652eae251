"""What the page makes of answers that a good worker gives rarely, twice, or never.

The worker is a Helia peer here, which says what the test wants it to say; all else is real: gossip, page, browser.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any

import pytest

from tests.interop.chromium import Chromium, needs_chromium, open_chromium
from tests.interop.helia import Helia, open_helia
from tests.interop.market import open_market
from tests.interop.node_binary import needs_node
from tests.interop.page import as_if_paid, open_page

pytestmark = [pytest.mark.interop, needs_node, needs_chromium]

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
LATE = "2126-11-21T12:00:00.000Z"
QUOTE: dict[str, Any] = {
    "sizes": {"metadata": "1.13 KB", "image": "1.18 MB", "total": "1.18 MB"},
    "fee": {"amount": 7_004_482, "durationMonths": 8, "paymentAddress": "mfWyW5fc9NUj75YAnFgoRLrjxgLDn2MMth"},
    "blocks": 7,
    "quote": {"id": "q1", "issued": "2126-11-20T12:00:00.000Z", "expires": LATE},
}
PINNED: dict[str, Any] = {
    "nameId": "art/1",
    "expirationDate": "2127-07-20T12:00:00.000Z",
    "remainingDays": 241,
    "renewal": {**QUOTE["fee"], "quoteId": "q1", "expires": LATE},
}


@dataclass(frozen=True)
class Scripted:
    """A page that follows CID, and the peer that it takes for the worker."""

    browser: Chromium
    worker: Helia

    async def asked(self) -> dict[str, Any]:
        """The page's next NEW-CID."""
        request: dict[str, Any] = (await self.worker.heard(lambda m: (m.json or {}).get("type") == "NEW-CID")).json
        return request

    async def owns(self, *names: str, txid: str | None = None) -> None:
        """As if the page had made a payment under each of these names."""
        await as_if_paid(self.browser, CID, *names, txid=txid)

    async def say(self, status: str, **fields: Any) -> None:
        await self.worker.publish(dumps({"status": status, "cid": CID, **fields}, separators=(",", ":")))

    async def shows(self, headline: str) -> None:
        await self.browser.shows("#headline", headline)


@asynccontextmanager
async def open_scripted(folder: Path) -> AsyncIterator[Scripted]:
    async with (
        open_market(folder) as market,
        open_page(market) as page,
        open_chromium() as browser,
        open_helia() as worker,
    ):
        await browser.open(f"{page.url([worker.ws_addr])}#{CID}")
        yield Scripted(browser, worker)


async def test_the_same_request_is_asked_again_when_that_can_help(tmp_path: Path) -> None:
    """Catches: a page that gives up when told to come back; one that asks again when told that it is no use; one that
    takes another client's error for its own."""
    async with open_scripted(tmp_path) as scene:
        request = await scene.asked()
        await scene.say("FETCHING-CID", blocks=12, bytes=3_145_728)
        await scene.shows("Fetching: 12 blocks, 3.0 MB")
        await scene.say("ERROR", code="DENIED", message="not yours", id="of another client")
        await scene.say("ERROR", code="BUSY", message="the queue is full", id=request["id"], retryAfterSeconds=5)
        await scene.shows("The worker is busy")
        assert await scene.asked() == request
        await scene.shows("Asking for a price")
        await scene.say("ERROR", code="DENIED", message="not kept here", id=request["id"])
        await scene.shows("This worker does not keep that")
        await scene.browser.click("Ask again")
        assert (await scene.asked())["cid"] == CID


async def test_silence_is_asked_into(tmp_path: Path) -> None:
    """Catches: one lost message and the page waits for ever."""
    async with open_scripted(tmp_path) as scene:
        request = await scene.asked()
        assert await scene.asked() == request


async def test_repeats_and_strangers_change_nothing(tmp_path: Path) -> None:
    """Catches: a stranger who names his own address and price; a standing answer, repeated, that takes a pin back to
    a quote; a page that mourns a pin which another name still pays for; a newer worker's message that breaks it."""
    async with open_scripted(tmp_path) as scene, open_helia(listen=()) as stranger:
        await scene.asked()
        await scene.owns("art/1", "art/2")
        await stranger.dial(scene.worker.ws_addr)
        await stranger.wait_mesh()
        cheap = QUOTE | {"fee": QUOTE["fee"] | {"amount": 1}, "quote": QUOTE["quote"] | {"expires": "2999"}}
        await stranger.publish(dumps({"status": "ADDING-CID", "cid": CID, **cheap}))
        await scene.worker.heard(lambda m: m.says("ADDING-CID"))  # from here the page gets it, before what follows
        await scene.say("ADDING-CID", **QUOTE)
        await scene.say("ADDING-CID", **QUOTE)
        await scene.shows("Here is the price")
        await scene.browser.shows("#price", "Worker's fee\\s*0.07004482 DOI")

        await scene.say("PAYMENT-SEEN", nameId="art/1", txid="…", amount=1, confirmations=2, confirmationsNeeded=6)
        await scene.shows("Payment seen: 2 of 6")
        await scene.say("ADDING-CID", **QUOTE)
        await scene.say("ADDED-CID")
        await scene.say("CID-PINNED-WITH-NAME", **PINNED)
        await scene.say("CID-PINNED-WITH-NAME", **PINNED | {"nameId": "art/2"})
        await scene.say("ADDING-CID", **QUOTE)
        await scene.say("FETCHING-CID", blocks=1, bytes=1)
        await scene.say("SOMETHING-NEW", detail={"of": "a newer worker"})
        await scene.worker.publish("no JSON")
        await scene.worker.publish("null")
        await scene.browser.shows("#names", "art/1: until July 20, 2127\\s*art/2: until July 20, 2127")
        await scene.shows("Kept until July 20, 2127")
        await scene.say("EXPIRING-CID", **PINNED | {"nameId": "art/2", "remainingDays": 7})
        await scene.say("EXPIRED-CID", nameId="art/2", expirationDate=PINNED["expirationDate"])
        await scene.browser.shows("#names", "^art/1: until July 20, 2127$")
        await scene.shows("Kept until July 20, 2127")
        await scene.say("EXPIRED-CID", nameId="art/1", expirationDate=PINNED["expirationDate"])
        await scene.shows("Expired")
        assert (await scene.browser.traffic())[1] == []


async def test_others_payments_say_nothing_about_ones_own(tmp_path: Path) -> None:
    """Catches: a stranger's swartz for the same CID, and the page says that it may be closed, or asks for the rest of
    his payment; his pin, taken for one's own, while one's own payment is short or on its way."""
    async with open_scripted(tmp_path) as scene:
        browser = scene.browser
        request = await scene.asked()
        theirs = {"nameId": "theirs", "txid": "f" * 64}
        seen = {"amount": 1, "confirmations": 5, "confirmationsNeeded": 6}
        short = {"paymentAddress": QUOTE["fee"]["paymentAddress"], "received": 5_000_000, "missing": 2_004_482}
        pinned = PINNED | {"nameId": "theirs", "renewal": PINNED["renewal"] | {"amount": 1}}
        in_theirs = "theirs: until July 20, 2127, paid by others"

        await scene.say("ADDING-CID", **QUOTE, id=request["id"])
        await scene.shows("Here is the price")
        for status, fields in (("PAYMENT-SEEN", seen), ("PAYMENT-SHORT", short | {"received": 1})):
            await scene.say(status, **theirs, **fields)
        await scene.say("ADDED-CID")
        await scene.say("CID-PINNED-WITH-NAME", **pinned)
        await browser.shows("#names", f"^{in_theirs}$")
        await scene.shows("Here is the price")
        await browser.shows("#explanation", "^Others have paid for it until July 20, 2127. The worker has all of it")
        await browser.shows("#price", "Worker's fee\\s*0.07004482 DOI")
        assert await browser.evaluate("document.getElementById('name').value") == ""
        await browser.screenshot("paid-by-others")

        await scene.owns("mine", txid="a" * 64)
        await scene.say("PAYMENT-SEEN", nameId="told by its txid", txid="a" * 64, **seen | {"confirmations": 2})
        await scene.shows("Payment seen: 2 of 6")
        await scene.say("PAYMENT-SEEN", **theirs, **seen)
        await scene.say("PAYMENT-SHORT", **theirs, **short)
        await scene.say("ADDED-CID")
        await scene.say("CID-PINNED-WITH-NAME", **pinned | {"remainingDays": 240})
        await scene.say("EXPIRING-CID", **pinned | {"remainingDays": 7})
        await scene.say("PAYMENT-SEEN", nameId="mine", txid="b" * 64, **seen | {"confirmations": 3})
        await scene.shows("Payment seen: 3 of 6")
        await scene.say("PAYMENT-SHORT", nameId="mine", txid="a" * 64, **short)
        await scene.shows("0.02004482 DOI are missing")
        await scene.say("ADDED-CID")
        await scene.say("CID-PINNED-WITH-NAME", **pinned | {"remainingDays": 239})
        await scene.say("EXPIRED-CID", nameId="theirs", expirationDate=PINNED["expirationDate"])
        await scene.say("PAYMENT-SHORT", nameId="mine", txid="c" * 64, **short | {"missing": 2_004_483})
        await scene.shows("0.02004483 DOI are missing")
        assert await browser.evaluate("document.getElementById('names').children.length") == 0

        await scene.say("CID-PINNED-WITH-NAME", **PINNED | {"nameId": "mine", "expirationDate": LATE})
        await scene.say("CID-PINNED-WITH-NAME", **pinned)
        await browser.shows("#names", f"mine: until November 21, 2126\\s*{in_theirs}")
        await scene.shows("Kept until November 21, 2126")
        await scene.say("EXPIRED-CID", nameId="mine", expirationDate=LATE)
        await scene.shows("Expired")
        await browser.shows("#explanation", "Your paid time is over. Others have paid for it until July 20, 2127")
        assert (await browser.traffic())[1] == []


async def test_too_little_paid_asks_for_the_rest(tmp_path: Path) -> None:
    async with open_scripted(tmp_path) as scene:
        await scene.asked()
        await scene.owns("art/1")
        await scene.say("ADDING-CID", **QUOTE)
        short = {"txid": "…", "received": 5_000_000, "missing": 2_004_482, "quoteId": "q1"}
        await scene.say("PAYMENT-SHORT", nameId="art/1", paymentAddress=QUOTE["fee"]["paymentAddress"], **short)
        await scene.shows("0.02004482 DOI are missing")
        await scene.say("ADDING-CID", **QUOTE)
        await scene.say("SOMETHING-NEW")
        await scene.browser.shows("#price", "Worker's fee\\s*0.02004482 DOI")
        await scene.browser.screenshot("short")
