"""Money: what a payment buys depends on nobody else. Each fault of the old rule as a story.

The closure has two million bytes, so a month costs 1 415 516 swartz and eight months 11 324 128.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from multiformats import multibase
from trio.testing import MockClock

from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.adapters.memory.clock import START
from pinning_worker.adapters.memory.receipts import MemoryReceipts
from pinning_worker.domain.money.pricing import add_months
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import Tariff
from pinning_worker.domain.pin import Pin, PinKey, State
from pinning_worker.ports.books import Change
from pinning_worker.steps.recovering import take_up_quotes, take_up_tariffs
from tests import content
from tests.stories.books_read import totals_of
from tests.stories.world import World

CID, BLOCKS = content.file(content.noise(2_000_000))
MONTH, EIGHT_MONTHS = 1_415_516, 11_324_128
OWNER, STRANGER = "art/owner", "art/stranger"


def months_of(pin: Pin) -> int:
    """The whole months of its term."""
    assert pin.starts is not None
    return next(months for months in range(1, 100) if add_months(pin.starts, months) == pin.ends)


async def stranger_asks(w: World, months: int) -> None:
    await w.say(f'{{"type":"NEW-CID","cid":"{CID}","durationMonths":{months}}}', peer="12D3KooWStranger")
    w.hear()


# ---------------------------------------------------------------- strangers decide nothing


@pytest.mark.parametrize("when", ["before", "in two parts", "late"])
async def test_a_strangers_question_for_one_month_leaves_the_payer_his_eight(
    when: str, autojump_clock: MockClock
) -> None:
    """Seen: one month for the price of eight. A quote costs one free message."""
    async with World().running() as w:
        w.offer(BLOCKS)
        assert await w.quoted(CID) == EIGHT_MONTHS
        match when:
            case "before":
                await stranger_asks(w, 1)
                await w.pay(CID, EIGHT_MONTHS, OWNER)
            case "in two parts":
                await w.pay(CID, MONTH + 1, OWNER)
                await w.mine(3)
                await stranger_asks(w, 1)
                await w.pay(CID, EIGHT_MONTHS - MONTH - 1, OWNER)
            case _:
                await w.later(hours=25)
                await stranger_asks(w, 1)
                await w.pay(CID, EIGHT_MONTHS, OWNER)
        await w.mine(3)
        assert months_of(await w.pin(CID, OWNER)) == 8


async def test_a_strangers_question_at_renewal_takes_nothing(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.pinned(CID, OWNER)
        await w.later(days=30)
        await stranger_asks(w, 1)
        await w.pay(CID, EIGHT_MONTHS, OWNER)
        await w.mine(3)
        assert months_of(await w.pin(CID, OWNER)) == 16


async def test_a_late_payer_at_the_old_price_is_not_short_because_somebody_asked_after_the_rise(
    autojump_clock: MockClock,
) -> None:
    """Seen: SHORT, though the price was honoured for everybody who had asked in time."""
    async with World().running() as w:
        w.offer(BLOCKS)
        amount = await w.quoted(CID)
        await w.set_prices(2_000_000, 1_000_000)
        await w.later(days=20)
        await stranger_asks(w, 8)
        await w.pay(CID, amount, OWNER)
        await w.mine(3)
        assert months_of(await w.pin(CID, OWNER)) == 8


async def test_after_the_notice_of_a_rise_the_new_price_is_the_price(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        amount = await w.quoted(CID)
        await w.set_prices(2 * 742_000, 1_000_000)
        await w.later(days=31)
        await w.pay(CID, amount, OWNER)
        await w.mine(3)
        await w.later(minutes=2)
        assert months_of(await w.pin(CID, OWNER)) == 4


async def test_a_quote_of_a_new_tariff_is_given_at_once_and_names_it(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.say(f"NEW-CID:{CID}")
        [first] = w.hear()
        await w.set_prices(371_000, 1_000_000)
        await w.later(seconds=3)
        await w.say(f"NEW-CID:{CID}")
        [second] = w.hear()
        assert (first["fee"]["amount"], second["fee"]["amount"]) == (EIGHT_MONTHS, EIGHT_MONTHS // 2)
        assert (first["quote"]["priceVersion"], second["quote"]["priceVersion"]) == (1, 2)
        log = await w.books.tariffs()
        assert [each.hash for each in log] == [first["quote"]["tariff"], second["quote"]["tariff"]]


async def test_a_strangers_swartz_spends_no_credit_of_the_owner(autojump_clock: MockClock) -> None:
    """Seen: with seven months' money as credit, one swartz of a stranger bought one month for all of it."""
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        await stranger_asks(w, 1)
        await w.pay(CID, EIGHT_MONTHS - 1, OWNER)
        await w.pay(CID, 1, OWNER)
        await w.mine(3)
        assert months_of(await w.pin(CID, OWNER)) == 8
        assert (await totals_of(w.books, w.clock.now()))["credit"] == Swartz(0)


async def test_sixteen_months_paid_at_once_are_sixteen_months(autojump_clock: MockClock) -> None:
    """Seen: the art is deleted after eight, while the money for eight more idles as credit."""
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        await w.pay(CID, 2 * EIGHT_MONTHS, OWNER)
        await w.mine(3)
        assert months_of(await w.pin(CID, OWNER)) == 16


# ---------------------------------------------------------------- credit is used


async def test_credit_extends_the_term_when_the_price_fell_and_the_owner_is_told(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        await w.pay(CID, 2 * MONTH - 100, OWNER)
        await w.mine(3)
        assert months_of(await w.pin(CID, OWNER)) == 1
        await w.later(hours=3)  # a tariff is also honoured in the two hours before it began
        await w.set_prices(371_000, 1_000)
        w.hear()
        await w.months_later(31)
        said = w.hear()
        statuses = ["ADDED-CID", "CID-PINNED-WITH-NAME", "EXPIRING-CID"]
        assert [m["status"] for m in said] == statuses, "no reminder before the end that credit moves"
        pin = await w.pin(CID, OWNER)
        assert months_of(pin) == 2
        assert said[1]["expirationDate"][:10] == str(pin.ends)[:10]
        assert await w.blocks_on_disk() == set(BLOCKS)
        await w.months_later(62)
        assert (await w.pin(CID, OWNER)).state is State.RELEASED


async def test_a_reminder_asks_only_for_what_credit_does_not_cover(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        await w.pay(CID, EIGHT_MONTHS + 1_000_000, OWNER)
        await w.mine(3)
        w.hear()
        await w.months_later(213)
        [expiring] = w.hear()
        assert (expiring["status"], expiring["renewal"]["amount"]) == ("EXPIRING-CID", EIGHT_MONTHS - 1_000_001)
        await w.pay(CID, expiring["renewal"]["amount"], OWNER)
        await w.mine(3)
        assert months_of(await w.pin(CID, OWNER)) == 16


async def test_the_renewal_of_a_reminder_is_valid_until_the_end(autojump_clock: MockClock) -> None:
    """Seen: it lapsed after a day, and owners pay later."""
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.pinned(CID, OWNER)
        await w.months_later(213)
        [expiring] = w.hear()
        assert expiring["renewal"]["expires"] == expiring["expirationDate"]


# ---------------------------------------------------------------- messages


async def test_the_payer_is_told_in_his_own_spelling(autojump_clock: MockClock) -> None:
    """Catches: a stranger's base16 that hides the answer from a page which compares text."""
    base16 = multibase.encode(CID.key, "base16")
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.say(f"NEW-CID:{base16}", peer="12D3KooWStranger")
        await w.later(seconds=3)
        assert await w.quoted(CID) == EIGHT_MONTHS
        await w.pay(CID, EIGHT_MONTHS, OWNER)
        await w.mine(3)
        said = w.hear()
        assert {m["cid"] for m in said} == {str(CID)}
        assert [m["status"] for m in said][-2:] == ["ADDED-CID", "CID-PINNED-WITH-NAME"]


async def test_a_double_spent_payment_is_told_gone(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        txid = await w.pay(CID, EIGHT_MONTHS, OWNER)
        w.hear()
        await w.chain.evict(txid)
        await w.settle()
        [gone] = w.hear()
        assert (gone["status"], gone["txid"], gone["nameId"]) == ("PAYMENT-GONE", txid, OWNER)
        await w.mine(3)
        assert w.hear() == []


async def test_dust_is_told_to_nobody(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        for _ in range(20):
            await w.pay(CID, 9_999, STRANGER)
        await w.mine(3)
        assert w.hear() == []


# ---------------------------------------------------------------- nothing is freed under a payment


async def test_a_payment_for_one_name_holds_the_blocks_when_another_names_term_ends(autojump_clock: MockClock) -> None:
    """It was in the mempool in time; a block takes it after the other's end."""
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.pinned(CID, OWNER)
        await w.months_later(241)
        await w.pay(CID, MONTH, STRANGER)
        w.fetcher.peers.clear()
        w.blocks.freed.clear()
        await w.pass_time(days=1.5)
        assert (await w.pin(CID, OWNER)).state is State.RELEASED
        assert await w.blocks_on_disk() == set(BLOCKS)
        await w.mine(3)
        assert (await w.pin(CID, STRANGER)).state is State.PINNED


async def test_a_payment_that_never_comes_holds_the_blocks_for_a_day_and_no_longer(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.pinned(CID, OWNER)
        await w.months_later(241)
        await w.pay(CID, MONTH, STRANGER)
        await w.pass_time(days=1.5)
        assert await w.blocks_on_disk() == set(BLOCKS)
        await w.pass_time(days=32)
        await w.pass_time(days=1)
        assert await w.blocks_on_disk() == set()


async def test_a_stuck_swartz_keeps_no_pin(autojump_clock: MockClock) -> None:
    """Seen: for ever, because each new quote of anybody prolonged the wait."""
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.pinned(CID, OWNER)
        await w.months_later(241)
        await w.pay(CID, 1, OWNER)
        await w.pass_time(days=2)
        assert (await w.pin(CID, OWNER)).state is State.RELEASED


async def test_invented_payments_hold_ended_content_for_a_day_and_no_longer(autojump_clock: MockClock) -> None:
    """Catches: a double spend each day, or a server that shows and withdraws inventions, by which blocks of an ended
    term stay on the disk for ever."""
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        await w.pay(CID, MONTH, OWNER)
        await w.mine(3)
        await w.months_later(29)
        for _ in range(6):
            stuck = await w.pay(CID, MONTH, STRANGER)
            await w.pass_time(hours=20)
            await w.pay(CID, MONTH, STRANGER)
            await w.chain.evict(stuck)
        assert (await w.pin(CID, OWNER)).state is State.RELEASED
        await w.pass_time(hours=1)
        assert await w.blocks_on_disk() == set()


async def test_our_clock_alone_lapses_no_quote(autojump_clock: MockClock) -> None:
    """A clock that is a year ahead would free what is being paid for."""
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        await w.later(days=2)
        assert await w.blocks_on_disk() == set(BLOCKS)
        await w.pass_time(minutes=1)
        assert await w.blocks_on_disk() == set()


# ---------------------------------------------------------------- books that are rebuilt say the same


async def test_rebuilt_books_equal_the_old_ones(autojump_clock: MockClock) -> None:
    """From the chain, the tariff log and the closures' bytes, in one go: a backlog, read in any order."""
    w = World()
    async with w.running():
        w.offer(BLOCKS)
        await w.quoted(CID)
        for amount, name, price in [
            (MONTH // 2, OWNER, 900_000),
            (EIGHT_MONTHS, STRANGER, 600_000),
            (EIGHT_MONTHS, OWNER, 742_000),
            (1, OWNER, 1_000_000),
            (MONTH, OWNER, 100_000),
        ]:
            await w.pay(CID, amount, name)
            await w.mine(3)
            await w.set_prices(price, 1_000_000)
            await w.months_later(20)
        terms = {pin.key: (pin.starts, pin.ends) for pin in await w.books.all_pins()}
        totals = await totals_of(w.books, w.clock.now())
        quotes, log = await w.books.quotes(CID.key), await w.books.tariffs()
    w.books, w.receipts = MemoryBooks(), MemoryReceipts()
    await take_up_tariffs(w.books, log)
    await take_up_quotes(w.books, quotes)
    async with w.running():
        await w.later(hours=2)
        assert {pin.key: (pin.starts, pin.ends) for pin in await w.books.all_pins()} == terms
        assert await totals_of(w.books, w.clock.now()) == totals
        assert {pin.state for pin in await w.books.all_pins()} == {State.PINNED}


@pytest.mark.parametrize("lost", [False, True], ids=["served", "lost in the middle"])
async def test_rebuilt_books_owe_a_term_that_is_over_only_if_it_was_not_served(
    lost: bool, autojump_clock: MockClock
) -> None:
    """Catches: a database that was lost, after which all money that was ever earned is a debt."""
    w = World()
    async with w.running():
        w.offer(BLOCKS)
        await w.quoted(CID)
        await w.pay(CID, MONTH, OWNER)
        await w.mine(3)
        if lost:
            w.lose(next(iter(BLOCKS)))
            w.fetcher.peers.clear()
            w.blocks.freed.clear()
    async with w.running():
        await w.months_later(33)
        quotes, log = await w.books.quotes(CID.key), await w.books.tariffs()
        totals, pin = await totals_of(w.books, w.clock.now()), await w.pin(CID, OWNER)
        assert pin.state is (State.OWED if lost else State.RELEASED)
    w.books = MemoryBooks()
    await take_up_tariffs(w.books, log)
    await take_up_quotes(w.books, quotes)
    async with w.running():
        await w.later(hours=1)
        assert await totals_of(w.books, w.clock.now()) == totals
        rebuilt = await w.pin(CID, OWNER)
        assert (rebuilt.state, rebuilt.starts, rebuilt.ends) == (pin.state, pin.starts, pin.ends)


async def test_two_thousand_payments_of_one_swartz_are_judged_in_a_few_looks(autojump_clock: MockClock) -> None:
    """Seen: they stopped the loop for eight seconds. Counted here in judgements, not in seconds."""

    class CountedBooks(MemoryBooks):
        looks = 0

        async def payments_of(self, key):  # type: ignore[no-untyped-def]  # as in MemoryBooks
            self.looks += 1
            return await super().payments_of(key)

    w = World(books=CountedBooks())
    async with w.running():
        w.offer(BLOCKS)
        await w.quoted(CID)
        for _ in range(2_000):
            await w.pay(CID, 1, STRANGER)
        await w.mine(1)
        before = w.books.looks  # type: ignore[attr-defined]  # it is a CountedBooks
        await w.mine(2)
        assert w.books.looks - before < 100  # type: ignore[attr-defined]  # it is a CountedBooks
        assert (await w.pin(CID, STRANGER)).state is State.SHORT


# ---------------------------------------------------------------- never quoted


async def test_content_that_was_never_quoted_is_tried_for_thirty_days_and_then_owed(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        await w.pay(CID, EIGHT_MONTHS, OWNER)
        await w.mine(3)
        await w.later(days=29)
        tried = len(w.fetcher.fetches)
        await w.later(days=3)
        assert len(w.fetcher.fetches) > tried
        tried = len(w.fetcher.fetches)
        await w.later(days=100)
        assert len(w.fetcher.fetches) == tried
        pin = await w.pin(CID, OWNER)
        assert (pin.state, pin.due_at) == (State.OWED, None)
        assert (await totals_of(w.books, w.clock.now()))["owed"] == Swartz(EIGHT_MONTHS)
        w.offer(BLOCKS)  # somebody brings it after all, and asks
        await w.say(f"NEW-CID:{CID}")
        await w.settle()
        assert months_of(await w.pin(CID, OWNER)) == 8


@pytest.mark.parametrize("is_killed", [False, True])
async def test_two_halves_that_came_before_the_first_quote_buy_their_month(
    is_killed: bool, autojump_clock: MockClock
) -> None:
    """Seen: each was dust for what nobody was quoted, so no pin ever counted them; rebuilt books counted both."""
    w = World()
    async with w.running():
        for _ in range(2):
            await w.pay(CID, MONTH // 2, OWNER)
            await w.mine(3)
        w.offer(BLOCKS)
        if is_killed:  # between the quote and the look at what came before it
            w.life.paying = w.new_life().paying  # its bell wakes nobody
        await w.say(f"NEW-CID:{CID}")
    async with w.running():
        assert (await w.pin(CID, OWNER)).state is State.PINNED
        assert months_of(await w.pin(CID, OWNER)) == 1


async def test_a_reorg_to_a_dearer_block_leaves_a_short_payment_and_tells_it(autojump_clock: MockClock) -> None:
    """Seen: a crash, for a pinned pin whose payment moved to a block after the notice had no way to SHORT."""
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        await w.set_prices(2 * 742_000, 1_000_000)
        await w.later(days=30, hours=23)
        await stranger_asks(w, 1)
        txid = await w.pay(CID, MONTH, OWNER)
        await w.mine(3)
        assert (await w.pin(CID, OWNER)).state is State.PINNED
        await w.later(hours=2)
        w.hear()
        payment = await w.books.payment(txid)
        assert payment is not None
        assert payment.proof is not None
        dearer = replace(payment.proof, time=w.clock.now().replace(microsecond=0))
        await w.books.commit(Change(payments=(replace(payment, proof=dearer),)))
        w.life.paying.bell.nudge(PinKey(payment.root, payment.name))
        await w.settle()
        pin = await w.pin(CID, OWNER)
        assert (pin.state, pin.ends) == (State.SHORT, None)
        assert w.hear_statuses() == ["PAYMENT-SHORT"]
        assert all(receipt.released_at for receipt in await w.receipts.all())


async def test_a_clock_a_year_ahead_ends_no_pin_that_a_reorg_took_back_and_a_block_took_again(
    autojump_clock: MockClock,
) -> None:
    """Seen: SUSPENDED at once, its blocks freed, and no later block looked at it again."""
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.pinned(CID, OWNER)
        await w.chain.reorg(4)
        await w.settle()
        assert (await w.pin(CID, OWNER)).state is State.CREDIT
        mempool, w.chain.mempool = w.chain.mempool, {}
        time = w.clock.now() + timedelta(hours=1)
        w.chain.clock = _Stopped(time)  # the miners' clock is right, and ours is not
        w.clock.moved += timedelta(days=365)
        w.chain.mempool = mempool
        await w.mine(3)
        w.clock.moved -= timedelta(days=365)
        w.chain.clock = w.clock
        await w.later(hours=1)
        await w.mine(3)
        assert (await w.pin(CID, OWNER)).state is State.PINNED
        assert await w.blocks_on_disk() == set(BLOCKS)


@dataclass
class _Stopped:
    moment: datetime

    def now(self) -> datetime:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        raise AssertionError


async def test_questions_in_the_hour_before_a_lapse_hold_nothing_for_ever(autojump_clock: MockClock) -> None:
    """Seen: a lapse waits for the chain's clock, and a question meanwhile began three quotes' lives anew, for ever."""
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        was_let_go = False
        for _ in range(8):
            await w.later(hours=24, minutes=1)
            await stranger_asks(w, 8)
            await w.mine(12)
            await w.settle()
            was_let_go = was_let_go or await w.blocks_on_disk() == set()
        assert was_let_go


async def test_a_second_term_leaves_the_receipt_of_the_first_as_it_was(autojump_clock: MockClock) -> None:
    """Seen: opened again, with the second term's dates."""
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.quoted(CID)
        first = await w.pay(CID, MONTH, OWNER)
        await w.mine(3)
        await w.months_later(32)
        [closed] = await w.receipts.all()
        assert (closed.txid, closed.released_at is None) == (first, False)
        await w.pay(CID, MONTH, OWNER)
        await w.mine(3)
        await w.later(minutes=5)
        assert (await w.pin(CID, OWNER)).state is State.PINNED
        assert closed in await w.receipts.all()
        assert len(await w.receipts.all()) == 2


async def test_an_owed_payment_that_is_short_says_so_once(autojump_clock: MockClock) -> None:
    """Seen: again with each confirmation of anybody's dust, for an owed pin whose term is over."""
    async with World().running() as w:
        w.offer(BLOCKS)
        await w.pinned(CID, OWNER)
        w.fetcher.peers.clear()
        w.lose(next(iter(BLOCKS)))
        await w.say(f"NEW-CID:{CID}")
        await w.months_later(250)
        assert (await w.pin(CID, OWNER)).state is State.OWED
        for _ in range(3):
            await w.pay(CID, 20_000, OWNER)
            await w.mine(4)
        assert w.hear_statuses().count("PAYMENT-SHORT") == 3


async def test_a_reorg_of_money_that_names_no_cid_stops_nothing(autojump_clock: MockClock) -> None:
    """Seen: the loop looked for a pin of no CID, and the worker stopped. One swartz and a reorg sufficed."""
    async with World().running() as w:
        await w.pay(CID, 1, STRANGER, value="no cid")
        await w.mine(2)
        await w.chain.reorg(2)
        await w.mine(3)
        assert (await totals_of(w.books, w.clock.now()))["owed"] == Swartz(1)


async def test_books_that_were_restored_from_before_a_strike_strike_again(autojump_clock: MockClock) -> None:
    """Seen: only missing numbers were taken from the journal, so a mistyped price came back with an old database."""
    day, books, old = timedelta(days=1), MemoryBooks(), MemoryBooks()
    tariffs = [Tariff(number, START + number * day, Swartz(number), Swartz(1)) for number in (1, 2, 3)]
    for tariff in tariffs[:2]:
        assert await books.add_tariff(tariff)
        assert await old.add_tariff(tariff)
    assert await books.strike_tariff(2)
    assert await books.add_tariff(tariffs[2])
    await take_up_tariffs(old, await books.tariffs())
    assert await old.tariffs() == await books.tariffs()


async def test_a_journal_of_tariffs_with_a_gap_is_told(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    books = MemoryBooks()
    await take_up_tariffs(books, [Tariff(number, START, Swartz(number), Swartz(1)) for number in (1, 3, 4)])
    assert len(await books.tariffs()) == 1
    assert "tariffs.cut_short" in capsys.readouterr().out


async def test_a_new_payment_has_content_sought_again_that_was_given_up_and_dust_has_not(
    autojump_clock: MockClock,
) -> None:
    async with World().running() as w:
        await w.pay(CID, EIGHT_MONTHS, OWNER)
        await w.mine(3)
        await w.later(days=20)
        await w.pay(CID, 1, OWNER)
        await w.mine(3)
        await w.later(days=11)
        assert (await w.pin(CID, OWNER)).due_at is None, "dust prolongs no search"
        w.offer(BLOCKS)
        await w.pay(CID, 1, OWNER)
        await w.mine(3)
        await w.later(days=1)
        assert (await w.pin(CID, OWNER)).due_at is None
        await w.pay(CID, MONTH, OWNER)
        await w.mine(3)
        await w.later(minutes=5)
        assert months_of(await w.pin(CID, OWNER)) == 9
