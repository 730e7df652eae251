"""What the page still knows after a reload: all that was asked from this browser, and where each thing stands."""

import json
from pathlib import Path

import pytest
import trio

from tests.interop.chromium import needs_chromium
from tests.interop.market import CONFIRMATIONS
from tests.interop.node_binary import needs_node
from tests.interop.picture import picture
from tests.interop.test_chromium import TITLE, ask, make_payment, open_scene
from tests.interop.test_page_hears import CID, PINNED, QUOTE, open_scripted

pytestmark = [pytest.mark.interop, needs_node, needs_chromium]

MOST = 20
HOSTILE = '<img src=x onerror="document.title=1">'


async def nothing_left(folder: Path, pattern: str) -> None:
    with trio.fail_after(60):
        while list(folder.glob(pattern)):  # noqa: ASYNC110, ASYNC240  # a folder tells nobody; it is small
            await trio.sleep(0.1)


async def test_a_reload_tells_where_it_stands(tmp_path: Path) -> None:
    """Catches: a page that offers to pay a second time what is paid already; a sandbox where nobody mines any more; one
    that says kept of what has expired; a picture that is not the one that was asked for, fetched and paid."""
    async with open_scene(tmp_path, PINNING_FIRST_BLOCK_TIME="3s", PINNING_QUARANTINE="0s") as scene:
        browser, market = scene.browser, scene.market
        image = picture()
        await ask(browser, tmp_path, image)
        await browser.shows("#headline", "Here is the price")
        await browser.reload()
        await browser.shows("#headline", "Here is the price")
        await browser.shows("#asked", TITLE)

        await make_payment(scene, tmp_path, "art/evening")
        await browser.reload()
        await browser.shows("#headline", "The payment waits for your wallet")
        await browser.shows("#outputs", "Together")
        await browser.screenshot("reload-1-to-be-signed")

        await browser.click("Sign and pay in the sandbox")
        await browser.shows("#headline", "Payment seen: [0-5] of")
        await browser.reload()
        await browser.shows("#headline", "Payment seen: [0-5] of")
        assert not await browser.is_seen("#pay"), "it is paid: nothing more is asked for"
        await browser.screenshot("reload-2-paid")
        for _ in range(CONFIRMATIONS):
            if "Kept" not in await browser.text("#headline"):
                await browser.click("Mine a block")
        await browser.shows("#headline", "Kept until")
        kept = await browser.text("#headline")
        await browser.reload()
        await browser.shows("#headline", kept)
        await browser.shows("#asked", f"{TITLE}\\s*{kept}")

        await browser.click("Let time pass until a week before the end")
        await browser.shows("#headline", "Ends in 6 days")
        await browser.reload()
        await browser.shows("#headline", "Ends in 6 days")
        async with market.time_flies():
            await browser.click("Let time pass until after the end")
            await browser.shows("#headline", "Expired", deadline=60)
            await market.move_time(2)  # the price for longer has lapsed too: nothing holds the blocks any more
            blocks = tmp_path / "worker" / "data" / "blocks"
            await nothing_left(blocks, "??/ciq*")
            await market.move_time(2)  # nor does the quarantine
            await nothing_left(blocks, "freed/*/*/ciq*")
        await browser.reload()
        await browser.shows("#explanation", f"It was kept {kept.removeprefix('Kept ')}")
        await browser.shows("#lost", "Choose it again.*evening.png", deadline=60)
        await browser.screenshot("reload-3-picture-gone")
        (tmp_path / "another.png").write_bytes(b"another")
        await browser.upload("The same picture", tmp_path / "another.png")
        await browser.shows("#lost-error", "another.png is not what was asked for")
        await browser.upload("The same picture", tmp_path / "evening.png")
        await browser.shows("#headline", "Here is the price", deadline=60)
        assert (await browser.traffic())[1] == []


async def test_a_quote_that_lapsed_is_asked_for_anew(tmp_path: Path) -> None:
    async with open_scripted(tmp_path) as scene:
        await scene.asked()
        lapsed = QUOTE | {"quote": QUOTE["quote"] | {"expires": "2026-01-01T12:00:00.000Z"}}
        await scene.say("ADDING-CID", **lapsed)
        await scene.browser.shows("#lapsed", "This price has lapsed")
        assert not await scene.browser.is_seen("#make")
        await scene.browser.reload()
        await scene.asked()
        await scene.browser.shows("#lapsed", "This price has lapsed")
        await scene.say("ADDING-CID", **QUOTE)
        await scene.browser.shows("#promise", "promised until")
        assert await scene.browser.is_seen("#make")


async def test_what_is_missing_is_still_missing_after_a_reload(tmp_path: Path) -> None:
    """Catches: the whole price asked for again, because the worker repeats the quote and not what it lacks."""
    async with open_scripted(tmp_path) as scene:
        request = await scene.asked()
        await scene.owns("art/1")
        await scene.say("ADDING-CID", **QUOTE, id=request["id"])
        short = {"txid": "…", "received": 5_000_000, "missing": 2_004_482, "quoteId": "q1"}
        await scene.say("PAYMENT-SHORT", nameId="art/1", paymentAddress=QUOTE["fee"]["paymentAddress"], **short)
        await scene.shows("0.02004482 DOI are missing")
        await scene.browser.reload()
        again = await scene.asked()
        await scene.say("ADDING-CID", **QUOTE, id=again["id"])
        await scene.shows("0.02004482 DOI are missing")
        await scene.browser.shows("#price", "Worker's fee\\s*0.02004482 DOI")


async def test_what_ended_while_the_page_was_closed_is_not_called_kept(tmp_path: Path) -> None:
    async with open_scripted(tmp_path) as scene:
        request = await scene.asked()
        await scene.owns("art/1")
        await scene.say("CID-PINNED-WITH-NAME", **PINNED, id=request["id"])
        await scene.shows("Kept until July 20, 2127")
        await scene.browser.reload()
        again = await scene.asked()
        await scene.shows("Kept until July 20, 2127")
        await scene.browser.shows("#as-of", "As the worker said on")
        await scene.say("ADDING-CID", **QUOTE, id=again["id"])
        await scene.shows("Here is the price")
        await scene.browser.shows("#explanation", "It was kept until July 20, 2127 under the name art/1")


async def test_the_list_is_short_and_can_be_forgotten(tmp_path: Path) -> None:
    """Catches: a list that grows for ever; a title that is taken for HTML; a list of another version."""
    async with open_scripted(tmp_path) as scene:
        browser = scene.browser
        await scene.asked()
        old = [{"cid": f"bafk{at}", "label": f"{HOSTILE}{at}", "asked": at} for at in range(MOST + 5)]
        await browser.evaluate(f"localStorage.setItem('pinning-worker.asked', {json.dumps(json.dumps(old))})")
        await browser.reload()
        await browser.shows("#asked", f"{HOSTILE}0")
        assert await browser.evaluate("document.querySelectorAll('#asked li').length") == MOST
        await browser.click(f"Forget {HOSTILE}0")
        assert await browser.evaluate("document.querySelectorAll('#asked li').length") == MOST - 1
        assert await browser.evaluate("document.title") == "Keep a picture"
        await browser.click(f"Forget {CID}")
        await browser.reload()
        assert not await browser.is_seen("#pin")

        for broken in ("no JSON", "7", '[1, {"cid": 5}]', '[{"cid": "bafk", "pin": 3}]'):
            await browser.evaluate(f"localStorage.setItem('pinning-worker.asked', {json.dumps(broken)})")
            await browser.reload()
            await browser.shows("#connection", "Connected")
        assert (await browser.traffic())[1] == []
