"""What every Books must do: one suite for dicts, SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import trio

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.content.sizes import PIECE, Sizes
from pinning_worker.domain.identities import NameBytes, PeerId, Txid
from pinning_worker.domain.money.entry import Entry, EntryKind
from pinning_worker.domain.money.payment import PaidOutput
from pinning_worker.domain.money.pricing import WATCHED_AFTER
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import Tariff
from pinning_worker.domain.money.written_once import Rewritten
from pinning_worker.domain.pin import Pin, PinKey, Request, Share, State
from pinning_worker.ports.books import Books, Change, Dossier
from pinning_worker.steps.tariffs import rates_measured, rates_of
from tests.contract.samples import (
    HOUR,
    IMAGE,
    NO_NAME,
    NOW,
    OTHER,
    OTHER_TXID,
    ROOT,
    STRANGE,
    TXID,
    bare_payment,
    bare_pin,
    bare_request,
    block_name,
    payment,
    payment_proof,
    pin,
    proof,
    quote,
    request,
)

ALICE = PinKey(ROOT, NameBytes(b"alice"))
MICROSECOND = timedelta(microseconds=1)


async def put(books: Books, *rows: Request | Pin) -> None:
    """Stores new rows, each by itself."""
    for row in rows:
        change = Change(pins=(row,)) if isinstance(row, Pin) else Change(requests=(row,))
        assert await books.commit(change)


# ---------------------------------------------------------------- what goes in comes out


@pytest.mark.parametrize("stored", [request(), bare_request()], ids=["filled", "bare"])
async def test_a_request_comes_back_as_it_went_in(books: Books, stored: Request) -> None:
    """Catches: lost microseconds, the order of askers or references, text that a database refuses."""
    await put(books, stored)
    assert await books.request(ROOT) == replace(stored, version=1)


@pytest.mark.parametrize("stored", [pin(name=NameBytes(b"\x00\xff")), bare_pin()], ids=["filled", "bare"])
async def test_a_pin_comes_back_as_it_went_in(books: Books, stored: Pin) -> None:
    await put(books, stored)
    assert await books.pin(stored.key) == replace(stored, version=1)


async def test_a_payment_comes_back_as_it_went_in(books: Books) -> None:
    filled, bare = payment(), bare_payment(OTHER_TXID)
    assert await books.commit(Change(payments=(filled, bare)))
    assert [await books.payment(TXID), await books.payment(OTHER_TXID)] == [filled, bare]


async def test_quotes_come_back_as_they_went_in_the_oldest_first(books: Books) -> None:
    """Catches: an order by id, which is random, and a quote of another CID."""
    newer, older = quote("q1", issued=NOW + MICROSECOND), quote("q2", foreign=())
    assert await books.commit(Change(quotes=(newer, older, quote("q3", OTHER))))
    assert await books.quotes(ROOT) == [older, newer]


async def test_what_was_never_stored_is_none(books: Books) -> None:
    assert (await books.request(ROOT), await books.pin(ALICE), await books.payment(TXID)) == (None, None, None)
    assert (await books.quotes(ROOT), await books.pins_of(ROOT), await books.held(ROOT)) == ([], [], [])


# ---------------------------------------------------------------- compare and swap


async def test_a_row_is_new_only_once(books: Books) -> None:
    await put(books, request(attempts=1), pin(attempts=1))
    assert not await books.commit(Change(requests=(request(attempts=9),)))
    assert not await books.commit(Change(pins=(pin(attempts=9),)))
    stored_request, stored_pin = await books.request(ROOT), await books.pin(ALICE)
    assert stored_request is not None
    assert stored_pin is not None
    assert (stored_request.attempts, stored_pin.attempts) == (1, 1)


async def test_a_version_nobody_stored_is_refused(books: Books) -> None:
    """Catches: an update of nothing that counts as stored."""
    assert not await books.commit(Change(requests=(replace(request(), version=1),)))
    assert not await books.commit(Change(pins=(replace(pin(), version=3),)))


async def test_the_later_of_two_steps_from_one_version_is_refused(books: Books) -> None:
    await put(books, pin())
    read = await books.pin(ALICE)
    assert read is not None
    assert await books.commit(Change(pins=(replace(read, reason="first"),)))
    assert not await books.commit(Change(pins=(replace(read, reason="second"),)))
    assert await books.pin(ALICE) == replace(read, reason="first", version=2)


async def test_a_conflict_changes_nothing_at_all(books: Books) -> None:
    """Catches: rows before the conflicting one, its references, or the money, stored all the same."""
    await put(books, pin(), request(references=(OTHER,)))
    assert await books.commit(Change(hold=((ROOT, (block_name(1),)),)))
    read = await books.request(ROOT)
    assert read is not None
    change = Change(
        requests=(replace(read, references=(IMAGE,)), bare_request(OTHER)),
        pins=(bare_pin(OTHER), pin(reason="stale")),
        quotes=(quote(),),
        payments=(payment(),),
        hold=((OTHER, (block_name(2),)),),
        release=(ROOT,),
    )
    assert not await books.commit(change)
    assert await books.request(ROOT) == read
    assert (await books.request(OTHER), await books.pins_of(OTHER)) == (None, [])
    assert (await books.quotes(ROOT), await books.all_payments()) == ([], [])
    assert (await books.held(ROOT), await books.held(OTHER)) == ([block_name(1)], [])


async def test_the_same_row_twice_in_one_change_is_a_conflict(books: Books) -> None:
    assert not await books.commit(Change(requests=(request(), request())))
    await put(books, pin())
    read = await books.pin(ALICE)
    assert read is not None
    assert not await books.commit(Change(pins=(read, read)))
    assert not await books.commit(Change(pins=(read, replace(read, version=2))))
    assert await books.pin(ALICE) == read


async def test_a_request_is_forgotten_only_in_the_version_that_was_read(books: Books) -> None:
    """Catches: a request that somebody asked for again meanwhile, gone; references that outlive it."""
    await put(books, request(references=(IMAGE,)), pin())
    read = await books.request(ROOT)
    assert read is not None
    assert not await books.commit(Change(forget=(replace(read, version=2),)))
    assert not await books.commit(Change(forget=(read,), requests=(read,)))
    assert not await books.commit(Change(forget=(bare_request(OTHER),)))
    assert await books.request(ROOT) == read
    assert await books.commit(Change(forget=(read,)))
    assert await books.request(ROOT) is None
    assert await books.pins_naming(IMAGE, 9) == []
    await put(books, bare_request())
    assert await books.request(ROOT) == replace(bare_request(), version=1)


async def test_sixty_concurrent_steps_each_count_once(books: Books) -> None:
    """Catches: a lost update, and writers that are refused instead of waiting (10 of 60 got through once)."""
    await put(books, pin(attempts=0))

    async def step() -> None:
        while True:
            read = await books.pin(ALICE)
            assert read is not None
            if await books.commit(Change(pins=(replace(read, attempts=read.attempts + 1),))):
                return

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(step)
    after = await books.pin(ALICE)
    assert after is not None
    assert (after.attempts, after.version) == (60, 61)


# ---------------------------------------------------------------- written once


async def test_a_quote_may_be_stored_again_but_never_changed(books: Books) -> None:
    assert await books.commit(Change(quotes=(quote(),)))
    assert await books.commit(Change(quotes=(quote(),)))
    with pytest.raises(Rewritten, match="q1"):
        await books.commit(Change(quotes=(quote(amount=Swartz(1)),), pins=(pin(),)))
    assert await books.quotes(ROOT) == [quote()]
    assert await books.pin(ALICE) is None


async def test_what_we_learn_of_a_payment_is_updated(books: Books) -> None:
    assert await books.commit(Change(payments=(payment(),)))
    reorged = payment(proof=None, settled=False, announced=-1, gone=True)
    assert await books.commit(Change(payments=(reorged,)))
    assert await books.all_payments() == [reorged]


@pytest.mark.parametrize(
    "rewritten",
    [
        payment(outputs=(*payment().outputs, PaidOutput(1, Swartz(9)))),
        payment(outputs=(PaidOutput(0, Swartz(6)),)),
        payment(outputs=()),
        payment(name=NameBytes(b"bob")),
        payment(root=OTHER),
    ],
    ids=["one output more", "another amount", "none", "another name", "another CID"],
)
async def test_the_money_of_a_payment_enters_once(books: Books, rewritten: object) -> None:
    """Catches: (txid, vout) counted again under another pin, or grown after the fact."""
    assert await books.commit(Change(payments=(payment(),)))
    with pytest.raises(Rewritten, match=TXID):
        await books.commit(Change(payments=(rewritten,), pins=(pin(),)))  # type: ignore[arg-type]  # parametrize is untyped
    assert await books.all_payments() == [payment()]
    assert await books.all_pins() == []


async def test_a_payment_that_somebody_booked_meanwhile_is_a_conflict(books: Books) -> None:
    """Catches: two servers that show the same new transaction, and the later one taken for a bug."""
    assert await books.commit(Change(payments=(payment(),)))
    assert not await books.commit(Change(payments=(payment(first_seen=NOW + MICROSECOND),), pins=(pin(),)))
    assert await books.all_payments() == [payment()]
    assert await books.pin(ALICE) is None


async def test_a_stale_step_is_a_conflict_whatever_it_wanted_to_write(books: Books) -> None:
    """Catches: a bug reported where somebody was merely faster."""
    await put(books, pin())
    assert await books.commit(Change(quotes=(quote(),)))
    assert not await books.commit(Change(pins=(pin(),), quotes=(quote(amount=Swartz(1)),)))


async def test_an_output_listed_twice_is_refused(books: Books) -> None:
    twice = (PaidOutput(0, Swartz(5)), PaidOutput(0, Swartz(5)))
    with pytest.raises(Rewritten, match="twice"):
        await books.commit(Change(payments=(payment(outputs=twice),)))
    assert await books.payment(TXID) is None


# ---------------------------------------------------------------- what is due


async def test_due_mixes_requests_and_pins_the_longest_overdue_first(books: Books) -> None:
    """Catches: one kind starving the other, an exclusive border, undated rows that are always due."""
    await put(books, request(due_at=NOW), request(OTHER, due_at=NOW + MICROSECOND), bare_request(IMAGE))
    await put(books, pin(due_at=NOW - HOUR), pin(name=NameBytes(b"bob"), due_at=NOW), bare_pin(OTHER))
    due = await books.due(NOW, 10)
    assert [(type(row), row.root, row.due_at) for row in due] == [
        (Pin, ROOT, NOW - HOUR),
        (Request, ROOT, NOW),
        (Pin, ROOT, NOW),
    ]
    assert due[1] == await books.request(ROOT)
    assert await books.due(NOW, 2) == due[:2]
    assert await books.due(NOW - 2 * HOUR, 10) == []


async def test_the_next_due_is_later_than_asked(books: Books) -> None:
    assert await books.next_due(NOW) is None
    await put(books, request(due_at=NOW), pin(due_at=NOW + HOUR), bare_pin(OTHER))
    assert await books.next_due(NOW - MICROSECOND) == NOW
    assert await books.next_due(NOW) == NOW + HOUR
    assert await books.next_due(NOW + HOUR) is None


# ---------------------------------------------------------------- questions about pins


async def test_pins_of_a_root_come_by_name_in_any_state(books: Books) -> None:
    await put(
        books,
        pin(name=NameBytes(b"b")),
        pin(name=NameBytes(b"\xff"), state=State.RELEASED),
        pin(name=NameBytes(b"")),
        pin(OTHER, NameBytes(b"a")),
    )
    assert [found.name for found in await books.pins_of(ROOT)] == [b"", b"b", b"\xff"]
    assert [(found.root, found.name) for found in await books.all_pins()] == [
        *((ROOT, name) for name in (b"", b"b", b"\xff")),
        (OTHER, b"a"),
    ]


async def test_a_cid_is_named_by_its_own_pins_and_by_those_whose_metadata_lists_it(books: Books) -> None:
    """Catches: pins not standing, references of an older measure, a double listing that doubles the answer."""
    await put(books, request(references=(IMAGE, IMAGE)), bare_request(IMAGE))
    await put(
        books,
        pin(name=NameBytes(b"late"), ends=NOW + 9 * HOUR),
        pin(name=NameBytes(b"credit"), state=State.CREDIT, ends=NOW + 3 * HOUR),
    )
    await put(
        books,
        pin(name=NameBytes(b"over"), state=State.RELEASED),
        pin(name=NameBytes(b"owed"), state=State.OWED),
        pin(OTHER),
    )
    await put(
        books,
        pin(IMAGE, NameBytes(b"own"), state=State.EXPIRING, ends=NOW + 5 * HOUR),
        pin(IMAGE, NameBytes(b"endless"), ends=None),
    )

    assert [found.name for found in await books.pins_naming(IMAGE, 9)] == [b"late", b"own", b"credit", b"endless"]
    assert [found.name for found in await books.pins_naming(IMAGE, 2)] == [b"late", b"own"]
    assert [found.name for found in await books.pins_naming(ROOT, 9)] == [b"late", b"credit"]

    read = await books.request(ROOT)
    assert read is not None
    assert await books.commit(Change(requests=(replace(read, references=()),)))
    assert [found.name for found in await books.pins_naming(IMAGE, 9)] == [b"own", b"endless"]


async def test_a_dossier_is_what_the_single_questions_answer(books: Books) -> None:
    await put(
        books,
        request(),
        request(OTHER, references=(ROOT,)),
        pin(),
        pin(name=NameBytes(b"bob"), state=State.OWED),
        pin(OTHER),
    )
    assert await books.commit(Change(quotes=(quote("q1"), quote("q2", OTHER))))
    dossier = await books.dossier(ROOT, 9)
    assert dossier.request == await books.request(ROOT)
    assert list(dossier.pins) == await books.pins_of(ROOT)
    assert list(dossier.quotes) == [quote("q1")]
    assert [found.key for found in dossier.naming] == [ALICE, PinKey(OTHER, NameBytes(b"alice"))]
    assert (await books.dossier(ROOT, 1)).naming == dossier.naming[:1]
    assert await books.dossier(Root(b"unheard of"), 9) == Dossier(None, (), (), ())


# ---------------------------------------------------------------- questions about money


async def test_unsettled_are_the_pins_that_a_new_block_concerns(books: Books) -> None:
    """Catches: a pin listed once for each payment, one forgotten as its payment has settled, money without a pin, each
    of ten thousand payments in the mempool judged anew at each block."""
    waiting = bare_payment(name=NameBytes(b"waiting"))
    again = bare_payment(OTHER_TXID, name=NameBytes(b"waiting"), proof=proof(7))
    settled = payment(Txid("01" * 32), name=NameBytes(b"settled"))
    gone = bare_payment(Txid("02" * 32), name=NameBytes(b"gone"), gone=True)
    lost = payment(Txid("03" * 32), name=NameBytes(b"lost"), proof=None)
    lost_and_gone = payment(Txid("04" * 32), name=NameBytes(b"lost, gone"), proof=None, gone=True)
    of_no_pin = bare_payment(Txid("05" * 32), Root(b""), name=NameBytes(b"of no pin"))
    dust = bare_payment(Txid("06" * 32), name=NameBytes(b"dust"), proof=proof(8))
    told = bare_payment(Txid("07" * 32), name=NameBytes(b"told"), announced=0)
    told_and_mined = bare_payment(Txid("08" * 32), name=NameBytes(b"told, mined"), announced=0, proof=proof(8))
    taken_back = bare_payment(Txid("09" * 32), name=NameBytes(b"taken back"), announced=2)
    of_root = [
        PinKey(ROOT, NameBytes(name)) for name in (b"lost", b"lost, gone", b"taken back", b"told, mined", b"waiting")
    ]
    with_pins = [pin(name=NameBytes(name)) for name in (*(key.name for key in of_root), b"settled", b"gone", b"told")]
    await put(books, pin(OTHER, NameBytes(b"credit"), state=State.CREDIT), *with_pins)
    assert await books.commit(Change(payments=(waiting, again, settled, gone, lost, lost_and_gone, of_no_pin, dust)))
    assert await books.commit(Change(payments=(told, told_and_mined, taken_back)))
    assert await books.unsettled() == [*of_root, PinKey(OTHER, NameBytes(b"credit"))]


async def test_money_without_a_pin_is_found_by_its_root(books: Books) -> None:
    """Catches: a name listed twice, one that has a pin, a payment without a proof, another root's."""
    twice = [bare_payment(Txid(f"{n:02x}" * 32), name=NameBytes(b"twice"), proof=proof(7)) for n in (1, 2)]
    once = bare_payment(Txid("03" * 32), name=NameBytes(b"once"), proof=proof(8))
    has_pin = bare_payment(Txid("04" * 32), name=NameBytes(b"has a pin"), proof=proof(8))
    unproven = bare_payment(Txid("05" * 32), name=NameBytes(b"unproven"))
    others = bare_payment(Txid("06" * 32), OTHER, name=NameBytes(b"another's"), proof=proof(8))
    await put(books, pin(name=NameBytes(b"has a pin")))
    assert await books.commit(Change(payments=(*twice, once, has_pin, unproven, others)))
    assert await books.paid_without_pin(ROOT) == [PinKey(ROOT, NameBytes(b"once")), PinKey(ROOT, NameBytes(b"twice"))]


async def test_a_tariff_is_not_struck_once_a_payment_may_rely_on_it(books: Books) -> None:
    """Catches: months that a strike takes back. A tariff is honoured from two hours before it began."""
    hour = timedelta(hours=1)
    for number, since in enumerate((NOW, NOW + 9 * hour), start=1):
        assert await books.add_tariff(Tariff(number, since.replace(microsecond=0), Swartz(1), Swartz(1)))
    before = replace(proof(7), time=NOW + 6 * hour)
    assert await books.commit(Change(payments=(bare_payment(TXID, proof=before),)))
    assert await books.strike_tariff(2)
    assert await books.add_tariff(Tariff(3, (NOW + 9 * hour).replace(microsecond=0), Swartz(1), Swartz(1)))
    relying = replace(proof(7), time=NOW + 8 * hour)
    assert await books.commit(Change(payments=(bare_payment(OTHER_TXID, proof=relying),)))
    assert not await books.strike_tariff(3)


async def test_a_reorg_concerns_what_is_proven_from_there_up(books: Books) -> None:
    at = {height: bare_payment(Txid(f"{height:064x}"), proof=proof(height)) for height in (9, 10, 11)}
    assert await books.commit(Change(payments=(*at.values(), bare_payment(TXID))))
    assert await books.proven_from(10) == [at[10], at[11]]


async def test_payments_of_a_pin_include_those_that_are_gone(books: Books) -> None:
    first = payment(OTHER_TXID)
    then = bare_payment(TXID, first_seen=NOW + MICROSECOND, gone=True)
    assert await books.commit(Change(payments=(then, first, bare_payment(Txid("01" * 32), name=NameBytes(b"bob")))))
    assert await books.payments_of(ALICE) == [first, then]


async def test_scripts_in_use_are_those_that_may_still_be_paid(books: Books) -> None:
    """Catches: a renewal, or a payer who is a year late, whose payment nobody watches."""
    standing = quote("q1", payment_script=b"standing", expires=NOW - WATCHED_AFTER + MICROSECOND)
    lapsed = quote("q2", OTHER, payment_script=b"lapsed", expires=NOW - WATCHED_AFTER)
    kept = quote("q3", IMAGE, payment_script=b"kept", expires=NOW - WATCHED_AFTER - HOUR)
    assert await books.commit(Change(quotes=(standing, lapsed, kept, replace(standing, id="q4"))))
    await put(books, pin(IMAGE), pin(OTHER, state=State.RELEASED))
    assert await books.scripts_in_use(NOW) == {b"standing", b"kept"}


@pytest.mark.parametrize(
    "state", [State.SEEN, State.SHORT, State.OWED, State.CREDIT, State.SUSPENDED, State.VANISHED, State.CONFIRMED]
)
async def test_the_script_of_a_payment_that_is_on_its_way_or_owed_stays_watched(books: Books, state: State) -> None:
    """Catches: an operator who changed the address, and a payer whose payment was not deep enough by then."""
    assert await books.commit(
        Change(quotes=(quote("q1", OTHER, payment_script=b"lapsed", expires=NOW - WATCHED_AFTER),))
    )
    await put(books, pin(OTHER, state=state))
    assert await books.scripts_in_use(NOW) == {b"lapsed"}


# ---------------------------------------------------------------- counts


async def test_active_requests_take_a_place_in_the_queue(books: Books) -> None:
    states = (State.REQUESTED, State.FETCHING, State.QUOTED, State.STALLED, State.REFUSED, State.LAPSED)
    await put(books, *(bare_request(Root(bytes([number])), state) for number, state in enumerate(states)))
    assert (await books.active_requests(paid_for=False), await books.active_requests(paid_for=True)) == (2, 0)


@pytest.mark.parametrize(
    ("state", "changes", "keeps"),
    [
        (State.PINNED, {}, True),
        (State.OWED, {"ends": NOW, "due_at": NOW}, True),
        (State.OWED, {"ends": None, "due_at": NOW}, False),
        (State.OWED, {"ends": NOW, "due_at": None}, False),
        (State.SHORT, {"ends": None, "due_at": None}, False),
        (State.RELEASED, {}, False),
    ],
)
async def test_what_waits_because_somebody_has_paid_is_told_apart(
    books: Books, state: State, changes: dict[str, Any], keeps: bool
) -> None:
    """Catches: one swartz for what was never quoted counts as if it had bought a term."""
    first, other = bare_request(ROOT, State.REQUESTED), bare_request(OTHER, State.FETCHING)
    await put(books, first, other)
    kept = pin(ROOT, state=state, **changes)
    await put(books, kept)
    assert kept.keeps is keeps
    paid, asked = await books.waiting(9, paid_for=True), await books.waiting(9, paid_for=False)
    assert {row.root for row in paid} == ({ROOT} if keeps else set())
    assert {row.root for row in (*paid, *asked)} == {ROOT, OTHER}
    assert (await books.active_requests(paid_for=True), await books.active_requests(paid_for=False)) == (
        len(paid),
        len(asked),
    )


async def test_unpaid_room_is_that_of_what_only_a_quote_keeps(books: Books) -> None:
    """Catches: bytes beyond 32 bits, and a closure counted though (or because) somebody pays for it."""
    assert sum((await books.unpaid_room()).values()) == 0
    big = Sizes(1, 5_000_000_000, 5_000_000_001)
    tiny = request(IMAGE, sizes=Sizes(7, 0, 7), blocks=1_000_000)
    await put(books, request(ROOT, sizes=big, blocks=20), request(OTHER, state=State.LAPSED), tiny)
    await put(books, pin(ROOT, NameBytes(b"over"), state=State.RELEASED), pin(OTHER))
    assert sum((await books.unpaid_room()).values()) == 5_000_000_001 + 1_000_000 * PIECE
    await put(books, pin(ROOT, NameBytes(b"one")), pin(ROOT, NameBytes(b"two"), state=State.CREDIT))
    assert sum((await books.unpaid_room()).values()) == 1_000_000 * PIECE


async def test_unpaid_room_by_whom_it_is_staged_for(books: Books) -> None:
    one = Share("203.0.113.7", PeerId("A"), PeerId("B"))
    two = Share("C", PeerId("C"), PeerId("C"))
    for root, share, size in ((ROOT, (one,), 10), (OTHER, (one,), 20), (IMAGE, (one, two), 5)):
        await put(books, request(root, staged_for=share, sizes=Sizes(size * PIECE, 0, size * PIECE), blocks=1))
    assert await books.unpaid_room() == {(one,): 30 * PIECE, (one, two): 5 * PIECE}


# ---------------------------------------------------------------- block references


async def test_a_shared_block_is_free_when_its_last_root_lets_go(books: Books) -> None:
    """Catches: a block freed though another pin holds it, and one never freed because it was held twice."""
    own, shared, stray = block_name(1), block_name(2), block_name(3)
    assert await books.commit(Change(hold=((ROOT, (own, shared, shared)), (OTHER, (shared,)))))
    assert await books.commit(Change(hold=((ROOT, (own, shared)),)))
    assert await books.held(ROOT) == [own, shared]
    assert await books.unreferenced((own, shared, stray)) == {stray}
    assert await books.commit(Change(release=(ROOT,)))
    assert await books.unreferenced((own, shared, stray)) == {own, stray}
    assert await books.commit(Change(release=(OTHER, ROOT)))
    assert await books.unreferenced((own, shared, stray)) == {own, shared, stray}


async def test_release_and_hold_in_one_change_replace(books: Books) -> None:
    assert await books.commit(Change(hold=((ROOT, (block_name(1), block_name(2))),)))
    assert await books.commit(Change(hold=((ROOT, (block_name(2), block_name(3))),), release=(ROOT,)))
    assert await books.held(ROOT) == [block_name(2), block_name(3)]


async def test_a_closure_of_ten_thousand_blocks(books: Books) -> None:
    """Catches: statements with more placeholders than the database takes."""
    names = tuple(block_name(number) for number in range(10_000))
    assert await books.commit(Change(hold=((ROOT, names),)))
    assert await books.held(ROOT) == list(names)
    strays = tuple(block_name(number) for number in range(10_000, 70_000))
    assert await books.unreferenced(names + strays) == set(strays)
    assert await books.unreferenced(()) == set()


# ---------------------------------------------------------------- tariffs


def tariff(number: int, hours: int, price: int = 742_000) -> Tariff:
    return Tariff(number, NOW.replace(microsecond=0) + hours * HOUR, Swartz(price), Swartz(1_000_000))


async def test_the_log_of_tariffs_only_grows(books: Books) -> None:
    """Catches: a price that is backdated, or put in the place of another."""
    assert await books.tariffs() == ()
    first, second = tariff(1, 0), replace(tariff(2, 5), is_derived=True)
    assert await books.add_tariff(first)
    assert not await books.add_tariff(tariff(1, 1))
    assert not await books.add_tariff(tariff(3, 1))
    assert not await books.add_tariff(tariff(2, -1))
    assert await books.add_tariff(second)
    assert await books.tariffs() == (first, second)


async def test_a_tariff_is_struck_only_while_no_quote_names_it(books: Books) -> None:
    await books.add_tariff(tariff(1, 0))
    await books.add_tariff(tariff(2, 1))
    assert not await books.strike_tariff(1)
    assert await books.commit(Change(quotes=(quote("named", tariff=2),)))
    assert not await books.strike_tariff(2)
    await books.add_tariff(tariff(3, 2))
    assert await books.strike_tariff(3)
    assert not await books.strike_tariff(3)
    assert [each.struck for each in await books.tariffs()] == [False, False, True]


# ---------------------------------------------------------------- entries of the operator


def entry(number: int, txid: Txid = TXID, amount: int = 2, **changes: Any) -> Entry:
    filled: dict[str, Any] = {
        "kind": EntryKind.REFUNDED,
        "at": NOW,
        "root": ROOT,
        "cid_text": STRANGE,
        "name": NameBytes(b"\xff\x00"),
        "refund_txid": "ff" * 32,
        "reason": STRANGE,
    }
    return Entry(number, txid=txid, amount=Swartz(amount), **{**filled, **changes})


def assignment(number: int, txid: Txid = TXID) -> Entry:
    return entry(number, txid, 0, kind=EntryKind.ASSIGNED, cid_text="bafy1", name=NameBytes(b"alice"), refund_txid="")


async def test_the_log_of_entries_only_grows(books: Books) -> None:
    assert await books.entries() == ()
    assert await books.commit(Change(entries=(entry(1), entry(2))))
    for refused in ((entry(2),), (entry(4),), (entry(3), entry(3)), (entry(3), entry(5))):
        assert not await books.commit(Change(pins=(bare_pin(),), entries=refused))
    assert await books.commit(Change(entries=(entry(3, amount=2**62),)))
    assert await books.entries() == (entry(1), entry(2), entry(3, amount=2**62))
    assert await books.all_pins() == []  # a refused change changed nothing


async def test_an_entry_that_another_change_overtook_is_refused_with_its_pin(books: Books) -> None:
    assert await books.commit(Change(pins=(bare_pin(),)))
    assert not await books.commit(Change(pins=(bare_pin(),), entries=(entry(1),)))
    assert await books.entries() == ()


async def test_what_entries_take_out_is_read_with_the_payment_wherever_it_is_read(books: Books) -> None:
    """Catches: a judgement that still counts refunded money, and one that stores what was read into the row."""
    stored = payment()
    assert await books.commit(Change(payments=(stored, bare_payment(OTHER_TXID))))
    assert await books.commit(Change(entries=(entry(1), entry(2, amount=1, kind=EntryKind.CLOSED))))
    read = replace(stored, withdrawn=Swartz(3))
    assert (read.received, read.amount) == (Swartz(5), Swartz(2))
    assert await books.payment(TXID) == read
    assert read in await books.payments_of(ALICE)
    assert await books.proven_from(0) == [read]
    assert await books.all_payments() == [read, bare_payment(OTHER_TXID)]
    assert await books.commit(Change(payments=(replace(read, announced=9),)))
    assert await books.payment(TXID) == replace(read, announced=9)


async def test_a_payment_that_names_no_cid_gets_one_by_an_assignment_only(books: Books) -> None:
    stray = payment(root=Root(b""), name=NO_NAME, cid_text="")
    assigned = replace(stray, root=ROOT, name=NameBytes(b"alice"), cid_text="bafy1")
    assert await books.commit(Change(payments=(stray,)))
    with pytest.raises(Rewritten):
        await books.commit(Change(payments=(assigned,)))
    with pytest.raises(Rewritten):
        await books.commit(Change(payments=(assigned,), entries=(assignment(1, OTHER_TXID),)))
    with pytest.raises(Rewritten):
        await books.commit(Change(payments=(replace(assigned, root=OTHER),), entries=(assignment(1),)))
    assert await books.entries() == ()
    assert await books.commit(Change(payments=(assigned,), entries=(assignment(1),)))
    assert await books.payments_of(ALICE) == [assigned]
    with pytest.raises(Rewritten):
        await books.commit(Change(payments=(replace(assigned, root=OTHER),)))


async def test_a_step_that_read_a_payment_before_its_assignment_conflicts(books: Books) -> None:
    stray = payment(root=Root(b""), name=NO_NAME, cid_text="")
    assigned = replace(stray, root=ROOT, name=NameBytes(b"alice"), cid_text="bafy1")
    assert await books.commit(Change(payments=(stray,)))
    assert await books.commit(Change(payments=(assigned,), entries=(assignment(1),)))
    assert not await books.commit(Change(payments=(replace(stray, announced=7),)))
    assert await books.payment(TXID) == assigned


async def test_an_assignment_may_come_before_its_payment_is_read_again(books: Books) -> None:
    """As after `recover`: the journal has the entry, and a restored row names no CID yet."""
    assert await books.commit(Change(entries=(assignment(1),)))
    stray = payment(root=Root(b""), name=NO_NAME, cid_text="")
    assert await books.commit(Change(payments=(stray,)))
    assigned = replace(stray, root=ROOT, name=NameBytes(b"alice"), cid_text="bafy1")
    assert await books.commit(Change(payments=(assigned,)))
    assert await books.payment(TXID) == assigned


async def test_closures_are_measured_by_the_tariffs_that_their_quotes_name(books: Books) -> None:
    other = quote("q3", OTHER, tariff=7, sizes=Sizes(5, 0, 5))
    assert await books.commit(Change(quotes=(quote("q1"), quote("q2", months=1, tariff=1), other)))
    assert await books.measured() == {ROOT: {2: 3_000, 1: 3_000}, OTHER: {7: 5}}


async def test_of_two_measures_of_a_closure_the_smaller_counts(books: Books) -> None:
    """Catches: a ledger that judges a payment otherwise than the worker did, because it read another measure."""
    for number, size in enumerate((9, 5, 7)):
        assert await books.commit(Change(quotes=(quote(f"m{number}", sizes=Sizes(size, 0, size)),)))
    measured = await books.measured()
    assert measured == {ROOT: {2: 5}}
    log = [tariff(1, 0), tariff(2, 1)]
    assert rates_measured(log, measured[ROOT].items()) == rates_of(log, await books.quotes(ROOT))


async def test_a_payment_proof_comes_back_and_is_replaced(books: Books) -> None:
    first, second = payment_proof(), payment_proof(position=0, branch=())
    assert await books.payment_proof(TXID) is None
    for kept in (first, second):
        assert await books.commit(Change(payment_proofs=(kept,)))
        assert await books.payment_proof(TXID) == kept


async def test_payments_in_a_block_without_a_kept_proof_are_named(books: Books) -> None:
    unproven = payment(OTHER_TXID, proof=None)
    assert await books.commit(Change(payments=(payment(), unproven)))
    assert await books.payments_without_proof() == [TXID]
    assert await books.commit(Change(payment_proofs=(payment_proof(),)))
    assert await books.payments_without_proof() == []


async def test_a_new_quote_never_names_a_struck_tariff(books: Books) -> None:
    """Catches: a quote that a strike overtook, at a price that is honoured for nobody."""
    assert await books.commit(Change(quotes=(quote("old", tariff=1),)))
    for number in (1, 2):
        assert await books.add_tariff(tariff(number, number))
    assert await books.strike_tariff(2)
    assert not await books.commit(Change(pins=(bare_pin(),), quotes=(quote("new", tariff=2),)))
    assert await books.all_pins() == []
    assert await books.commit(Change(quotes=(quote("old", tariff=1), quote("new", tariff=1))))
