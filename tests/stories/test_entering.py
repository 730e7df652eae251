"""The operator's entries beside a running worker: assigned, refunded, closed. The sums hold after each.

A month of the closure costs 1 415 516 swartz, eight months 11 324 128.
"""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.adapters.memory.receipts import MemoryReceipts
from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.entry import EntryKind
from pinning_worker.domain.money.pricing import add_months
from pinning_worker.domain.money.statement import Kind, adds_up, statement, total
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.pin import PinKey, State
from pinning_worker.ports.books import Change
from pinning_worker.steps.entering import Entering, NotAllowed, NotInBooks
from pinning_worker.steps.ledger import read_ledger
from pinning_worker.steps.recovering import take_up_entries, take_up_quotes, take_up_tariffs
from tests import content
from tests.stories.world import World

CID, BLOCKS = content.file(content.noise(2_000_000))
NOWHERE, _ = content.file(content.noise(1_000, 7))
MONTH, EIGHT_MONTHS = 1_415_516, 11_324_128
OWNER, OTHER = "art/owner", "art/other"
BACK = Txid("77" * 32)


def entering(w: World) -> Entering:
    return Entering(w.books, w.clock.now())


async def assign(w: World, txid: Txid, name: str = OWNER, cid: Cid = CID) -> None:
    await entering(w).assign(txid, cid.key, str(cid), NameBytes(name.encode()), "by mail")


async def refund(w: World, txid: Txid, amount: int | None = None, back: Txid = BACK) -> int:
    sum_ = Swartz(amount) if amount is not None else None
    return (await entering(w).refund(txid, back, sum_, "a mistake")).amount.amount


async def close(w: World, cid: Cid, name: str = OWNER) -> list[int]:
    entries = await entering(w).close(PinKey(cid.key, NameBytes(name.encode())), "no answer")
    return [entry.amount.amount for entry in entries]


async def amounts(w: World) -> dict[str, int]:
    """The statement's sums of what is not zero. Earned and unearned are one here: time alone moves one to the other."""
    ledger = await read_ledger(w.books, w.clock.now())
    found = total(statement(ledger.holdings.values(), ledger.entries, ledger.now))
    assert adds_up(found)
    earning = found.pop(Kind.EARNED) + found.pop(Kind.UNEARNED)
    del found[Kind.RECEIVED]
    sums = {kind.value: amount for kind, amount in found.items()} | {"earning": earning}
    return {name: amount.amount for name, amount in sums.items() if amount}


# ---------------------------------------------------------------- assigned


async def test_a_plain_transfer_is_assigned_and_buys_like_any_other(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        txid = await w.pay("", EIGHT_MONTHS, "", value="hello")
        await w.mine(3)
        assert await amounts(w) == {"owed": EIGHT_MONTHS}
        await assign(w, txid)
        await w.mine(1)
        pin, payment = await w.pin(CID, OWNER), await w.books.payment(txid)
        assert payment is not None
        assert payment.proof is not None
        assert (pin.state, pin.starts) == (State.PINNED, payment.proof.time)
        assert pin.ends == add_months(payment.proof.time, 8)
        assert await amounts(w) == {"earning": EIGHT_MONTHS}


async def test_an_assignment_of_what_nobody_was_quoted_is_fetched(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        txid = await w.pay("", EIGHT_MONTHS, "", value="")
        await w.mine(3)
        await assign(w, txid)
        await w.mine(1)
        await w.later(minutes=5)
        assert (await w.pin(CID, OWNER)).state is State.PINNED


async def test_a_payment_that_names_a_cid_is_not_assigned(autojump_clock: MockClock) -> None:
    """Catches: the owner's money given to another."""
    async with World().running() as w:
        w.offer(BLOCKS)
        txid = await w.pinned(CID, OWNER)
        with pytest.raises(NotAllowed, match="already"):
            await assign(w, txid, OTHER)
        stray = await w.pay("", MONTH, "", value="")
        await w.mine(3)
        await assign(w, stray, OWNER)
        with pytest.raises(NotAllowed, match="already"):
            await assign(w, stray, OTHER)
        with pytest.raises(NotInBooks):
            await assign(w, Txid("99" * 32))


# ---------------------------------------------------------------- refunded


async def test_an_owed_pin_is_refunded_and_tried_no_more(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        txid = await w.pay(NOWHERE, EIGHT_MONTHS, OWNER)
        await w.mine(3)
        await w.later(hours=1)
        assert (await w.pin(NOWHERE, OWNER)).state is State.OWED
        assert await refund(w, txid, EIGHT_MONTHS - 5) == EIGHT_MONTHS - 5
        assert ((await w.pin(NOWHERE, OWNER)).state, await amounts(w)) == (
            State.OWED,
            {"owed": 5, "refunded": EIGHT_MONTHS - 5},
        )
        assert await refund(w, txid, back=Txid("78" * 32)) == 5
        assert await amounts(w) == {"refunded": EIGHT_MONTHS}
        await w.pass_time(days=1)
        pin = await w.pin(NOWHERE, OWNER)
        assert (pin.state, pin.due_at, pin.reason) == (State.RELEASED, None, "refunded or closed")


async def test_the_blocks_of_a_refunded_pin_are_freed(autojump_clock: MockClock) -> None:
    """A block was lost and is nowhere to be had: the term runs, so the rest is kept until the refund."""
    async with World().running() as w:
        w.offer(BLOCKS)
        txid = await w.pinned(CID, OWNER)
        w.fetcher.peers.clear()
        w.lose(next(iter(BLOCKS)))
    async with w.running():
        await w.later(hours=1)
        pin = await w.pin(CID, OWNER)
        assert (pin.state, pin.keeps) == (State.OWED, True)
        assert await w.blocks_on_disk()
        assert await refund(w, txid) == EIGHT_MONTHS
        assert await amounts(w) == {"refunded": EIGHT_MONTHS}
        await w.mine(1)
        await w.later(days=1)
        assert ((await w.pin(CID, OWNER)).state, await w.blocks_on_disk()) == (State.RELEASED, set())
        assert [receipt.released_at is not None for receipt in await w.receipts.all()] == [True]


async def test_refunded_credit_never_buys_again(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        txid = await w.pay(CID, EIGHT_MONTHS + 1_000_000, OWNER)
        await w.mine(3)
        before = await w.pin(CID, OWNER)
        with pytest.raises(NotAllowed, match="1000000 of the 12324128 swartz"):
            await refund(w, txid, 1_000_001)
        assert await refund(w, txid) == 1_000_000
        assert await amounts(w) == {"earning": EIGHT_MONTHS, "refunded": 1_000_000}
        with pytest.raises(NotAllowed, match="0 of the 11324128 swartz"):
            await refund(w, txid, back=Txid("78" * 32))
        await w.pay(CID, MONTH - 1, OWNER)  # with the credit it would be a month
        await w.mine(3)
        after = await w.pin(CID, OWNER)
        assert (after.state, after.ends) == (State.PINNED, before.ends)


async def test_a_refund_is_recorded_once_and_only_of_what_counts(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        txid = await w.pay(NOWHERE, EIGHT_MONTHS, OWNER)
        await w.mine(3)
        await refund(w, txid, 5)
        with pytest.raises(NotAllowed, match="entry 1 has this refund"):
            await refund(w, txid, 5)
        w.offer(BLOCKS)
        await w.quoted(CID)
        coming = await w.pay(CID, EIGHT_MONTHS, OWNER)
        with pytest.raises(NotAllowed, match="does not count"):
            await refund(w, coming)
        with pytest.raises(NotInBooks):
            await refund(w, Txid("99" * 32))
        assert len(await w.books.entries()) == 1


async def test_money_without_a_pin_is_refunded_whole(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        txid = await w.pay("", 7, "", value="")
        await w.mine(3)
        assert await refund(w, txid) == 7
        assert await amounts(w) == {"refunded": 7}
        with pytest.raises(NotAllowed, match="has been given back already"):
            await refund(w, txid, back=Txid("78" * 32))


# ---------------------------------------------------------------- closed


async def test_a_closed_pin_is_given_up_and_a_later_payment_begins_anew(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        await w.pay(CID, MONTH - 1, OWNER)
        await w.mine(3)
        assert (await w.pin(CID, OWNER)).state is State.SHORT
        assert await close(w, CID) == [MONTH - 1]
        assert ((await w.pin(CID, OWNER)).state, await amounts(w)) == (State.RELEASED, {"closed": MONTH - 1})
        await w.pay(CID, 1, OWNER)
        await w.mine(3)
        assert (await w.pin(CID, OWNER)).state is State.RELEASED  # the closed money buys nothing
        await w.pay(CID, EIGHT_MONTHS, OWNER)
        await w.mine(3)
        assert (await w.pin(CID, OWNER)).state is State.PINNED
        assert await amounts(w) == {"closed": MONTH - 1, "earning": EIGHT_MONTHS, "credit": 1}


async def test_a_pin_whose_term_runs_is_not_closed(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.pinned(CID, OWNER)
        with pytest.raises(NotAllowed, match="the pin is pinned"):
            await close(w, CID)
        with pytest.raises(NotInBooks):
            await close(w, CID, OTHER)


async def test_a_close_gives_up_every_payment_of_the_pin(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        for amount in (EIGHT_MONTHS, 5):
            await w.pay(NOWHERE, amount, OWNER)
            await w.mine(3)
        assert await close(w, NOWHERE) == [EIGHT_MONTHS, 5]
        assert [(entry.number, entry.kind) for entry in await w.books.entries()] == [
            (1, EntryKind.CLOSED),
            (2, EntryKind.CLOSED),
        ]
        assert (await w.pin(NOWHERE, OWNER)).state is State.RELEASED


# ---------------------------------------------------------------- rebuilt


async def test_books_rebuilt_from_the_chain_and_the_entries_say_the_same(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        stray = await w.pay("", EIGHT_MONTHS, "", value="")
        owed = await w.pay(NOWHERE, EIGHT_MONTHS, OWNER)
        short = await w.pay(CID, 9, OTHER)
        await w.mine(3)
        await w.later(hours=1)
        await assign(w, stray)
        await refund(w, owed)
        await close(w, CID, OTHER)
        assert short in {entry.txid for entry in await w.books.entries()}
        await w.mine(3)
        pins, sums = await states(w), await amounts(w)
        kept = (await w.books.quotes(CID.key), await w.books.tariffs(), await w.books.entries())
    w.books, w.receipts = MemoryBooks(), MemoryReceipts()
    await take_up_tariffs(w.books, kept[1])
    await take_up_entries(w.books, kept[2])
    await take_up_quotes(w.books, kept[0])
    async with w.running():
        await w.mine(3)
        await w.later(hours=1)
        assert await amounts(w) == sums
        assert await states(w) == pins


async def states(w: World) -> dict[PinKey, Any]:
    return {pin.key: (pin.state, pin.starts, pin.ends) for pin in await w.books.all_pins()}


async def test_entries_beyond_a_gap_of_the_journal_are_not_taken(autojump_clock: MockClock) -> None:
    """Catches: the whole journal refused, for the sake of one lost line."""
    async with World().running() as w:
        strays = [await w.pay("", 7, "", value="") for _ in range(3)]
        await w.mine(3)
        for number, txid in enumerate(strays):
            await refund(w, txid, back=Txid(f"{number}" * 64))
        first, _, third = await w.books.entries()
    books = MemoryBooks()
    await take_up_entries(books, [first, third])
    assert await books.entries() == (first,)
    assert await books.commit(Change())
