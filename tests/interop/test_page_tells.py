"""What the page tells before money is spent: the whole price, the months, how far it is; and when nobody is there."""

from pathlib import Path

import pytest

from tests.interop.chromium import needs_chromium, open_chromium
from tests.interop.market import CONFIRMATIONS, open_market
from tests.interop.node_binary import needs_node
from tests.interop.page import open_page
from tests.interop.picture import picture
from tests.interop.test_chromium import ask, heard, make_payment, open_scene
from tests.interop.test_page_hears import CID, PINNED, QUOTE, open_scripted
from tests.interop.worker import free_port

pytestmark = [pytest.mark.interop, needs_node, needs_chromium]

NOBODY = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
A_PHONE = 320
HOSTILE = '<img src=x onerror="document.title=1">' + "w" * 200


async def test_the_price_is_whole_and_for_as_long_as_wanted(tmp_path: Path) -> None:
    """Catches: a sum that leaves out the name or the network; months that the page shows and the worker never heard
    of; a payment for the months before."""
    async with open_scene(tmp_path) as scene:
        browser = scene.browser
        await ask(browser, tmp_path, picture())
        await browser.shows("#headline", "Here is the price")
        most, *_ = await heard(browser, "ADDING-CID")
        assert most.said["fee"]["durationMonths"] == 8
        await browser.shows("#term", "for 8 months")
        await browser.shows("#who-sends", "Your own wallet signs it and sends it")

        await browser.choose("For how long", "3 months")
        await browser.shows("#term", "for 3 months")
        *_, three = await heard(browser, "ADDING-CID")
        fee = three.said["fee"]
        assert fee["durationMonths"] == 3
        assert fee["amount"] < most.said["fee"]["amount"]
        assert await browser.evaluate("document.getElementById('months').length") == 8

        network = 102_000 + (1 + 3) * 180
        together = doi(fee["amount"] + 1_000_000 + network)
        rows = f"Worker's fee\\s*{doi(fee['amount'])}\\s*In the name.*\\s*0.01 DOI\\s*Network fee.*\\s*0.0010272 DOI"
        await browser.shows("#price", f"{rows}\\s*Together.*\\s*{together}")
        await browser.shows("#amount", together)
        await browser.screenshot("price")

        asked = await make_payment(scene, tmp_path, "art/three-months")
        assert [each.amount.amount for each in asked.unsigned.outputs[:2]] == [1_000_000, fee["amount"]]
        await browser.shows("#outputs", f"Together\\s*{together}")
        await browser.reload()
        await browser.shows("#term", "for 3 months")


def doi(swartz: int) -> str:
    return f"{swartz / 10**8:.8f}".rstrip("0").rstrip(".") + " DOI"


async def test_a_price_that_others_asked_for_is_not_taken(tmp_path: Path) -> None:
    """Catches: the answer for somebody else's three months, taken for one's own."""
    async with open_scripted(tmp_path) as scene:
        request = await scene.asked()
        theirs = QUOTE | {"fee": QUOTE["fee"] | {"amount": 1_000_000, "durationMonths": 1}}
        await scene.say("ADDING-CID", **theirs, id="of another client")
        await scene.say("ADDING-CID", **QUOTE, id=request["id"])
        await scene.say("ADDING-CID", **theirs, id="of another client")
        await scene.say("SOMETHING-NEW")
        await scene.browser.shows("#term", "for 8 months")


async def test_a_stranger_pays_for_the_same(tmp_path: Path) -> None:
    """Catches: on a real chain, with a real worker: "you may close this page" for money of somebody else, and then his
    pin shown as the user's own."""
    async with open_scene(tmp_path, PINNING_FIRST_BLOCK_TIME="3s") as scene:
        browser, market = scene.browser, scene.market
        await ask(browser, tmp_path, picture())
        await browser.shows("#headline", "Here is the price")
        quote, *_ = await heard(browser, "ADDING-CID")
        market.pay(quote.said, "theirs")
        await market.mine(CONFIRMATIONS)
        await browser.shows("#names", "^theirs: until .*, paid by others$", deadline=60)
        assert await heard(browser, "ADDED-CID"), "the worker told it to the page as well"
        await browser.shows("#headline", "Here is the price")

        await make_payment(scene, tmp_path, "art/mine")
        await browser.click("Sign and pay in the sandbox")
        await browser.shows("#headline", "Payment seen: [0-5] of")
        for _ in range(CONFIRMATIONS):
            if "Kept" not in await browser.text("#headline"):
                await browser.click("Mine a block")
        await browser.shows("#headline", "Kept until", deadline=60)
        await browser.shows("#names", "art/mine: until [^,]*, [0-9]{4}(?!, paid)")


async def test_percent_while_it_is_fetched(tmp_path: Path) -> None:
    async with open_scripted(tmp_path) as scene:
        await scene.asked()
        await ask(scene.browser, tmp_path, bytes(range(250)) * 40)
        cid = (await scene.worker.heard(lambda m: m.json is not None and m.json["cid"] != CID)).json["cid"]
        await scene.say("FETCHING-CID", cid=cid, blocks=1, bytes=5_000)
        await scene.browser.shows("#headline", "Fetching: 4[0-9] %")
        await scene.browser.shows("#explanation", "1 block, 4.9 KB of (9.9|10.0) KB")
        await scene.browser.screenshot("percent")
        await scene.say("FETCHING-CID", cid=cid, blocks=2, bytes=50_000)
        await scene.browser.shows("#headline", "Fetching: 99 %")


async def test_without_a_worker_it_says_what_to_do(tmp_path: Path) -> None:
    """Catches: `Starting …` for ever; a page that must be opened anew once the worker is there."""
    async with open_market(tmp_path) as market, open_page(market) as page, open_chromium() as browser:
        async with market.worker() as worker:
            address = worker.ws_addr
        await browser.open(page.url([address]))
        await browser.shows("#no-worker", f"No worker answers.*{address.split('/p2p/')[0]}")
        await browser.shows("#no-worker", "make run")
        await browser.screenshot("no-worker")
        await browser.fits(A_PHONE)
        await ask(browser, tmp_path, b"small")
        await browser.shows("#headline", "Waiting for the worker")
        await browser.reload()
        await browser.shows("#headline", "Waiting for the worker")
        async with market.worker():
            await browser.shows("#headline", "Here is the price", deadline=60)
            assert not await browser.is_seen("#no-worker")

        for wrong, told in {
            "": "does not know its worker",
            f"/ip4/127.0.0.1/tcp/{free_port()}/ws": "no worker's address",
            "nonsense": "no worker's address",
        }.items():
            await browser.open(page.url([wrong] if wrong else []))
            await browser.shows("#no-worker", told)
        async with market.worker():
            await browser.fill("Address of a worker", address)
            await browser.click("Connect")
            await browser.shows("#connection", "Connected to worker")


async def test_a_relay_that_is_not_there_yet_stops_nothing(tmp_path: Path) -> None:
    """Catches: a page that cannot start while the relay by which it would be reachable is away."""
    async with open_market(tmp_path) as market, open_page(market) as page, open_chromium() as browser:
        async with market.worker(PINNING_RELAY="on") as worker:
            address = worker.ws_addr
        await browser.open(page.url([address], listen=[f"{address}/p2p-circuit"]))
        await browser.shows("#no-worker", "No worker answers")
        async with market.worker(PINNING_RELAY="on"):
            await browser.shows("#connection", "Connected to worker", deadline=60)


async def test_a_phone_scrolls_in_one_direction_only(tmp_path: Path) -> None:
    """In each state; with names, errors and links as long as strangers can make them, shown as text."""
    async with open_scripted(tmp_path) as scene:
        browser = scene.browser
        request = await scene.asked()
        await scene.owns(HOSTILE)
        await scene.shows("Asking for a price")
        await browser.fits(A_PHONE)
        await scene.say("FETCHING-CID", blocks=12, bytes=3_145_728)
        await scene.shows("Fetching")
        await browser.fits(A_PHONE)
        await scene.say("ERROR", code="BUSY", message=HOSTILE, id=request["id"], retryAfterSeconds=60)
        await browser.shows("#explanation", "<img src=x")
        await browser.fits(A_PHONE)
        foreign = [f"https://example.org/{HOSTILE}"]
        await scene.say("ADDING-CID", **QUOTE | {"foreign": foreign}, id=request["id"])
        await scene.shows("Here is the price")
        await browser.evaluate("document.getElementById('wire').open = true")
        await browser.fits(A_PHONE)
        await browser.screenshot("phone-price", width=A_PHONE)
        seen = {"nameId": HOSTILE, "txid": "f" * 64, "amount": 1, "confirmationsNeeded": 20}
        await scene.say("PAYMENT-SEEN", **seen, confirmations=2)
        await scene.shows("Payment seen: 2 of 20")
        await browser.fits(A_PHONE)
        short = {"nameId": HOSTILE, "paymentAddress": QUOTE["fee"]["paymentAddress"], "received": 1, "missing": 2}
        await scene.say("PAYMENT-SHORT", **short)
        await scene.shows("are missing")
        await browser.fits(A_PHONE)
        await scene.say("ADDED-CID")  # whose payment that was, and the end of the term, is not told yet
        await scene.say("CID-PINNED-WITH-NAME", **PINNED | {"nameId": HOSTILE})
        await scene.shows("Kept until July 20, 2127")
        await browser.fits(A_PHONE)
        await browser.screenshot("phone-kept", width=A_PHONE)
        await scene.say("EXPIRING-CID", **PINNED | {"nameId": HOSTILE, "remainingDays": 7})
        await scene.shows("Ends in 7 days")
        await browser.fits(A_PHONE)
        await scene.say("EXPIRED-CID", nameId=HOSTILE, expirationDate=PINNED["expirationDate"])
        await scene.shows("Expired")
        await browser.fits(A_PHONE)
        assert await browser.evaluate("document.title") == "Keep a picture"
        assert await browser.evaluate("document.querySelectorAll('img').length") == 1


async def test_a_payment_to_sign_fits_a_phone(tmp_path: Path) -> None:
    async with open_scene(tmp_path) as scene:
        await ask(scene.browser, tmp_path, picture())
        await scene.browser.shows("#headline", "Here is the price")
        await make_payment(scene, tmp_path, "art/" + "w" * 200)
        await scene.browser.fits(A_PHONE)
        await scene.browser.screenshot("phone-payment", width=A_PHONE)
