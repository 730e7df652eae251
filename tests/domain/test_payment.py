"""What a payment is, what it names, what it buys, and how long that lasts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import multibase

from pinning_worker.domain.content.cid import DAG_PB, Cid, cid_of
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.payment import (
    PaidOutput,
    Payment,
    Purchase,
    Short,
    Sighting,
    Term,
    balance,
    buy,
    in_chain_order,
    is_deep,
    named_cid,
    quotes_that_judge,
    record_sighting,
    term_of,
)
from pinning_worker.domain.money.pricing import Quote, add_months
from pinning_worker.domain.money.swartz import ZERO, Swartz
from tests.domain.ledger_rows import CID, DAY, NAME, NOON, block_time, payment, proof, quote, tip

V0 = Cid(0, DAG_PB, cid_of(DAG_PB, b"folder").multihash)
V1 = Cid(1, DAG_PB, V0.multihash)


# ---------------------------------------------------------------- the CID that it names


@pytest.mark.parametrize("cid", [V0, V1], ids=["v0", "v1"])
@pytest.mark.parametrize(
    "value",
    [
        "ipfs://{}",
        "IPFS://{}",
        "ipfs://ipfs/{}",
        "/ipfs/{}",
        "{}",
        "ipfs://{}/image.png",
        "/ipfs/{}/a/b",
        "ipfs://{}/",
        "ipfs://{}?x#y",
        " ipfs://{}\n",
        "https://gateway.example/ipfs/{}/image.png",
    ],
)
def test_every_spelling_names_the_same_root(cid: Cid, value: str) -> None:
    named = named_cid(value.format(cid).encode())
    assert named is not None
    assert (named[0].key, named[1]) == (V1.key, str(cid))


@pytest.mark.parametrize("base", ["base16", "base32", "base32upper", "base36", "base58btc", "base64", "base64url"])
def test_any_multibase_names_it(base: str) -> None:
    text = multibase.encode(V1.key, base)
    assert named_cid(f"ipfs://{text}/x".encode()) == (V1, text)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"ipfs://",
        b"ipfs://undefined",
        b"https://example.org/a.png",
        b"ipfs://\xff\xfe",
        b"ipfs://" + b"b" * 10_000,
        b"see ipfs://" + str(V1).encode(),
        f"ipfs://{V1}x".encode(),
    ],
)
def test_what_names_no_cid(value: bytes | None) -> None:
    assert named_cid(value) is None


@given(st.binary(max_size=200))
def test_no_value_of_a_stranger_is_a_fault_of_ours(value: bytes) -> None:
    for start in (b"", b"ipfs://", b"/ipfs/", b"https://gateway.example/ipfs/"):
        named_cid(start + value)


# ---------------------------------------------------------------- the ledger's row


def sighting(*amounts: int, value: bytes | None = None, height: int | None = None) -> Sighting:
    outputs = tuple(PaidOutput(vout, Swartz(amount)) for vout, amount in enumerate(amounts, start=1))
    shown = value if value is not None else f"ipfs://{CID}".encode()
    return Sighting(Txid("t"), NAME, shown, outputs, proof(height) if height is not None else None)


def test_all_outputs_to_us_are_summed() -> None:
    """Row 9: only the first output was looked at. Row 11: change was added; outputs not to us never get this far."""
    row = record_sighting(None, sighting(700, 41), NOON)
    assert (row.amount, row.root, row.name) == (Swartz(741), CID.key, NAME)


def test_money_that_names_nothing_is_a_row_too() -> None:
    row = record_sighting(None, sighting(700, value=b"hello"), NOON)
    assert (row.amount, row.root, row.cid_text) == (Swartz(700), b"", "")


def test_seen_again_it_is_the_same_row() -> None:
    row = record_sighting(None, sighting(700, height=5), NOON)
    assert record_sighting(row, sighting(700, height=5), NOON + DAY) == row


def test_an_old_row_keeps_what_was_decided_and_takes_the_new_proof() -> None:
    decided = replace(payment(Txid("t"), 700, 5, bought=(1, 600)), announced=3)
    after = record_sighting(replace(decided, proof=None, gone=True), sighting(700, height=9), NOON + DAY)
    assert after == replace(decided, proof=proof(9))


def test_quotes_judge_by_first_sight_or_block_time_whichever_came_first() -> None:
    """Row 5: the block's time was taken for its height, so quote and check disagreed."""
    seen_first = replace(payment(Txid("t"), 1, 30), first_seen=NOON)
    assert seen_first.counted_at() == NOON
    found_later = replace(seen_first, first_seen=NOON + DAY)  # we were down when it was paid
    assert found_later.counted_at() == block_time(30)


@pytest.mark.parametrize(("at", "deep"), [(9, False), (10, False), (11, False), (12, True), (13, True)])
def test_one_confirmation_is_the_block_itself(at: int, deep: bool) -> None:
    assert is_deep(payment(Txid("t"), 1, 10), tip(at), 3) is deep
    assert not is_deep(payment(Txid("t"), 1), tip(at), 0)


# ---------------------------------------------------------------- which quotes judge it


def test_live_quotes_judge_and_lapsed_ones_do_not() -> None:
    old, new = quote(8, 100), quote(8, 200, NOON + 2 * DAY)
    assert quotes_that_judge([old, new], NOON + timedelta(hours=1)) == [old]
    assert quotes_that_judge([old, new], NOON + 2 * DAY) == [new]


def test_who_paid_late_is_not_held_to_a_dearer_quote_that_came_after() -> None:
    """Block times run up to two hours off, so a quote judges what seems a little older; but it takes nothing away."""
    old, dearer = quote(8, 100), quote(8, 200, NOON + timedelta(hours=26))
    paid_at = NOON + timedelta(hours=25)
    assert buy(Swartz(100), quotes_that_judge([old, dearer], paid_at)) == Purchase(old.id, Swartz(100), 8)
    assert quotes_that_judge([old, dearer], paid_at + timedelta(hours=1)) == [dearer]
    assert quotes_that_judge([old, dearer], NOON + timedelta(days=1, minutes=-1)) == [old]


def test_a_late_payer_is_judged_by_what_was_quoted_before_and_not_by_what_came_a_month_later() -> None:
    old, dearer, cheaper = quote(8, 100), quote(8, 200, NOON + 30 * DAY), quote(1, 20, NOON + 30 * DAY)
    assert quotes_that_judge([old, dearer, cheaper], NOON + 2 * DAY) == [old]
    assert quotes_that_judge([dearer], NOON) == [dearer]  # paid before anything was quoted


def test_a_price_change_does_not_reject_who_paid_what_was_quoted() -> None:
    """Row 10: quotes were never stored. Both are live; the one that the sum covers is bought."""
    before, after = quote(8, 100), quote(8, 200, NOON + timedelta(hours=1))
    judging = quotes_that_judge([before, after], NOON + timedelta(hours=2))
    assert buy(Swartz(100), judging) == Purchase(before.id, Swartz(100), 8)


def test_a_late_payer_gets_the_newest_stored_price_of_each_term() -> None:
    quotes = [quote(1, 100), quote(8, 700), quote(8, 800, NOON + DAY, id="newer")]
    assert {q.id for q in quotes_that_judge(quotes, NOON + 9 * DAY)} == {"1 months at 100", "newer"}


def test_a_miners_clock_may_run_two_hours_behind() -> None:
    """Such a header's time lies before the quote that its payment pays; the quote judges it all the same."""
    lapsed, live = quote(8, 100, NOON - 3 * DAY), quote(8, 200)
    assert quotes_that_judge([lapsed, live], NOON - timedelta(hours=2)) == [live, lapsed]
    assert quotes_that_judge([lapsed, live], NOON - timedelta(hours=2, seconds=1)) == [lapsed]


def test_a_quote_ends_exactly_when_it_says() -> None:
    first, second = quote(1, 100), quote(2, 200, NOON + DAY / 2)
    just_in_time = NOON + DAY - timedelta(microseconds=1)
    assert quotes_that_judge([first, second], just_in_time) == [first, second]
    assert quotes_that_judge([first, second], NOON + DAY) == [second]


_quotes = st.lists(
    st.builds(quote, st.integers(1, 8), st.integers(1, 50), st.integers(0, 9).map(lambda days: NOON + days * DAY)),
    max_size=8,
)
_moments = st.integers(-3, 20).map(lambda half_days: NOON + half_days * DAY / 2)


@given(_quotes, _moments)
def test_whoever_was_ever_quoted_is_judged(quotes: list[Quote], moment: datetime) -> None:
    assert bool(quotes_that_judge(quotes, moment)) is bool(quotes)


# ---------------------------------------------------------------- what it buys


@pytest.mark.parametrize(
    ("credit", "months"), [(99, None), (100, 1), (199, 1), (200, 2), (299, 2), (800, 8), (10_000, 8)]
)
def test_the_longest_term_that_the_sum_covers(credit: int, months: int | None) -> None:
    quotes = [quote(n, 100 * n) for n in (2, 8, 1)]
    bought = buy(Swartz(credit), quotes)
    assert (bought.months if isinstance(bought, Purchase) else None) == months


def test_at_the_least_fee_the_longest_of_equal_price_is_bought() -> None:
    assert buy(Swartz(100), [quote(8, 100), quote(1, 100)]) == Purchase("8 months at 100", Swartz(100), 8)


def test_of_one_term_at_two_prices_the_cheaper_is_bought() -> None:
    assert buy(Swartz(300), [quote(8, 200), quote(8, 100)]) == Purchase("8 months at 100", Swartz(100), 8)


def test_too_little_is_told_by_the_shortest_and_cheapest() -> None:
    cheapest = quote(1, 100)
    assert buy(Swartz(30), [quote(2, 50), quote(1, 120), cheapest]) == Short(Swartz(30), Swartz(70), cheapest)


def test_what_was_never_quoted_buys_nothing() -> None:
    assert buy(Swartz(10**9), []) is None


@given(st.integers(0, 200), _quotes.filter(bool))
def test_nothing_is_bought_beyond_the_credit_and_what_is_missing_would_do(credit: int, quotes: list[Quote]) -> None:
    outcome = buy(Swartz(credit), quotes)
    if isinstance(outcome, Purchase):
        assert outcome.amount <= Swartz(credit)
    else:
        assert isinstance(outcome, Short)
        assert outcome.missing > ZERO
        assert isinstance(buy(outcome.received + outcome.missing, quotes), Purchase)


def test_the_balance_is_what_counts_and_is_not_spent() -> None:
    """Row 9: one output paid both metadata and image. Here it is spent once, and only its rest is credit."""
    payments = [
        payment(Txid("spent"), 1_000, 1, bought=(8, 700)),
        payment(Txid("short"), 50, 2, settled=True),
        payment(Txid("shallow"), 5_000, 3),
        payment(Txid("mempool"), 5_000),
        payment(Txid("taken back"), 900, bought=(8, 700)),
    ]
    assert balance(payments) == Swartz(350)


# ---------------------------------------------------------------- for how long


def test_a_term_is_calendar_months_from_the_paying_blocks_time() -> None:
    """Rows 6 and 8: it never ended; months were thirty days of the wall clock."""
    assert term_of([payment(Txid("t"), 700, 6, bought=(8, 700))]) == Term(
        block_time(6), datetime.fromisoformat("2027-07-20T13:00:00+00:00")
    )


def test_a_second_purchase_goes_on_from_the_end_of_the_first() -> None:
    """Row 13: a known CID could never be renewed."""
    first, second = payment(Txid("a"), 700, 1, bought=(8, 700)), payment(Txid("b"), 100, 4_000, bought=(1, 100))
    assert term_of([first, second]) == Term(block_time(1), add_months(add_months(block_time(1), 8), 1))


def test_a_purchase_after_the_end_starts_anew() -> None:
    first, second = payment(Txid("a"), 100, 1, bought=(1, 100)), payment(Txid("b"), 100, 6 * 24 * 60, bought=(1, 100))
    assert term_of([first, second]) == Term(block_time(8640), add_months(block_time(8640), 1))


def test_without_a_proven_purchase_there_is_no_term() -> None:
    assert term_of([payment(Txid("a"), 100, bought=(1, 100)), payment(Txid("b"), 5, 1, settled=True)]) is None


_purchases = st.lists(
    st.tuples(st.integers(0, 40_000), st.integers(1, 8)), min_size=1, max_size=6, unique_by=lambda entry: entry[0]
).map(
    lambda rows: [payment(Txid(f"t{n}"), 100, height, bought=(months, 100)) for n, (height, months) in enumerate(rows)]
)


def test_payments_of_one_block_are_folded_by_their_txids() -> None:
    """A block's transactions are heard of in any order; yet every node decides alike which of them buys."""
    first, second, earlier = payment(Txid("a"), 60, 7), payment(Txid("b"), 40, 7), payment(Txid("c"), 1, 6)
    for heard in ([first, second, earlier], [earlier, second, first]):
        assert in_chain_order(heard) == [earlier, first, second]


@given(_purchases, st.randoms(use_true_random=False))
def test_every_node_folds_the_same_term_in_whatever_order_it_heard(payments: list[Payment], dice: object) -> None:
    shuffled = list(payments)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random, which Hypothesis does not say
    assert term_of(shuffled) == term_of(payments)
    assert in_chain_order(shuffled) == in_chain_order(payments)


@given(_purchases)
def test_no_purchase_is_ever_worth_less_than_its_months_from_its_own_block(payments: list[Payment]) -> None:
    term = term_of(payments)
    assert term is not None
    for bought in payments:
        assert bought.proof is not None
        assert bought.bought is not None
        assert term.ends >= add_months(bought.proof.time, bought.bought.months) - timedelta(days=3)  # short months
