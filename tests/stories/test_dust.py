"""Money that nobody asked for, and sightings that nobody proved: booked when they are proven, listed, and no more.

A swartz costs nothing: ten thousand payments of one each must cause no fetch, no pin and no row that could be made up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

from structlog.testing import capture_logs
from trio.testing import MockClock

from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.payment import PaidOutput, Sighting
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import TariffLog
from pinning_worker.domain.pin import Event, Pin, State, step
from pinning_worker.ports.books import Change
from pinning_worker.steps.compare_and_swap import TRIES
from pinning_worker.steps.unbooked import MOST_FOR_ONE_ROOT, MOST_GONE_FOR_ONE_ROOT, MOST_RETURNS
from tests import content
from tests.stories.books_read import totals_of
from tests.stories.world import World

LEAST = 1_000_000  # swartz: of the least fee in `world.terms`
LEVELS = ("info", "warning", "error")


class CountedBooks(MemoryBooks):
    """`written` counts what was stored of payments and pins."""

    written = 0

    async def commit(self, change: Change) -> bool:
        stored = await super().commit(change)
        self.written += (len(change.payments) + len(change.pins)) if stored else 0
        return stored


def strange(number: int) -> Cid:
    """A CID that exists nowhere."""
    return content.file(b"nowhere %d" % number)[0]


async def test_dust_for_what_nobody_was_quoted_is_booked_and_causes_nothing(autojump_clock: MockClock) -> None:
    """Catches: three hundred payments of a swartz that fill the queue, and are asked for again for ever."""
    books = CountedBooks()
    w = World(books=books)
    with capture_logs() as logs:
        async with w.running():
            for number in range(300):
                await w.pay(strange(number), 1, f"art/{number}")
            await w.mine(3)
            assert len(await w.books.all_payments()) == 300
            assert (await w.books.all_pins(), w.fetcher.fetches, w.hear()) == ([], [], [])
            written = books.written
            await w.months_later(10)
            assert (books.written, w.fetcher.fetches, w.hear()) == (written, [], [])
    told = [line["event"] for line in logs if line["log_level"] in LEVELS]
    assert [event for event in told if event.startswith(("payment.", "pin.", "request."))] == []
    assert await totals_of(w.books, w.clock.now()) == {
        "earned": Swartz(0),
        "credit": Swartz(0),
        "owed": Swartz(300),
    }


async def test_a_customer_is_served_through_three_hundred_payments_of_dust(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"a customer's")
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        for number in range(300):
            await w.pay(strange(number), 1, f"art/{number}")
        await w.pay(cid, amount)
        await w.mine(3)
        assert [said for said in w.hear_statuses() if said != "PAYMENT-SEEN"] == ["ADDED-CID", "CID-PINNED-WITH-NAME"]
        assert [pin.state for pin in await w.books.all_pins()] == [State.PINNED]


async def test_a_request_that_failed_is_no_quote(autojump_clock: MockClock) -> None:
    """Catches: who asks for what nobody has, and pays a swartz for it, has it fetched for ever."""
    async with World().running() as w:
        await w.say(f"NEW-CID:{strange(1)}")
        await w.later(minutes=1)
        fetched = len(w.fetcher.fetches)
        await w.pay(strange(1), LEAST - 1)
        await w.mine(3)
        await w.later(days=3)
        assert (len(w.fetcher.fetches), await w.books.all_pins()) == (fetched, [])


async def test_the_least_fee_for_what_nobody_was_quoted_is_owed(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        await w.pay(strange(1), LEAST)
        await w.mine(3)
        assert (await w.pin(strange(1))).state is State.OWED
        await w.later(minutes=5)
        assert len(w.fetcher.fetches) > 0


async def test_dust_is_credit_once_more_is_paid_for_the_same_name(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(2_000_000))
    async with World().running() as w:
        await w.pay(cid, 400_000)
        await w.mine(3)
        w.offer(blocks)
        await w.say(f"NEW-CID:{cid}")
        adding, short = w.hear()
        assert (adding["status"], short["status"]) == ("ADDING-CID", "PAYMENT-SHORT")
        assert short["missing"] == adding["fee"]["amount"] - 400_000
        await w.pay(cid, short["missing"])
        await w.mine(3)
        assert w.hear_statuses()[-2:] == ["ADDED-CID", "CID-PINNED-WITH-NAME"]


async def test_dust_that_an_older_worker_owes_is_asked_for_no_more(autojump_clock: MockClock) -> None:
    w, cid = World(), strange(1)
    async with w.running():
        await w.pay(cid, 1)
        await w.mine(3)
        owed = Pin(
            cid.key, NameBytes(b"art/1"), str(cid), step(State.SEEN, Event.OWES), w.clock.now(), reason="never quoted"
        )
        assert await w.books.commit(Change(pins=(owed,)))
        w.life.ring()
        await w.later(days=3)
        pin = await w.pin(cid)
        assert (pin.state, pin.due_at, w.fetcher.fetches) == (State.OWED, None, [])
        assert "less than the least fee" in pin.reason


class FloodedBooks(CountedBooks):
    """`flood` is called while a pin is judged: between the reading of its payments and the verdict's commit."""

    flood: Callable[[], Awaitable[None]] | None = None

    async def tariffs(self) -> TariffLog:
        if self.flood is not None:
            await self.flood()
        return await super().tariffs()


async def test_dust_that_comes_faster_than_it_is_judged_is_no_fault_of_the_pin(autojump_clock: MockClock) -> None:
    """Catches: two thousand payments of a swartz in one block; each overtakes the judgement, which counts as a crash,
    and after the third the owner's root is set aside."""
    cid, blocks = content.file(b"much paid for")
    books = FloodedBooks()
    w, left = World(books=books), 2 * TRIES
    async with w.running():
        w.offer(blocks)
        await w.pinned(cid)
        pin = await w.pin(cid)

        async def flood() -> None:
            nonlocal left
            left -= 1
            if left > 0:  # as a payment does that is booked meanwhile
                assert await books.commit(Change(pins=(await w.pin(cid),)))

        books.flood = flood
        await w.pay(cid, 5_000_000)
        await w.mine(3)
        assert left <= 0
        renewed = await w.pin(cid)
        assert renewed.ends is not None
        assert pin.ends is not None
        assert renewed.ends > pin.ends
        assert (w.crash_notes.crashed, w.hear_statuses()[-1]) == ([], "CID-PINNED-WITH-NAME")


# ---------------------------------------------------------------- sightings without a proof


async def test_an_invention_that_comes_and_goes_writes_no_row(autojump_clock: MockClock) -> None:
    """Catches: one server's inventions, five rows a second for ever."""
    books = CountedBooks()
    w = World(books=books)
    async with w.running():
        for number in range(200):
            txid = await w.pay(strange(number), 5_000_000)
            await w.chain.evict(txid)
        assert (books.written, w.hear()) == (0, [])


async def test_a_sighting_before_the_quote_is_told_with_the_quote(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"paid first, asked then")
    async with World().running() as w:
        txid = await w.pay(cid, 5_000_000)
        assert await w.books.all_payments() == []
        w.offer(blocks)
        await w.say(f"NEW-CID:{cid}")
        assert w.hear_statuses() == ["ADDING-CID", "PAYMENT-SEEN"]
        [payment] = await w.books.all_payments()
        assert (payment.txid, payment.proof) == (txid, None)


async def test_of_inventions_for_what_is_quoted_only_some_are_booked(autojump_clock: MockClock) -> None:
    """The true one among them is proven in the end, and counts."""
    cid, blocks = content.file(b"much envied")
    async with World().running() as w:
        w.offer(blocks)
        amount = await w.quoted(cid)
        for number in range(3 * MOST_FOR_ONE_ROOT):
            await w.pay(cid, amount, f"invented/{number}")
        assert len(await w.books.all_payments()) == MOST_FOR_ONE_ROOT
        w.chain.mempool.clear()
        await w.pay(cid, amount, "art/1")
        await w.mine(3)
        assert (await w.pin(cid)).state is State.PINNED


async def test_one_servers_inventions_hide_no_payment_that_another_shows(autojump_clock: MockClock) -> None:
    """Catches: twenty inventions take all places of a root; the payment is not told of, and its blocks lapse while it
    is on its way."""
    cid, blocks = content.file(b"much envied")
    outputs = (PaidOutput(1, Swartz(5_000_000)),)
    value = f"ipfs://{cid}".encode()
    async with World().running() as w:
        for number in range(2_000):
            txid = Txid(hashlib.sha256(b"invented %d" % number).hexdigest())
            invented = Sighting(txid, NameBytes(b"art/%d" % number), value, outputs, None, frozenset({"liar"}))
            await w.life.payment_seen(invented)
            if number == 500:
                paid = Sighting(
                    Txid("ab" * 32), NameBytes(b"art/1"), value, outputs, None, frozenset({"liar", "honest"})
                )
                await w.life.payment_seen(paid)
        w.offer(blocks)
        await w.say(f"NEW-CID:{cid}")
        assert "ab" * 32 in {said.get("txid") for said in w.hear()}
        booked = {payment.txid for payment in await w.books.all_payments()}
        assert ("ab" * 32 in booked, len(booked)) == (True, MOST_FOR_ONE_ROOT + 1)


async def test_a_server_that_shows_and_withdraws_its_inventions_fills_no_books_and_hides_no_payment(
    autojump_clock: MockClock,
) -> None:
    """Catches: rows and messages without end; a payment that an honest server shows, told to nobody."""
    cid, blocks = content.file(b"come and gone")
    outputs, value = (PaidOutput(1, Swartz(5_000_000)),), f"ipfs://{cid}".encode()
    async with World().running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        for number in range(MOST_GONE_FOR_ONE_ROOT + 100):
            txid = Txid(hashlib.sha256(b"shown %d" % number).hexdigest())
            shown = Sighting(txid, NameBytes(b"art/%d" % number), value, outputs, None, frozenset({"liar"}))
            await w.life.payment_seen(shown)
            await w.life.payment_gone(txid)
        assert len(await w.books.all_payments()) == MOST_GONE_FOR_ONE_ROOT
        w.hear()
        paid = Sighting(Txid("ab" * 32), NameBytes(b"art/1"), value, outputs, None, frozenset({"liar", "honest"}))
        await w.life.payment_seen(paid)
        await w.settle()
        assert [said["txid"] for said in w.hear()] == ["ab" * 32]


async def test_a_payment_that_flaps_is_rewritten_a_few_times_and_counts_when_it_is_proven(
    autojump_clock: MockClock,
) -> None:
    cid, blocks = content.file(b"now here, now gone")
    books = CountedBooks()
    w = World(books=books)
    async with w.running():
        w.offer(blocks)
        amount = await w.quoted(cid)
        txid = Txid(hashlib.sha256(b"flap").hexdigest())
        flapping = Sighting(txid, NameBytes(b"art/1"), f"ipfs://{cid}".encode(), (PaidOutput(1, Swartz(amount)),), None)
        for _ in range(50):
            await w.chain.broadcast(flapping)
            await w.settle()
            await w.chain.evict(txid)
            await w.settle()
        assert books.written <= 8 * (MOST_RETURNS + 1)
        written = books.written
        await w.chain.broadcast(flapping)
        await w.settle()
        assert books.written == written
        await w.mine(3)
        assert (await w.pin(cid)).state is State.PINNED
