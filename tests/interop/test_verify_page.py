"""Receipts of a real worker for a payment on a real chain, verified by others: a Helia that fetches them, the command
`receipt verify` with the worker's headers, and the page of `examples/verify` in Chromium, opened from a file."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.money.signed_content import canonical, is_signed_by, read_signature
from pinning_worker.domain.money.signed_receipt import SignedReceipt, read_receipt, receipt_cid
from tests.interop.browser import answer, ask_for_quote, join
from tests.interop.chromium import Chromium, needs_chromium, open_chromium
from tests.interop.helia import open_helia
from tests.interop.market import CONFIRMATIONS, Market, open_market
from tests.interop.node_binary import needs_node
from tests.interop.page import build_page
from tests.interop.worker import Worker, command_ended, worker_environment

pytestmark = [pytest.mark.interop, needs_node]

VERIFY_PAGE = Path(__file__).resolve().parents[2] / "examples/verify"
HOLDS, REFUSED = "The receipt holds", "Refused: do not believe this receipt"
TAMPERED = {  # each field, with another value that could stand there
    "type": "pinning-quote/1",
    "blocks": 2,
    "starts": "2020-01-01T00:00:00.000Z",
    "network": "doichain",
    "transaction": "01" * 80,
    "height": 1,
    "tariff": 2,
    "tariffHash": "ab" * 32,
    "cid": "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
    "bytes": 1,
    "nameId": "art/2",
    "months": 9,
    "ends": "2099-01-01T00:00:00.000Z",
    "amount": 1,
    "txid": "ab" * 32,
    "vouts": [0],
    "blockHash": "ab" * 32,
    "header": "00" * 80,
    "position": 0,
    "branch": [],
    "quote": "another",
    "worker": "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
    "signature": "A" * 86,
}


@dataclass(frozen=True)
class Paid:
    """A worker that keeps something paid for, the name of which is art/1."""

    market: Market
    worker: Worker
    cid: str
    block: bytes  # the receipt, as a peer fetched it

    @property
    def receipt(self) -> SignedReceipt:
        return read_receipt(self.block)


@asynccontextmanager
async def open_paid(folder: Path) -> AsyncIterator[Paid]:
    async with open_market(folder) as market, market.worker() as worker, open_helia(listen=()) as alice:
        await join(alice, worker)
        file = await alice.add_file(300_000, seed="art")
        quote = await ask_for_quote(alice, file.cid, worker)
        _require_signed(quote, worker)
        market.pay(quote, "art/1")
        await market.mine(CONFIRMATIONS)
        added = await answer(alice, "ADDED-CID", file.cid, worker)
        block = await alice.get_block(added["receipt"])
        assert str(receipt_cid(block)) == added["receipt"]
        yield Paid(market, worker, file.cid, block)


def _require_signed(said: dict[str, Any], worker: Worker) -> None:
    quote = dict(said["quote"])
    signature = read_signature(quote.pop("signature"))
    counted = {"bytes": said["bytes"]["total"], "blocks": said["blocks"]}
    signed = {**quote, **said["fee"], **counted, "type": "pinning-quote/1", "worker": worker.peer_id}
    assert is_signed_by(PeerId(worker.peer_id), canonical(signed), signature)


async def verified(paid: Paid, file: Path, *options: str) -> tuple[int, str, str]:
    folder = paid.market.folder / "worker"
    environment = worker_environment(folder, paid.market.settings("worker"))
    return await command_ended(["receipt", "verify", str(file), *options], environment, folder)


async def test_the_command_shows_a_receipt_and_verifies_it_against_the_workers_headers(tmp_path: Path) -> None:
    async with open_paid(tmp_path) as paid:
        shown = await paid.market.command("receipt", "show", paid.cid, "art/1", "--json")
        assert json.loads(shown) == paid.receipt.fields()
        by_txid = await paid.market.command("receipt", "show", paid.cid, paid.receipt.purchase.txid, "--json")
        assert by_txid == shown
        assert "kept from" in await paid.market.command("receipt", "show", paid.cid, "art/1")

        file = tmp_path / "receipt"
        for data in (shown.encode(), paid.block):
            file.write_bytes(data)
            code, told, _ = await verified(paid, file, "--json")
            findings = json.loads(told)
            assert code == 0
            assert any("is in our chain" in each for each in findings["proven"])
            assert any("names the CID" in each for each in findings["proven"])
            assert not any("in the chain" in each for each in findings["claimed"])
        nothing = tmp_path / "empty"
        nothing.mkdir()
        code, told, _ = await verified(paid, file, "--headers", str(nothing))
        assert (code, "Proven:" in told, "no header here reaches it" in told) == (0, True, True)
        for name, value in TAMPERED.items():
            file.write_text(json.dumps({**paid.receipt.fields(), name: value}))
            code, told, complaint = await verified(paid, file)
            assert (code, told) == (65, ""), name
            assert "refused" in complaint


@needs_chromium
async def test_the_page_verifies_it_and_refuses_every_change(tmp_path: Path) -> None:
    page = await trio.to_thread.run_sync(build_page, VERIFY_PAGE)
    assert [each.name for each in page.iterdir()] == ["index.html"]
    async with open_paid(tmp_path) as paid, open_chromium() as browser:
        await browser.open((page / "index.html").as_uri())
        fields, bought = paid.receipt.fields(), paid.receipt.purchase
        assert TAMPERED.keys() == fields.keys()
        height = bought.height
        trusted = paid.market.sandbox.node.blocks[height].block_hash

        for text in (json.dumps(fields), json.dumps(fields, indent=2), paid.block.hex()):
            await verify(browser, text, trusted, HOLDS)
            assert "that block is the one that you gave" in await browser.text("#proven")
            assert f"names the CID {bought.cid} under the name art/1" in await browser.text("#proven")
        await browser.screenshot("receipt-holds")
        await verify(browser, paid.block.hex(), bought.header.hex(), HOLDS)
        await verify(browser, paid.block.hex(), "", "It holds if its block is in the chain")
        assert bought.block_hash in await browser.text("#claimed")
        await verify(browser, paid.block.hex(), "ab" * 32, REFUSED)
        await verify(browser, paid.block.hex(), "no hash", REFUSED)

        for name, value in TAMPERED.items():
            await verify(browser, json.dumps({**fields, name: value}), trusted, REFUSED)
        for at in range(0, len(paid.block), len(paid.block) // 20):
            changed = paid.block[:at] + bytes([paid.block[at] ^ 1]) + paid.block[at + 1 :]
            await verify(browser, changed.hex(), trusted, REFUSED)
        await verify(browser, (paid.block + b"\x00").hex(), trusted, REFUSED)
        await browser.screenshot("receipt-refused")

        (tmp_path / "receipt.cbor").write_bytes(paid.block)
        [headers] = (tmp_path / "worker").rglob("headers-*.bin")
        await browser.upload("or its file", tmp_path / "receipt.cbor")
        await browser.upload("or a worker's file of headers", headers)
        await verify(browser, "", "", HOLDS)
        assert "in the headers that you gave" in await browser.text("#proven")

        addresses, complaints = await browser.traffic()
        assert [each for each in addresses if not each.startswith(("file:", "data:"))] == []
        assert complaints == []


async def verify(browser: Chromium, receipt: str, trusted: str, headline: str) -> None:
    await browser.evaluate("document.getElementById('findings').hidden = true")
    await browser.fill("Receipt", receipt)
    await browser.fill("Block hash or header", trusted)
    await browser.click("Verify")
    await browser.shows("#headline", headline)
