"""What money buys: the properties of the rule over random histories, then worked examples.

Times are in hours and days after `T0`; a payment is (height, position, time, amount); a tariff (since, price, least).
`make soak` runs each property over far more histories.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pinning_worker.domain.content.cid import RAW, cid_of
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money import account as account_module
from pinning_worker.domain.money.account import LONGEST_TERM_MONTHS, Account, Bought, Due, Rates, account_of
from pinning_worker.domain.money.payment import PaidOutput, Payment, Proof
from pinning_worker.domain.money.pricing import MOST_MONTHS, add_months
from pinning_worker.domain.money.swartz import ZERO, Swartz
from pinning_worker.domain.money.tariff import MIB, MINERS_CLOCKS, Rate, Tariff, TariffLog, fee, quoted_at, rate_at
from tests.soak import rounds

many = settings(max_examples=rounds(short=150, soak=3000))
T0 = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
LATER = datetime(9000, 1, 1, tzinfo=UTC)
CID = cid_of(RAW, b"art")
_DAYS = st.integers(-200, 900)
SIZES = st.sampled_from([{1: MIB}, {1: MIB + 1}, {1: MIB // 3}, {1: 7}, {1: 5 * MIB - 1}])
Sizes = dict[int, int]


def paid(height: int, position: int, time: datetime, amount: int, txid: str = "") -> Payment:
    return Payment(
        txid=Txid(txid or f"tx {height} {position}"),
        root=CID.key,
        cid_text=str(CID),
        name=NameBytes(b"art/1"),
        outputs=(PaidOutput(1, Swartz(amount)),),
        first_seen=T0,
        proof=Proof(height, f"block {height}", time, position),
        settled=True,
    )


def tariff(number: int, since: datetime, price: int, least: int) -> Tariff:
    return Tariff(number, since, Swartz(price), Swartz(least))


def judged(chain: list[Payment], log: TariffLog, sizes: Sizes, now: datetime = LATER) -> Account:
    """The account, without the guard against terms that no calendar holds; `test_no_sum_is_too_large` is about it."""
    with mock.patch.object(account_module, "LONGEST_TERM_MONTHS", 50_000):
        return account_of(chain, Rates(log, sizes), now)


def time_of(payment: Payment) -> datetime:
    assert payment.proof is not None
    return payment.proof.time


def by_payment(account: Account) -> list[Bought]:
    return [bought for bought in account.history if bought.txid is not None]


def months_covered(rate: Rate, total: int) -> int:
    """The closed form of the price at one rate."""
    months = 0
    while months < 50_000:
        more = months + 1
        if max(rate.least.amount * -(-more // MOST_MONTHS), -(-rate.exact * more // MIB)) > total:
            return months
        months = more
    return months


@st.composite
def logs(draw: Any, most: int = 4, rising: bool = False) -> list[Tariff]:
    log: list[Tariff] = []
    since, price, least = T0 - 200 * DAY, 0, 0
    for number in range(1, draw(st.integers(1, most)) + 1):
        low = (price, least) if rising else (1, 8)
        price, least = draw(st.integers(max(1, low[0]), low[0] + 40)), draw(st.integers(max(8, low[1]), low[1] + 120))
        log.append(tariff(number, since, price, least))
        since += draw(st.integers(1, 24 * 400)) * HOUR
    return log


@st.composite
def chains(draw: Any, most: int = 8, days: int = 500, largest: int = 700) -> list[Payment]:
    """Blocks' times may go back two hours, several payments in a block."""
    time, height, chain = T0, 0, list[Payment]()
    for _ in range(draw(st.integers(0, most))):
        if draw(st.booleans()):
            height += 1
            time += draw(st.integers(-2, 24 * days // most)) * HOUR
        chain.append(paid(height, len(chain), time, draw(st.integers(1, largest)), f"tx{len(chain)}"))
    return chain


# ---------------------------------------------------------------- nothing is lost, nothing is counted twice


@many
@given(logs(), SIZES, chains())
def test_every_swartz_is_bought_or_credit(log: list[Tariff], sizes: Sizes, chain: list[Payment]) -> None:
    now = judged(chain, log, sizes)
    assert Swartz.total(p.amount for p in chain) == now.due.amount + now.credit
    assert Swartz.total(b.amount for b in now.history) == now.due.amount
    assert sum(b.months for b in now.history) == now.due.months
    assert now.credit >= ZERO
    assert all(b.amount >= ZERO for b in now.history)
    assert (now.ends is None) == (now.due.months == 0)


@many
@given(st.integers(1, 10**15), st.integers(1, 10**6), st.integers(0, 10**6))
def test_no_sum_is_too_large(amount: int, least: int, size: int) -> None:
    chain = [paid(0, 0, T0, amount), paid(1, 0, T0 + DAY, amount)]
    now = account_of(chain, Rates([tariff(1, T0, 1, least)], {1: size}), T0 + 900 * DAY)
    assert now.due.amount + now.credit == Swartz(2 * amount)
    assert now.length <= LONGEST_TERM_MONTHS


# ---------------------------------------------------------------- quotes are kept


@many
@given(logs(), SIZES, st.integers(0, 900), st.integers(1, MOST_MONTHS), chains(), st.integers(-120, 31 * 24 * 60 - 1))
def test_a_quote_is_kept(
    log: list[Tariff], sizes: Sizes, day: int, asked: int, chain: list[Payment], delay: int
) -> None:
    """Given at any time, paid in a block from two hours before (a miner's clock) until the notice after."""
    given_at = T0 + day * DAY
    amount = fee(quoted_at(given_at, log), sizes[1], asked).amount
    late = paid(10**6, 0, given_at + delay * timedelta(minutes=1), amount)
    before = [p for p in chain if time_of(p) <= time_of(late)]
    bought = by_payment(judged([*before, late], log, sizes, time_of(late)))[-1]
    assert bought.months >= asked


@many
@given(
    logs(), SIZES, st.lists(st.tuples(st.integers(-200, 900), st.integers(1, 30)), max_size=6), st.integers(-200, 900)
)
def test_a_strangers_quote_is_honoured_for_everybody_anyway(
    log: list[Tariff], sizes: Sizes, questions: list[tuple[int, int]], day: int
) -> None:
    """A question commits nothing that the log does not commit: its rate is never below the honoured one."""
    moment = T0 + day * DAY
    for asked, life in questions:
        issued = T0 + asked * DAY
        if issued - MINERS_CLOCKS <= moment < issued + life * DAY:
            told, rate = quoted_at(issued, log), rate_at(moment, log, sizes)
            assert rate is not None
            assert rate.exact <= told.per_mib_month.amount * sizes[1]
            assert rate.least <= told.least


@many
@given(*[st.integers(1, 40)] * 2, *[st.integers(1, 100)] * 2, SIZES, st.integers(0, 400))
def test_a_rise_binds_after_its_notice_and_a_cut_at_once(
    old: int, new: int, old_least: int, new_least: int, sizes: Sizes, day: int
) -> None:
    log = [tariff(1, T0, old, old_least), tariff(2, T0 + 100 * DAY, new, new_least)]
    rate = rate_at(T0 + day * DAY, log, sizes)
    if day >= 131:
        assert rate == Rate(new * sizes[1], Swartz(new_least))
    elif day >= 100:
        assert rate == Rate(min(old, new) * sizes[1], Swartz(min(old_least, new_least)))


@many
@given(*[st.integers(1, 40)] * 2, st.integers(-119, 600), st.integers(0, 120), st.integers(1, MOST_MONTHS))
def test_a_miners_clock_costs_nobody_his_quote(old: int, new: int, told: int, back: int, asked: int) -> None:
    """Quoted hours after a change (or after the first tariff), paid in a block that claims up to two hours before."""
    sizes = {1: MIB + 1}
    for log in ([tariff(1, T0 - DAY, old, 8), tariff(2, T0, new, 9)], [tariff(1, T0, new, 9)]):
        moment = T0 + told * timedelta(minutes=1)
        amount = fee(quoted_at(moment, log), sizes[1], asked).amount
        chain = [paid(0, 0, moment - back * timedelta(minutes=1), amount)]
        assert judged(chain, log, sizes).due.months >= asked


# ---------------------------------------------------------------- other people's money only adds


@many
@given(logs(), SIZES, chains())
def test_each_payment_buys_at_least_what_it_buys_alone(log: list[Tariff], sizes: Sizes, chain: list[Payment]) -> None:
    now = judged(chain, log, sizes)
    amounts = {p.txid: p.amount.amount for p in chain}
    for bought in by_payment(now):
        assert bought.rate is not None
        assert bought.txid is not None
        assert bought.months >= months_covered(bought.rate, amounts[bought.txid])


@many
@given(logs(rising=True), SIZES, chains(), st.data())
def test_a_strangers_payment_never_takes_a_month(
    log: list[Tariff], sizes: Sizes, chain: list[Payment], data: Any
) -> None:
    """While no price falls. Nor is the end earlier, unless the stranger's money began the term (it then begins, and so
    ends, earlier) or the term had a gap."""
    time, place = T0 + data.draw(st.integers(0, 500)) * DAY, data.draw(st.integers(0, len(chain)))
    height, at = (chain[place - 1].proof.height, time_of(chain[place - 1])) if place else (0, T0)
    theirs = paid(height, place - 1 if place else -1, at, data.draw(st.integers(1, 700)), "z")
    for now in (time, LATER):
        known = [p for p in chain if time_of(p) <= now]
        without, with_it = judged(known, log, sizes, now), judged([*known, theirs], log, sizes, now)
        assert with_it.due.months >= without.due.months
        unbroken = all(each.length == each.due.months for each in (without, with_it))
        if without.ends and with_it.ends and with_it.starts == without.starts and unbroken:
            assert with_it.ends >= without.ends


@many
@given(logs(rising=True), SIZES, chains(), st.data())
def test_paying_more_never_gives_less(log: list[Tariff], sizes: Sizes, chain: list[Payment], data: Any) -> None:
    assume(chain)
    place, extra = data.draw(st.integers(0, len(chain) - 1)), data.draw(st.integers(0, 300))
    dearer = replace(chain[place], outputs=(PaidOutput(1, chain[place].amount + Swartz(extra)),))
    more = [*chain[:place], dearer, *chain[place + 1 :]]
    assert judged(more, log, sizes).due.months >= judged(chain, log, sizes).due.months


# ---------------------------------------------------------------- the same money in other parts, in another order


@many
@given(logs(), SIZES, chains(), st.data())
def test_parts_in_one_block_are_their_sum(log: list[Tariff], sizes: Sizes, chain: list[Payment], data: Any) -> None:
    """Whatever the order within the block."""
    assume(chain)
    victim = data.draw(st.sampled_from(chain))
    assume(victim.amount > Swartz(1))
    assert victim.proof is not None
    cut, height, at = data.draw(st.integers(1, victim.amount.amount - 1)), victim.proof.height, victim.proof.position
    rest = victim.amount.amount - cut
    parts = [p for p in chain if p is not victim]
    parts = [replace(p, proof=replace(p.proof, position=10 * p.proof.position)) for p in parts if p.proof]
    parts += [
        paid(height, 10 * at, time_of(victim), cut, "one"),
        paid(height, 10 * at + 1, time_of(victim), rest, "two"),
    ]
    assert _outcome(judged(parts, log, sizes)) == _outcome(judged(chain, log, sizes))
    places = [p for p in chain if p.proof and p.proof.height == height and p.proof.time == victim.proof.time]
    shuffled = data.draw(st.permutations([p.outputs for p in places]))
    other = [p for p in chain if p not in places]
    other += [replace(p, outputs=outputs) for p, outputs in zip(places, shuffled, strict=True)]
    assert _outcome(judged(other, log, sizes)) == _outcome(judged(chain, log, sizes))


def _outcome(account: Account) -> tuple[object, ...]:
    return account.due, account.credit, account.ends


@many
@given(logs(most=1), SIZES, st.lists(st.integers(1, 500), min_size=1, max_size=6), st.data())
def test_under_one_tariff_only_the_sum_decides(log: list[Tariff], sizes: Sizes, parts: list[int], data: Any) -> None:
    """The end as well, if the first part buys and none comes after an end."""
    times = sorted(data.draw(st.lists(st.integers(0, 300), min_size=len(parts), max_size=len(parts))))
    chain = [paid(n, 0, T0 + day * DAY, amount) for n, (day, amount) in enumerate(zip(times, parts, strict=True))]
    once = judged([paid(0, 0, time_of(chain[0]), sum(parts))], log, sizes)
    split, rate = judged(chain, log, sizes), rate_at(T0, log, sizes)
    assert rate is not None
    assert split.due.months == once.due.months == months_covered(rate, sum(parts))
    assert split.credit == once.credit
    if split.starts == once.starts:
        assert split.ends == once.ends


@many
@given(logs(), SIZES, chains(), st.data())
def test_any_order_of_reading_and_any_restart(log: list[Tariff], sizes: Sizes, chain: list[Payment], data: Any) -> None:
    whole = judged(chain, log, sizes)
    assert judged(data.draw(st.permutations(chain)), log, sizes) == whole
    cut = T0 + data.draw(st.integers(0, 900)) * DAY
    if [time_of(p) for p in chain] == sorted(time_of(p) for p in chain):  # later news only append
        early = judged([p for p in chain if time_of(p) <= cut], log, sizes, cut)
        assert whole.history[: len(early.history)] == early.history


@many
@given(logs(), SIZES, chains(), st.data())
def test_a_reorg_changes_nothing_before_it(log: list[Tariff], sizes: Sizes, chain: list[Payment], data: Any) -> None:
    assume(chain)
    place = data.draw(st.integers(0, len(chain) - 1))
    old, new = judged(chain, log, sizes), judged([*chain[:place], *chain[place + 1 :]], log, sizes)
    assert by_payment(old)[:place] == by_payment(new)[:place]


# ---------------------------------------------------------------- the price and the term, by another way


@many
@given(logs(), SIZES, chains())
def test_between_the_dearest_and_the_cheapest_rate(log: list[Tariff], sizes: Sizes, chain: list[Payment]) -> None:
    assume(chain)
    now = judged(chain, log, sizes)
    rates = [
        rate for rate in [*(b.rate for b in now.history), *(rate_at(time_of(p), log, sizes) for p in chain)] if rate
    ]
    total = sum(p.amount.amount for p in chain)
    cheap = Rate(min(r.exact for r in rates), min(r.least for r in rates))
    dear = Rate(max(r.exact for r in rates), max(r.least for r in rates))
    assert months_covered(dear, total) <= now.due.months <= months_covered(cheap, total)


@many
@given(
    st.integers(1, 40), st.integers(1, 200), st.integers(1, 5 * MIB), st.integers(0, 40), st.integers(1, MOST_MONTHS)
)
def test_month_by_month_is_the_closed_form(price: int, least: int, size: int, had: int, more: int) -> None:
    """And more months never cost more than their own quote."""
    rate = Rate(price * size, Swartz(least))
    due, total = Due().more(rate, had), Due().more(rate, had + more)
    assert total.amount.amount == max(least * -(-(had + more) // MOST_MONTHS), -(-price * size * (had + more) // MIB))
    assert total.amount - due.amount <= fee(tariff(1, T0, price, least), size, more)


@many
@given(logs(), SIZES, chains(largest=150), st.data())
def test_the_term_by_another_way(log: list[Tariff], sizes: Sizes, chain: list[Payment], data: Any) -> None:
    """From the purchases: no gap is bridged, no extension missed, none too early, the start's day kept."""
    if chain and data.draw(st.booleans()):  # a block exactly at an end, or a second before or after
        end = judged(chain, log, sizes, time_of(chain[-1])).ends
        if end and end >= time_of(chain[-1]):
            at = end + data.draw(st.sampled_from([-1, 0, 1])) * timedelta(seconds=1)
            chain = [*chain, paid(10**6, 0, at, data.draw(st.integers(1, 300)), "at the end")]
    amounts = {p.txid: p.amount for p in chain}
    now = judged(chain, log, sizes)
    starts, length, due, credit = None, 0, Due(), ZERO
    for bought in now.history:
        ends = starts and add_months(starts, length)
        if ends and bought.at > ends:  # a gap: nothing could be bought at that end
            rate = rate_at(ends, log, sizes)
            assert rate is not None
            assert due.more(rate).amount - due.amount > credit
        if bought.txid is None:
            assert bought.at == ends
            assert bought.months == 1
        elif bought.months and (ends is None or bought.at > ends):
            starts, length = bought.at, 0
        assert bought.rate is not None
        length, due = length + bought.months, due.more(bought.rate, bought.months)
        credit = credit + (amounts[bought.txid] if bought.txid else ZERO) - bought.amount
    assert (now.starts, now.length, now.due, now.credit) == (starts, length, due, credit)


# ---------------------------------------------------------------- examples


def test_the_last_day_of_january() -> None:
    """A term is counted from its start, never on from an end: 31 January, 28 February, 31 March."""
    for amounts in ([20], [10, 10]):
        chain = [paid(n, 0, T0 + n * 20 * DAY, amount) for n, amount in enumerate(amounts)]
        assert judged(chain, [tariff(1, T0, 10, 10)], {1: MIB}).ends == datetime(2026, 3, 31, 12, tzinfo=UTC)


def test_credit_extends_month_by_month_once_the_price_fell() -> None:
    log = [tariff(1, T0 - DAY, 10, 8), tariff(2, T0 + 5 * DAY, 4, 1)]
    first = paid(0, 0, T0, 19)  # one month, 9 are left: two months at 4
    end = datetime(2026, 2, 28, 12, tzinfo=UTC)

    def at(moment: datetime, *more: Payment) -> Account:
        return judged([first, *more], log, {1: MIB}, moment)

    assert (at(end).ends, at(end).credit) == (end, Swartz(9))
    assert (at(end + HOUR).ends, at(end + HOUR).credit) == (datetime(2026, 3, 31, 12, tzinfo=UTC), Swartz(5))
    assert (at(LATER).ends, at(LATER).credit) == (datetime(2026, 4, 30, 12, tzinfo=UTC), Swartz(1))
    late = at(LATER, paid(1, 0, end + 40 * DAY, 3))  # within the extension from credit: goes on from its end
    assert (late.starts, late.ends, late.credit) == (T0, datetime(2026, 5, 31, 12, tzinfo=UTC), ZERO)
    just = at(end, paid(1, 0, end - HOUR, 4))  # before the end: the payment comes first, with all credit
    assert [b.months for b in just.history] == [1, 3]
    assert just.credit == Swartz(1)


def test_a_payment_after_the_end_buys_no_month_that_nobody_kept() -> None:
    """Seen in the prototype: a term had ended uncovered; months later a payment too small for a month was spent on the
    month after that end, at the rate of that day."""
    log = [tariff(1, T0, 10, 10), tariff(2, T0 + 100 * DAY, 40, 40)]
    first, end = paid(0, 0, T0, 10), add_months(T0, 1)
    late = paid(1, 0, T0 + 200 * DAY, 30)  # no month at 40; three at the rate of the end
    account = judged([first, late], log, {1: MIB})
    assert (account.ends, account.credit) == (end, Swartz(30))
    anew = judged([first, late, paid(2, 0, T0 + 201 * DAY, 10)], log, {1: MIB})
    assert (anew.starts, anew.ends, anew.credit) == (T0 + 201 * DAY, add_months(T0 + 201 * DAY, 1), ZERO)


def test_money_before_the_measure_is_owed_and_judged_at_its_own_moment_once_measured() -> None:
    chain, log = [paid(0, 0, T0, 20)], [tariff(1, T0 - DAY, 10, 8), tariff(2, T0 + DAY, 40, 8)]
    unmeasured = judged(chain, log, {})
    assert (unmeasured.due, unmeasured.credit, unmeasured.ends) == (Due(), Swartz(20), None)
    assert (unmeasured.history[0].months, unmeasured.history[0].rate) == (0, None)
    assert judged(chain, log, {1: MIB}).ends == add_months(T0, 2)  # at the rate of its block, not of today


def test_a_payment_without_a_proof_is_no_money() -> None:
    assert judged([replace(paid(0, 0, T0, 20), proof=None)], [tariff(1, T0, 10, 8)], {1: MIB}) == Account()


def test_the_missing_amount_for_one_month_and_for_more() -> None:
    now = judged([paid(0, 0, T0, 7)], [tariff(1, T0, 10, 15)], {1: MIB})
    rate = Rate(10 * MIB, Swartz(15))
    assert (now.missing(rate), now.missing(rate, 8)) == (Swartz(8), Swartz(73))


def test_two_thousand_payments_of_one_swartz_cost_two_thousand_steps() -> None:
    """Catches: a fold whose work grows with the square (counted in looks at the log, not in seconds)."""
    chain = [paid(n, 0, T0 + n * HOUR, 1) for n in range(2_000)]
    rates = mock.Mock(wraps=Rates([tariff(1, T0, 10, 8)], {1: MIB}))
    account = account_of(chain, rates, LATER)
    assert account.due.months == 200
    assert rates.at.call_count <= 2 * len(chain) + 200


# The predecessor's terms (facts/predecessor-defects.md)


def test_a_term_is_calendar_months_from_the_time_of_the_paying_block() -> None:
    """Rows 5, 6 and 8: the time was taken for a height, no term ended, months were thirty days of the wall clock."""
    account = judged([paid(6, 0, datetime(2026, 11, 20, 13, tzinfo=UTC), 80)], [tariff(1, T0, 10, 8)], {1: MIB})
    assert account.ends == datetime(2027, 7, 20, 13, tzinfo=UTC)


def test_a_second_payment_extends_the_term_and_one_after_the_end_starts_anew() -> None:
    """Row 13: a known CID could never be renewed."""
    log, first = [tariff(1, T0, 10, 8)], paid(1, 0, T0, 80)
    assert judged([first, paid(2, 0, T0 + 27 * DAY, 10)], log, {1: MIB}).ends == add_months(T0, 9)
    late = T0 + 300 * DAY
    anew = judged([first, paid(2, 0, late, 10)], log, {1: MIB})
    assert (anew.starts, anew.ends) == (late, add_months(late, 1))
