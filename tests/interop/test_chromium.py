"""The page of `examples/browser` in a real Chromium, over each transport that a browser has.

Everything is done as a person does it: by labels and buttons, with the payment read from the screen. What that person
sees is left as pictures in `artefacts/`. `TRANSPORTS` is the table: a new way to reach the worker is a new row.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
import trio

from pinning_worker.domain.chain.address import script_to_address, witness_script
from pinning_worker.domain.chain.nameop import parse_name_op
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST
from pinning_worker.domain.chain.transaction import Transaction, TxOutput
from pinning_worker.domain.identities import NameBytes
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.psbt import Psbt, parse_psbt
from pinning_worker.sandbox.sandbox import Sandbox
from pinning_worker.sandbox.wallet import NAME_AMOUNT, Kind, Payment, Wallet, browser_fee, browser_payment
from tests.certificates import self_signed
from tests.interop.browser import join
from tests.interop.chromium import Chromium, Mark, needs_chromium, open_chromium
from tests.interop.helia import open_helia
from tests.interop.market import CONFIRMATIONS, Market, open_market
from tests.interop.node_binary import needs_node
from tests.interop.page import Page, as_if_paid, open_page
from tests.interop.picture import picture
from tests.interop.sandbox_fixture import until_waiting
from tests.interop.worker import Worker, free_port

pytestmark = [pytest.mark.interop, needs_node, needs_chromium]

MIB = 1_048_576
TITLE = "Evening at sea"
NOBODY_HAS_IT = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
TAPROOT = str(script_to_address(witness_script(1, b"\x07" * 32), DOICHAIN_REGTEST))
WRONG_ADDRESSES = {
    "dc1qgtyed5psf82vxkn5cx5n4f2fk3mmymt9v4g4ru": "not an address of doichain-regtest",
    "mfWyW5fc9NUj75YAnFgoRLrjxgLDn2MMth": "the wallet has 0 swartz that can be spent now",  # it never had any
    TAPROOT: "no rules for taproot, so anybody could spend",
}
MUCH = 200_000_000
MISSING = 400_000
TOO_SMALL = 300

ANY_TCP = "/ip4/127.0.0.1/tcp/0"


@dataclass(frozen=True)
class Transport:
    """One way for a page to reach a worker: which of its addresses the page gets, what the worker is told, through
    which relays the page is reachable, and what Chromium is told."""

    name: str
    addresses: Callable[[Worker], Sequence[str]]
    settings: Mapping[str, str] = field(default_factory=dict)
    listen: Callable[[Worker], Sequence[str]] = lambda _: ()
    flags: Sequence[str] = ()


TRANSPORTS = [
    Transport("ws", lambda worker: [worker.ws_addr]),
    Transport(
        "wss",
        lambda worker: [worker.address("/tls/ws/")],
        {"PINNING_LISTEN": f"{ANY_TCP} {ANY_TCP}/ws {ANY_TCP}/tls/ws"},
        flags=["--ignore-certificate-errors"],  # nobody but this test has signed it
    ),
    Transport(
        "webrtc-direct",
        lambda worker: [worker.address("/webrtc-direct/")],
        {"PINNING_LISTEN": f"{ANY_TCP} {ANY_TCP}/ws /ip4/127.0.0.1/udp/0/webrtc-direct"},
    ),
    Transport(
        "relay-only",
        lambda worker: [worker.ws_addr],
        {"PINNING_RELAY": "on"},
        listen=lambda worker: [f"{worker.ws_addr}/p2p-circuit"],
    ),
]
WS = TRANSPORTS[0]


@dataclass(frozen=True)
class Scene:
    """What a story in the browser needs, open."""

    market: Market
    worker: Worker
    page: Page
    browser: Chromium
    url: str


@asynccontextmanager
async def open_scene(folder: Path, over: Transport = WS, **settings: str) -> AsyncIterator[Scene]:
    async with (
        open_market(folder) as market,
        market.worker(**certified(folder), **over.settings, **settings) as worker,
        open_page(market) as page,
        open_chromium(over.flags) as browser,
    ):
        url = page.url(over.addresses(worker), listen=over.listen(worker))
        await browser.open(url)
        await browser.shows("#connection", f"Connected to worker …{worker.peer_id[-6:]}")
        yield Scene(market, worker, page, browser, url)


def certified(folder: Path) -> Mapping[str, str]:
    """A certificate of the worker's own; it is used where the worker listens on wss."""
    made = self_signed(folder)
    return {"PINNING_TLS_CERT": str(made.certificate), "PINNING_TLS_KEY": str(made.key)}


async def ask(browser: Chromium, folder: Path, image: bytes, title: str = TITLE) -> None:
    file = folder / "evening.png"
    file.write_bytes(image)
    await browser.upload("Picture", file)
    await browser.fill("Title", title)
    await browser.click("Ask for a price")


async def make_payment(scene: Scene, folder: Path, name: str) -> Psbt:
    """What the page wants signed, read by a camera, and the same from its file."""
    await scene.browser.fill("Name on the Doichain", name)
    await scene.browser.click("Make the payment")
    await scene.browser.shows("#outputs", "Together")
    kind, scanned = await scene.browser.scan("#qr")
    assert kind == "crypto-psbt"
    assert (
        await scene.browser.download("Save the payment (PSBT)", folder / "payment.psbt")
        == f"{name.replace('/', '-')}.psbt"
    )
    assert (folder / "payment.psbt").read_bytes() == scanned
    return parse_psbt(scanned)


def expected_payment(market: Market, quote: Mark, name: str, kind: Kind) -> Transaction:
    """What the sandbox's own wallet would pay for a quote, as the deployed browser does, before it is signed."""
    fee = quote.said["fee"]
    return expected_of(market, fee["paymentAddress"], fee["amount"], name, quote.said["cid"], kind)


def expected_of(market: Market, address: str, amount: int, name: str, cid: str, kind: Kind) -> Transaction:
    signed = market.sandbox.wallet.pay(browser_payment(address, Swartz(amount), name, cid), kind)
    return replace(signed, witnesses=(), inputs=tuple(replace(spent, script=b"") for spent in signed.inputs))


async def heard(browser: Chromium, status: str) -> list[Mark]:
    return [mark for mark in await browser.marks() if mark.name == status]


@pytest.mark.parametrize("over", TRANSPORTS, ids=lambda transport: transport.name)
async def test_the_whole_story_from_the_page(over: Transport, tmp_path: Path) -> None:
    async with open_scene(tmp_path, over) as scene:
        market, browser = scene.market, scene.browser
        image = picture()
        await browser.screenshot(f"{over.name}-1-connected")

        await ask(browser, tmp_path, image)
        await browser.shows("#headline", "Here is the price")
        quote, *_ = await heard(browser, "ADDING-CID")
        assert quote.said["bytes"]["image"] > len(image) > MIB
        assert quote.said["sizes"]["total"] in await browser.text("#sizes")

        asked = await make_payment(scene, tmp_path, "art/evening")
        assert asked.unsigned == expected_payment(market, quote, "art/evening", "p2wpkh")
        await browser.screenshot(f"{over.name}-2-to-be-signed")
        await browser.screenshot(f"{over.name}-2-on-a-phone-at-night", dark=True, width=390)

        await browser.click("Sign and pay in the sandbox")
        await browser.shows("#headline", f"Payment seen: [1-5] of {CONFIRMATIONS} confirmations")
        await browser.screenshot(f"{over.name}-3-paid")
        await browser.shows("#headline", "Kept until", deadline=60)
        await browser.screenshot(f"{over.name}-4-pinned")
        seen = [mark.said["confirmations"] for mark in await heard(browser, "PAYMENT-SEEN")]
        assert set(seen) <= set(range(CONFIRMATIONS))
        assert len(set(seen)) > CONFIRMATIONS // 2, "one for each block, unless a busy worker hears of two at once"

        await browser.click("Let time pass until a week before the end")
        await browser.shows("#headline", "Ends in 6 days", deadline=60)
        await browser.screenshot(f"{over.name}-5-expiring")

        addresses, complaints = await browser.traffic()
        assert {urlsplit(address).hostname for address in addresses if not address.startswith("blob:")} == {"127.0.0.1"}
        assert complaints == []
        await browser.open("about:blank")  # the page has gone: only the worker can have it
        async with open_helia(listen=()) as bob:
            await join(bob, scene.worker)
            added = await bob.add_file(data=image)
            await bob.forget()
            assert (await bob.cat(added.cid)).sha256 == sha256(image).hexdigest()
            metadata = {"name": TITLE, "description": "", "image": f"ipfs://{added.cid}"}
            written = json.dumps(metadata, separators=(",", ":")).encode()
            assert (await bob.cat(quote.said["cid"])).sha256 == sha256(written).hexdigest()


async def test_a_name_is_topped_up_renewed_and_registered_anew(tmp_path: Path) -> None:
    """Catches: a payment that does not spend its name while that lives, or does so afterwards (no node takes either); a
    p2pkh input without its whole transaction (no wallet signs it); a renewal at a price that has lapsed; a page that
    forgets, after a reload, what it had asked for."""
    async with open_scene(tmp_path) as scene:
        market, browser, sandbox = scene.market, scene.browser, scene.market.sandbox
        old_address, psbt = sandbox.wallet.address("p2pkh"), tmp_path / "payment.psbt"
        await ask(browser, tmp_path, b"small")
        await browser.shows("#headline", "Here is the price")
        quote, *_ = await heard(browser, "ADDING-CID")
        cid, fee = quote.said["cid"], quote.said["fee"]
        too_little = Swartz(fee["amount"] - MISSING)
        await as_if_paid(browser, cid, "art/small")  # a wallet changed the amount of the payment that the page had made
        registered = sandbox.pay(fee["paymentAddress"], too_little, "art/small", cid, "p2pkh")
        await market.mine(CONFIRMATIONS)
        await browser.shows("#headline", "0.004 DOI are missing")
        await browser.shows("#pay-title", "The rest")
        await browser.click("Make the payment")  # from the wallet's other address: the page cannot know that one
        await browser.shows("#payment-form-error", f"the name art/small is somebody else's \\({old_address}\\) until")
        await browser.fill("Address of your wallet", old_address)
        asked = await make_payment(scene, tmp_path, "art/small")
        assert asked.unsigned == expected_of(market, fee["paymentAddress"], MISSING, "art/small", cid, "p2pkh")
        assert names_spent(asked) == [registered]
        await browser.shows("#outputs", "Was in the name\\s*−0.01 DOI")
        topped_up = sandbox.pay_psbt(psbt.read_bytes())
        await market.mine(CONFIRMATIONS)
        first_end = await browser.shows("#headline", "Kept until")

        await market.move_time(30)  # the first quote has lapsed since
        await browser.reload()
        assert await browser.shows("#headline", "Kept until") == first_end
        await browser.shows("#pay-title", "Keep it longer")
        await browser.fill("Address of your wallet", old_address)
        assert names_spent(await make_payment(scene, tmp_path, "art/small")) == [topped_up]
        await browser.click("Sign and pay in the sandbox")
        await browser.shows("#explanation", f"A further payment has [1-5] of {CONFIRMATIONS} confirmations")
        await browser.screenshot("renewal")
        second_end = await browser.shows("#headline", later_than(first_end), deadline=60)

        await market.mine(sandbox.network.name_life)  # the pin goes on, the name has expired
        assert names_spent(await make_payment(scene, tmp_path, "art/small")) == []
        sandbox.pay_psbt(psbt.read_bytes())
        await market.mine(CONFIRMATIONS)
        await browser.shows("#headline", later_than(second_end))


def names_spent(asked: Psbt) -> list[str]:
    """The txids of the names that it spends."""
    each_input = zip(asked.unsigned.inputs, asked.spent, strict=True)
    return [spending.prev_txid for spending, output in each_input if parse_name_op(output.script)]


def later_than(headline: str) -> str:
    """A headline with any other end."""
    return f"Kept until (?!{headline.removeprefix('Kept until ')})"


async def test_a_worker_that_comes_back_is_heard_again(tmp_path: Path) -> None:
    """Catches: a page that waits for an answer which was given while nobody was connected."""
    async with open_market(tmp_path) as market, open_page(market) as page, open_chromium() as browser:
        async with market.worker() as worker:
            await browser.open(page.url([worker.ws_addr]))
            await ask(browser, tmp_path, b"small")
            await browser.shows("#headline", "Here is the price")
            quote, *_ = await heard(browser, "ADDING-CID")
            await as_if_paid(browser, quote.said["cid"], "art/restart")
            market.pay(quote.said, "art/restart")
            await browser.shows("#headline", "Payment seen: 0")
        await browser.shows("#connection", "Not connected( \\(.+\\))?\\. Trying again")
        await browser.screenshot("worker-away")
        elsewhere = f"/ip4/127.0.0.1/tcp/{free_port()}"
        async with market.worker(
            PINNING_LISTEN=f"{elsewhere} {elsewhere}/ws"
        ) as worker:  # where the page cannot hear it
            await market.mine(CONFIRMATIONS)
            await worker.logged(r"pin\.kept")
        async with market.worker():
            await browser.shows("#headline", "Kept until", deadline=60)
            await browser.shows("#connection", "Connected to worker")


async def names_of_others(sandbox: Sandbox) -> Mapping[str, str]:
    """Names under which nobody at the page can pay now, and what it says of each."""
    stranger = Wallet(sandbox.node, seed=b"stranger")
    sandbox.pay_as(Payment(NameBytes(b"art/theirs"), b"", [], owner=stranger.script()))
    sandbox.mine()
    await sandbox.indexed()
    free_from = sandbox.node.height + sandbox.network.name_life
    waiting = sandbox.pay_as(Payment(NameBytes(b"art/waiting"), b"", []))
    await until_waiting(sandbox, sandbox.wallet.script(), waiting)
    theirs = f"the name art/theirs is somebody else's \\({stranger.address()}\\) until block {free_from}, about "
    return {"art/theirs": theirs, "art/waiting": "under the name art/waiting is under way: wait for its block"}


async def address_with_small_change(sandbox: Sandbox, fee: int) -> str:
    """It can pay that fee, and has less left than nodes pass on."""
    owner = Wallet(sandbox.node, seed=b"small change")
    coin = NAME_AMOUNT + Swartz(fee) + browser_fee(1, 3) + Swartz(TOO_SMALL)
    sandbox.send(sandbox.wallet.spend([TxOutput(coin, owner.script())]))
    sandbox.mine()
    await sandbox.indexed()
    return owner.address()


def address_of_a_pauper(market: Market) -> str:
    """Of somebody who owns much and can pay with none of it: a name with money in it, and a reward too young."""
    sandbox = market.sandbox
    pauper = Wallet(sandbox.node, seed=b"pauper")
    sandbox.pay_as(Payment(NameBytes(b"art/owned"), b"", [], owner=pauper.script(), name_amount=Swartz(MUCH)))
    sandbox.node.mine(pauper.script())
    return pauper.address()


async def test_errors_are_told_in_words(tmp_path: Path) -> None:
    """Catches, besides: a page that spends a name as if it were money, or a reward that no node lets it spend; one that
    finds change too small to be sent on, and no payment."""
    async with open_scene(tmp_path, PINNING_MAX_BYTES=str(MIB), PINNING_FIRST_BLOCK_TIME="10s") as scene:
        browser, sandbox = scene.browser, scene.market.sandbox
        await ask(browser, tmp_path, picture())
        await browser.shows("#headline", "Too large for this worker")
        await browser.screenshot("error")

        await ask(browser, tmp_path, b"small")
        await browser.shows("#headline", "Here is the price")
        for name, trouble in (await names_of_others(sandbox)).items():
            await browser.fill("Name on the Doichain", name)
            await browser.click("Make the payment")
            await browser.shows("#payment-form-error", trouble)
            await browser.screenshot(f"error-{name.replace('/', '-')}")
        await browser.fill("Name on the Doichain", "art/small")
        for address, trouble in WRONG_ADDRESSES.items():
            await browser.fill("Address of your wallet", address)
            await browser.click("Make the payment")
            await browser.shows("#payment-form-error", trouble)
        await browser.fill("Address of your wallet", address_of_a_pauper(scene.market))
        await browser.click("Make the payment")
        await browser.shows("#payment-form-error", "the wallet has 0 swartz that can be spent now")
        quote, *_ = await heard(browser, "ADDING-CID")
        address = await address_with_small_change(sandbox, quote.said["fee"]["amount"])
        await browser.fill("Address of your wallet", address)
        assert len((await make_payment(scene, tmp_path, "art/small")).unsigned.outputs) == 2
        await browser.shows("#outputs", "Network fee\\s*0.0010302 DOI")

        await browser.open(f"{scene.url}#{NOBODY_HAS_IT}")
        await browser.shows("#headline", "The worker could not find the content")
        await browser.shows("#explanation", "Asks again at")


async def test_no_other_site_can_press_the_sandbox_buttons(tmp_path: Path) -> None:
    async with open_market(tmp_path) as market, open_page(market) as page:
        height = market.sandbox.node.height
        for origin, status in ((page.origin, 200), ("http://example.org", 403), (None, 403)):
            assert await trio.to_thread.run_sync(press, page.origin, origin) == status
        assert market.sandbox.node.height == height + 1


def press(server: str, origin: str | None) -> int:
    """The HTTP status that an order from a page of that origin gets."""
    order = Request(f"{server}/sandbox/mine", data=b"", headers={"Origin": origin} if origin else {})
    try:
        with urlopen(order, timeout=10) as answer:
            status: int = answer.status
            return status
    except HTTPError as refused:
        refused.close()
        return refused.code
