"""Quotes and receipts are signed: a payer can hold the worker to both, and every repeat gives the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from trio.testing import MockClock

from pinning_worker.adapters.memory.signer import MemorySigner
from pinning_worker.adapters.p2p.bitswap.served_blocks import ServedBlocks
from pinning_worker.domain.content.cid import parse_cid
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.account import Bought
from pinning_worker.domain.money.entry import Entry, EntryKind
from pinning_worker.domain.money.payment import Sighting, Tip
from pinning_worker.domain.money.pricing import add_months
from pinning_worker.domain.money.receipt import receipt_key
from pinning_worker.domain.money.signed_content import canonical, is_signed_by, read_signature
from pinning_worker.domain.money.signed_receipt import SignedReceipt, read_receipt
from pinning_worker.domain.money.swartz import ZERO, Swartz
from pinning_worker.domain.pin import State
from pinning_worker.lifecycle import Lifecycle
from pinning_worker.ports.books import Change
from pinning_worker.steps.signing import terms_bought
from tests import content
from tests.stories.world import World

WORKER = MemorySigner().peer_id
BEGAN = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def receipt_in(world: World, said: dict[str, str]) -> SignedReceipt:
    """The receipt that an ADDED-CID names, as a peer gets it."""
    served = ServedBlocks(world.blocks, world.signed_receipts)
    multihash = parse_cid(said["receipt"]).multihash
    block = await served.get(multihash)
    assert block is not None
    assert await served.size(multihash) == len(block)
    return read_receipt(block)


async def added_by_payment(world: World, cid: object, amount: int) -> dict[str, str]:
    await world.pay(str(cid), amount)
    await world.mine(3)
    return next(said for said in world.hear() if said["status"] == "ADDED-CID")


async def test_a_quote_is_signed_and_verified_from_the_message_alone(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(300_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.say(f"NEW-CID:{cid}")
        [said] = w.hear()
        quote = dict(said["quote"])
        signature = read_signature(quote.pop("signature"))
        fee, counted = said["fee"], {"bytes": said["bytes"]["total"], "blocks": said["blocks"]}
        signed = {**quote, **fee, **counted, "type": "pinning-quote/1", "worker": WORKER}
        assert quote["cid"] == str(cid)
        assert is_signed_by(WORKER, canonical(signed), signature)
        for field in ("amount", "paymentAddress", "expires", "tariff"):
            assert not is_signed_by(WORKER, canonical({**signed, field: "another"}), signature)


async def test_added_cid_names_a_receipt_that_peers_can_fetch(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(300_000))
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        w.hear()
        receipt = await receipt_in(w, await added_by_payment(w, cid, amount))
        [record] = await w.receipts.all()
        bought = receipt.purchase
        assert receipt.is_signed()
        assert (bought.cid, bought.name_id, bought.txid) == (record.cid, record.name_id, record.txid)
        assert (bought.starts, bought.ends, bought.months) == (record.starts, record.ends, record.months)
        assert (bought.size, bought.blocks, bought.quote) == (record.size, record.blocks, record.quote_id)
        assert (bought.amount, bought.tariff, bought.worker) == (record.received, 1, WORKER)
        proof = (await w.books.payments_of((await w.pin(cid)).key))[0].proof
        assert proof is not None
        assert (bought.height, bought.block_hash, bought.position) == (proof.height, proof.block_hash, proof.position)


async def test_a_renewal_has_a_receipt_of_its_own_and_changes_no_other(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(300_000))
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        w.hear()
        first = await added_by_payment(w, cid, amount)
        before = await receipt_in(w, first)
        second = await added_by_payment(w, cid, amount)
        after = await receipt_in(w, second)
        assert await receipt_in(w, first) == before
        assert after.purchase.starts == before.purchase.starts
        assert before.purchase.ends == add_months(before.purchase.starts, 8)
        assert after.purchase.ends == add_months(before.purchase.starts, 16)


async def test_books_that_are_rebuilt_sign_the_same_receipt(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(300_000))
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        w.hear()
        said = await added_by_payment(w, cid, amount)
        before, pin, request = await receipt_in(w, said), await w.pin(cid), await w.books.request(cid.key)
        assert request is not None
        await w.signed_receipts.drop(receipt_key(before.purchase.cid, before.purchase.txid))
        await w.later(days=3)
        assert str(await w.life.keeping.signing.sign_purchases(pin, request)) == said["receipt"]
        assert await receipt_in(w, said) == before


async def test_a_reorg_takes_the_receipt_back_and_the_next_block_gets_another(autojump_clock: MockClock) -> None:
    """Catches: a receipt for a block that is not in the chain any more."""
    cid, blocks = content.file(content.noise(300_000))
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        w.hear()
        said = await added_by_payment(w, cid, amount)
        first = await receipt_in(w, said)
        await w.chain.reorg(4)
        await w.settle()
        await w.mine(3)
        again = next(each for each in w.hear() if each["status"] == "ADDED-CID")
        second = await receipt_in(w, again)
        assert second.purchase.txid == first.purchase.txid
        assert second.purchase.block_hash != first.purchase.block_hash
        assert await w.signed_receipts.block(parse_cid(said["receipt"]).multihash) is None


async def test_a_receipt_outlives_its_pin_and_every_sweep(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(300_000))
    world = World()
    async with world.running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        w.hear()
        said = await added_by_payment(w, cid, amount)
        await w.months_later(244)
        await w.later(hours=30)
        assert (await w.pin(cid)).state is State.RELEASED
    async with world.running() as w:
        await w.later(hours=2)
        assert await w.blocks_on_disk() == set()
        assert (await receipt_in(w, said)).is_signed()


async def test_a_refund_changes_nothing_about_what_the_outputs_brought(autojump_clock: MockClock) -> None:
    """Catches: a receipt whose amount contradicts its own transaction."""
    cid, blocks = content.file(content.noise(300_000))
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        w.hear()
        txid = await w.pay(str(cid), amount + 500)
        await w.mine()
        [booked] = await w.books.all_payments()
        refund = Entry(
            1, EntryKind.REFUNDED, w.clock.now(), txid, booked.root, str(cid), booked.name, Swartz(300), "ab"
        )
        assert await w.books.commit(Change(entries=(refund,)))
        await w.mine(2)
        receipt = await receipt_in(w, next(said for said in w.hear() if said["status"] == "ADDED-CID"))
        assert (await w.books.all_payments())[0].amount == Swartz(amount + 200)
        assert receipt.purchase.amount == Swartz(amount + 500)


async def test_without_a_proof_to_show_there_is_no_receipt(autojump_clock: MockClock) -> None:
    """A payment of an earlier version: the watcher has yet to read it again. It says so by leaving the field out."""
    cid, blocks = content.file(content.noise(300_000))
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        w.hear()
        w.chain.listener = _WithoutProofs(w.life)
        said = await added_by_payment(w, cid, amount)
        assert said == {"status": "ADDED-CID", "cid": str(cid)}
        [txid] = await w.books.payments_without_proof()
        w.chain.listener = w.life
        await w.chain.tell_everything()
        await w.settle()
        assert await w.books.payments_without_proof() == []
        assert await w.books.payment_proof(txid) is not None
        signed = await w.signed_receipts.get(receipt_key(str(cid), txid))
        assert signed is not None
        assert read_receipt(signed).is_signed()


@dataclass
class _WithoutProofs:
    """A chain watcher of an earlier version."""

    life: Lifecycle

    async def payment_seen(self, sighting: Sighting) -> None:
        await self.life.payment_seen(replace(sighting, payment_proof=None))

    async def payment_gone(self, txid: Txid) -> None:
        await self.life.payment_gone(txid)

    async def tip_moved(self, tip: Tip, fork_height: int | None) -> None:
        await self.life.tip_moved(tip, fork_height)


def test_the_term_after_each_purchase() -> None:
    """An extension from credit (no txid) has no receipt, and moves the ends after it; a later payment starts anew."""
    day = timedelta(days=1)
    first, second, third = (Txid(letter * 64) for letter in "abc")
    history = [
        Bought(first, BEGAN, 1, Swartz(5), None),
        Bought(third, BEGAN + day, 0, ZERO, None),
        Bought(None, add_months(BEGAN, 1), 1, Swartz(5), None),
        Bought(second, add_months(BEGAN, 2), 1, Swartz(5), None),
        Bought(third, add_months(BEGAN, 9), 2, Swartz(5), None),
    ]
    found = [(txid, term.starts, term.ends) for txid, _, term in terms_bought(history)]
    assert found == [
        (first, BEGAN, add_months(BEGAN, 1)),
        (second, BEGAN, add_months(BEGAN, 3)),
        (third, add_months(BEGAN, 9), add_months(BEGAN, 11)),
    ]
