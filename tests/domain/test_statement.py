"""The operator's statement: nothing is lost or counted twice over random histories, then worked examples."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.account import Rates
from pinning_worker.domain.money.entry import Entry, EntryKind, as_assigned, follows, is_assigned, withdrawn
from pinning_worker.domain.money.payment import Payment
from pinning_worker.domain.money.pricing import add_months
from pinning_worker.domain.money.statement import (
    Holding,
    Kind,
    Posting,
    adds_up,
    deciding_tariff,
    least_fee_part,
    liabilities,
    purchases,
    refundable,
    statement,
    sums,
    total,
)
from pinning_worker.domain.money.swartz import ZERO, Swartz
from pinning_worker.domain.money.tariff import MIB, Tariff
from tests.domain.test_account import CID, DAY, HOUR, LATER, SIZES, T0, Sizes, chains, logs, many, paid, tariff, time_of

NAME = NameBytes(b"art/1")
HUNDRED = [tariff(1, T0, 100, 150)]
MOMENTS = st.integers(-10, 3000).map(lambda days: T0 + days * DAY)


def holding(
    payments: list[Payment], log: list[Tariff], sizes: Sizes, *, is_owed: bool = False, until: datetime = LATER
) -> Holding:
    return Holding(CID.key, NAME, str(CID), tuple(payments), Rates(log, sizes), until, is_owed)


def entry(number: int, txid: Txid, amount: int, kind: EntryKind = EntryKind.REFUNDED) -> Entry:
    return Entry(number, kind, T0 + 3 * DAY, txid, CID.key, str(CID), NAME, Swartz(amount), "ff" * 32, "a mistake")


def with_refunds(draw: Any, chain: list[Payment]) -> tuple[list[Payment], list[Entry]]:
    """The payments after refunds and closes of a part or all of some of them, as the books would read them."""
    entries: list[Entry] = []
    for payment in chain:
        for kind in draw(st.lists(st.sampled_from([EntryKind.REFUNDED, EntryKind.CLOSED]), max_size=2, unique=True)):
            left = payment.amount - withdrawn(payment.txid, entries)
            if left:
                amount = draw(st.integers(1, left.amount))
                entries.append(entry(len(entries) + 1, payment.txid, amount, kind))
    return [replace(each, withdrawn=withdrawn(each.txid, entries)) for each in chain], entries


# ---------------------------------------------------------------- properties


@many
@given(st.data(), logs(), SIZES, chains(), MOMENTS, st.booleans())
def test_received_is_earned_unearned_credit_owed_refunded_and_closed(
    data: st.DataObject, log: list[Tariff], sizes: Sizes, chain: list[Payment], now: datetime, is_owed: bool
) -> None:
    payments, entries = with_refunds(data.draw, chain)
    postings = statement([holding(payments, log, sizes, is_owed=is_owed)], entries, now)
    found = total(postings)
    assert adds_up(found)
    assert found[Kind.RECEIVED] == Swartz.total(payment.received for payment in chain)
    assert found[Kind.REFUNDED] + found[Kind.CLOSED] == Swartz.total(each.amount for each in entries)
    assert all(posting.amount > ZERO for posting in postings)


@many
@given(logs(), SIZES, chains(), MOMENTS)
def test_each_account_is_bought_and_credit(
    log: list[Tariff], sizes: Sizes, chain: list[Payment], now: datetime
) -> None:
    one = holding(chain, log, sizes)
    found, account = total(statement([one], [], now)), one.account()
    assert found[Kind.EARNED] + found[Kind.UNEARNED] == account.due.amount
    assert found[Kind.CREDIT] == account.credit
    assert ZERO <= least_fee_part(one) <= account.due.amount
    assert total(statement([replace(one, is_owed=True)], [], now))[Kind.OWED] == account.due.amount + account.credit


@many
@given(logs(), SIZES, chains(), MOMENTS, st.integers(0, 400))
def test_time_turns_the_unearned_into_earned_and_nothing_else(
    log: list[Tariff], sizes: Sizes, chain: list[Payment], now: datetime, days: int
) -> None:
    """Also by period: the unearned of a month that is over is its earned one, to the swartz."""
    one = holding(chain, log, sizes)
    before, after = (statement([one], [], moment) for moment in (now, now + days * DAY))
    assert total(after)[Kind.EARNED] >= total(before)[Kind.EARNED]
    assert total(after)[Kind.CREDIT] == total(before)[Kind.CREDIT]
    assert to_deliver(before) == to_deliver(after)
    assert total(statement([one], [], LATER))[Kind.UNEARNED] == ZERO


def to_deliver(postings: list[Posting]) -> dict[str, Swartz]:
    by_period = sums(postings, lambda posting: posting.period)
    amounts = {period: found[Kind.EARNED] + found[Kind.UNEARNED] for period, found in by_period.items()}
    return {period: amount for period, amount in amounts.items() if amount}


@many
@given(logs(), SIZES, chains(), st.randoms(use_true_random=False), MOMENTS)
def test_the_order_of_reading_does_not_matter(
    log: list[Tariff], sizes: Sizes, chain: list[Payment], random: Any, now: datetime
) -> None:
    shuffled = list(chain)
    random.shuffle(shuffled)
    assert total(statement([holding(chain, log, sizes)], [], now)) == total(
        statement([holding(shuffled, log, sizes)], [], now)
    )


@many
@given(logs(), SIZES, chains())
def test_purchases_fill_their_terms_without_a_gap(log: list[Tariff], sizes: Sizes, chain: list[Payment]) -> None:
    one = holding(chain, log, sizes)
    account, found = one.account(), purchases(one)
    assert Swartz.total(each.bought.amount for each in found) <= account.due.amount
    assert sum(each.bought.months for each in found) == account.due.months
    assert [each.ends for each in found][-1:] == [account.ends] * bool(found)
    for before, after in pairwise(found):
        assert after.starts == before.ends or after.starts == after.bought.at > before.ends


@many
@given(logs(), SIZES, chains(), MOMENTS)
def test_byte_months_are_owed_until_they_are_delivered(
    log: list[Tariff], sizes: Sizes, chain: list[Payment], now: datetime
) -> None:
    one = holding(chain, log, sizes)
    due, account = liabilities([one], now), one.account()
    runs = account.ends is not None and account.ends > now
    assert (due.terms == 1) == (due.byte_months > 0) == runs
    assert due.byte_months <= sizes[1] * account.due.months
    assert liabilities([one, one], now).byte_months == 2 * due.byte_months
    assert [size for _, size in due.disk] == [sizes[1] if runs else 0] * len(due.disk)


# ---------------------------------------------------------------- examples


def test_a_month_is_earned_by_the_share_of_its_time() -> None:
    """800 for eight months from 31 January: on 28 February 28/242 of the time is over."""
    bought = paid(1, 0, T0, 800)
    one = holding([bought], HUNDRED, {1: MIB})
    (purchase,) = purchases(one)
    assert (purchase.starts, purchase.ends, purchase.tariff) == (T0, add_months(T0, 8), 1)
    found = total(statement([one], [], T0 + 28 * DAY))
    assert (purchase.ends - T0, found[Kind.EARNED], found[Kind.UNEARNED]) == (242 * DAY, Swartz(92), Swartz(708))
    by_period = sums(statement([one], [], T0 + 28 * DAY), lambda posting: posting.period)
    assert by_period["2026-01"][Kind.RECEIVED] == Swartz(800)
    assert by_period["2026-02"][Kind.EARNED] + by_period["2026-02"][Kind.UNEARNED] == Swartz(93)


@many
@given(st.data(), logs(), SIZES, chains())
def test_a_refund_takes_no_month_and_one_swartz_more_would(
    data: st.DataObject, log: list[Tariff], sizes: Sizes, chain: list[Payment]
) -> None:
    assume(chain)
    one, place = holding(chain, log, sizes), data.draw(st.integers(0, len(chain) - 1))
    payment = chain[place]
    most = refundable(one, payment.txid)
    assert ZERO <= most <= payment.amount

    def bought_without(amount: Swartz) -> list[tuple[object, int]]:
        left = [*chain[:place], replace(payment, withdrawn=amount), *chain[place + 1 :]]
        return [(each.at, each.months) for each in replace(one, payments=tuple(left)).account().history]

    with_all = bought_without(ZERO)
    assert bought_without(most) == with_all
    if most < payment.amount:
        assert bought_without(most + Swartz(1)) != with_all
    assert refundable(replace(one, is_owed=True), payment.txid) == payment.amount
    assert refundable(one, Txid("another")) == ZERO


def test_a_refund_of_credit_leaves_the_term() -> None:
    txid = paid(1, 0, T0, 870).txid
    refunded = replace(paid(1, 0, T0, 870), withdrawn=Swartz(70))
    found = total(statement([holding([refunded], HUNDRED, {1: MIB})], [entry(1, txid, 70)], T0))
    assert (found[Kind.RECEIVED], found[Kind.REFUNDED], found[Kind.CREDIT]) == (Swartz(870), Swartz(70), ZERO)
    assert found[Kind.UNEARNED] == Swartz(800)


def test_the_lowest_honoured_price_names_the_tariff() -> None:
    """A dearer tariff within the other's notice, a cheaper one at once, the newest of two equal ones."""
    dearer, cheaper, equal = tariff(2, T0, 200, 150), tariff(2, T0, 50, 150), tariff(2, T0, 100, 900)
    for second, number in ((dearer, 1), (cheaper, 2), (equal, 2)):
        found = deciding_tariff(T0 + DAY, Rates([*HUNDRED, second], {1: MIB}))
        assert found is not None
        assert found.number == number
    assert deciding_tariff(T0, Rates(HUNDRED, {})) is None


def test_a_least_fee_beyond_the_price_is_shown() -> None:
    assert least_fee_part(holding([paid(1, 0, T0, 150)], HUNDRED, {1: MIB})) == Swartz(50)
    assert least_fee_part(holding([paid(1, 0, T0, 800)], HUNDRED, {1: MIB})) == ZERO


def test_the_disk_is_needed_until_the_last_term_of_each_closure_ends() -> None:
    """One name for a month, another name of the same closure for eight."""
    short = holding([paid(1, 0, T0, 150)], HUNDRED, {1: MIB})
    disk = liabilities([short, holding([paid(1, 1, T0, 800)], HUNDRED, {1: MIB})], T0).disk
    assert [size for _, size in disk] == [MIB] * 9
    assert disk[:2] == ((T0, MIB), (datetime(2026, 2, 1, tzinfo=UTC), MIB))
    other = replace(short, root=Root(b"other"))
    assert [size for _, size in liabilities([short, other], T0).disk] == [2 * MIB, 2 * MIB]


def test_money_that_was_never_sold_is_owed_from_its_block_on() -> None:
    stray = replace(paid(1, 0, T0, 5), root=Root(b""), name=NameBytes(b""))
    one = Holding(Root(b""), NameBytes(b""), "", (stray,), Rates(HUNDRED, {}), T0, True)
    found = total(statement([one], [], T0 + HOUR))
    assert (found[Kind.RECEIVED], found[Kind.OWED]) == (Swartz(5), Swartz(5))
    assert adds_up(found)
    assert time_of(stray) == T0


def test_an_entry_takes_out_or_assigns() -> None:
    stray = replace(paid(1, 0, T0, 5), root=Root(b""), name=NameBytes(b""), cid_text="")
    given = Entry(1, EntryKind.ASSIGNED, T0, stray.txid, CID.key, str(CID), NAME)
    assert as_assigned(stray, [given]) == replace(stray, root=CID.key, name=NAME, cid_text=str(CID))
    named = paid(1, 0, T0, 5)
    assert as_assigned(named, [replace(given, root=Root(b"x"))]) == named
    assert as_assigned(stray, [replace(given, txid=Txid("another"))]) == stray
    assert is_assigned(as_assigned(stray, [given]), [given])
    assert not is_assigned(stray, [given])
    assert follows([given, replace(given, number=2)], 0)
    assert not follows([given], 1)
