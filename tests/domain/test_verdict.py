"""What payments mean: each awkward case as an example, then any history of payments, blocks and reorgs at all.

One month costs a hundred (`ledger_rows.MEASURED`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.account import Rates, account_of
from pinning_worker.domain.money.payment import PaidOutput, Payment, Sighting, Term, record_sighting
from pinning_worker.domain.money.pricing import Quote, add_months
from pinning_worker.domain.money.swartz import ZERO, Swartz
from pinning_worker.domain.money.tariff import MIB, Tariff
from pinning_worker.domain.pin import LIVE, STANDING, Event, Pin, State
from pinning_worker.domain.topic.messages import Message, PaymentGone, PaymentSeen, PaymentShort
from pinning_worker.domain.verdict import Offer, Verdict, could_cover, judge, settled, term_of, totals
from tests.domain.ledger_rows import (
    CID,
    DAY,
    DEPTH,
    HUNDRED,
    MEASURED,
    NAME,
    NOON,
    UNMEASURED,
    block_time,
    payment,
    pin,
    proof,
    quote,
    tip,
)
from tests.soak import rounds

EIGHT, ONE = quote(8, 800), quote(1, 100)
T = Txid("t")  # the one payment of most cases
DUST = 2  # a payment below is told to nobody


@dataclass
class Case:
    """One pin and all that is known of it; `look` judges and stores, as the story does."""

    payments: dict[Txid, Payment] = field(default_factory=dict)
    quotes: list[Quote] = field(default_factory=lambda: [EIGHT, ONE])
    rates: Rates = MEASURED
    held: bool = True
    height: int = 100
    now: datetime = NOON + timedelta(hours=17)
    pin: Pin = field(default_factory=pin)

    @staticmethod
    def of(*payments: Payment, **changes: object) -> Case:
        return Case({payment.txid: payment for payment in payments}, **changes)  # type: ignore[arg-type]  # the fields

    def judged(self) -> Verdict:
        return judge(
            self.pin,
            list(self.payments.values()),
            self.rates,
            Offer(self.quotes, Swartz(DUST)),
            held=self.held,
            tip=tip(self.height),
            depth=DEPTH,
            now=self.now,
        )

    def look(self) -> tuple[Message, ...]:
        verdict = self.judged()
        self.pin = verdict.pin
        self.payments |= {payment.txid: payment for payment in verdict.payments}
        return verdict.say

    def look_again(self) -> None:
        """The same world says nothing new."""
        again = self.judged()
        assert (again.pin, again.payments, again.say) == (self.pin, (), ())

    def totals(self) -> dict[str, Swartz]:
        return totals(list(self.payments.values()), [self.pin], {CID.key: self.rates}, self.now)


def paid(amount: int, height: int | None = 90, txid: Txid = T, *, settled: bool = False) -> Payment:
    return payment(txid, amount, height, settled=settled)


# ---------------------------------------------------------------- examples


def test_confirmations_are_told_once_each_and_acted_on_when_there_are_enough() -> None:
    case, said = Case.of(paid(800, None), height=10), []
    for height, proven in [(10, None), (10, None), (11, 11), (12, 11), (12, 11), (13, 11), (14, 11)]:
        case.height = height
        case.payments[T] = replace(case.payments[T], proof=proof(proven) if proven else None)
        said += [message.confirmations for message in case.look() if isinstance(message, PaymentSeen)]
        assert case.pin.state is (State.SEEN if height < 13 else State.CONFIRMED)
    assert said == [0, 1, 2]
    assert (case.pin.starts, case.pin.ends) == (block_time(11), add_months(block_time(11), 8))


def test_a_payment_in_a_block_of_which_we_have_no_header_is_no_payment_yet() -> None:
    case = Case.of(paid(700, 103), height=100)
    case.look()
    assert case.pin.state is State.SEEN


def test_late_it_is_honoured_or_owed() -> None:
    """The quotes lapsed days before. No quote decides; what the money buys is the tariff's matter."""
    late = replace(paid(800), proof=replace(proof(90), time=NOON + 9 * DAY))
    held, gone = Case.of(late, now=NOON + 10 * DAY), Case.of(late, now=NOON + 10 * DAY, held=False)
    for case in (held, gone):
        case.look()
        case.look_again()
    assert (held.pin.state, gone.pin.state) == (State.CONFIRMED, State.OWED)
    assert held.pin.ends == gone.pin.ends == add_months(NOON + 9 * DAY, 8)
    gone.held = True
    gone.look()
    assert (gone.pin.state, gone.pin.ends) == (State.CONFIRMED, held.pin.ends)


def test_short_is_told_once_and_what_comes_is_added() -> None:
    case = Case.of(paid(40))
    [*_, short] = case.look()
    assert isinstance(short, PaymentShort)
    assert (short.received, short.missing, short.months, short.quote_id) == (Swartz(40), Swartz(760), 8, EIGHT.id)
    assert short.missing_for_one_month == Swartz(60)
    assert (case.pin.state, case.pin.reason) == (State.SHORT, "0.00000060 DOI missing")
    case.look_again()
    case.payments[Txid("rest")] = paid(60, 91, Txid("rest"))
    case.look()
    assert case.pin.state is State.CONFIRMED
    assert (case.pin.starts, case.pin.ends) == (block_time(91), add_months(block_time(91), 1))


def test_dust_is_told_to_nobody_and_counts_all_the_same() -> None:
    """Catches: a hundred messages for a hundred swartz; money that is booked and forgotten."""
    case = Case.of(paid(DUST - 1))
    assert case.look() == ()
    assert case.pin.reason == "0.00000099 DOI missing"
    case.payments[Txid("rest")] = paid(100 - DUST + 1, 91, Txid("rest"))
    case.look()
    assert case.pin.state is State.CONFIRMED


def test_two_payments_confirmed_by_one_look_buy_one_after_the_other() -> None:
    case = Case.of(paid(800, 90, Txid("a")), paid(150, 91, Txid("b")))
    case.look()
    assert case.pin.ends == add_months(block_time(90), 9)
    assert case.totals()["credit"] == Swartz(50)


def test_the_rest_is_credit_for_the_next() -> None:
    case = Case.of(paid(150))
    case.look()
    assert case.pin.ends == add_months(block_time(90), 1)
    case.payments[Txid("rest")] = paid(750, 92, Txid("rest"))
    case.look()
    assert case.pin.ends == add_months(block_time(90), 9)


def test_a_strangers_question_for_a_month_takes_nothing_from_the_payer_of_eight() -> None:
    """Seen: the payer of eight months got one, because a stranger's quote for one month was live alone."""
    lapsed, strangers = quote(8, 800, NOON - 9 * DAY), quote(1, 100)
    for quotes in ([], [lapsed], [strangers], [lapsed, strangers]):
        case = Case.of(paid(800), quotes=quotes)
        case.look()
        assert case.pin.ends == add_months(block_time(90), 8)


def test_a_rise_binds_nobody_within_its_notice() -> None:
    """Row 10."""
    dearer = Tariff(2, NOON, Swartz(1_000), Swartz(1_000))
    case = Case.of(paid(800), rates=Rates([HUNDRED, dearer], {1: MIB}))
    case.look()
    assert case.pin.ends == add_months(block_time(90), 8)


def test_a_renewal_extends_and_is_looked_at_now() -> None:
    """Rows 6 and 13."""
    case = Case.of(paid(800, settled=True), paid(100, 95, Txid("again")))
    case.pin = replace(pin(State.EXPIRING), starts=block_time(90), ends=add_months(block_time(90), 8), reminded=7)
    case.look()
    assert (case.pin.state, case.pin.starts, case.pin.due_at) == (State.CONFIRMED, block_time(90), case.now)
    assert (case.pin.ends, case.pin.reminded) == (add_months(block_time(90), 9), None)


def test_a_renewal_too_small_is_credit_and_nobody_is_called_short_while_a_term_runs() -> None:
    case = Case.of(paid(800, settled=True), paid(30, 95, Txid("again")))
    case.pin = standing = replace(pin(State.PINNED), starts=block_time(90), ends=add_months(block_time(90), 8))
    assert case.look() == ()
    assert case.pin == standing
    assert case.totals()["credit"] == Swartz(30)


def test_too_little_after_the_end_of_a_term_is_short() -> None:
    late = replace(paid(30, 95, Txid("late")), proof=replace(proof(95), time=NOON + 300 * DAY))
    case = Case.of(paid(800, settled=True), late, now=NOON + 301 * DAY)
    ends = add_months(block_time(90), 8)
    case.pin = ended = replace(pin(State.RELEASED), starts=block_time(90), ends=ends)
    [short] = case.look()
    assert isinstance(short, PaymentShort)
    assert (short.txid, short.missing_for_one_month) == ("late", Swartz(70))
    assert case.pin == ended
    case.look_again()


def test_never_quoted_is_owed_until_it_is_measured() -> None:
    case = Case.of(paid(800), quotes=[], held=False, rates=UNMEASURED)
    assert case.look() == ()
    assert (case.pin.state, case.pin.reason) == (State.OWED, "paid, but never quoted")
    assert case.totals()["owed"] == Swartz(800)
    case.look_again()
    case.quotes, case.rates, case.held = [quote(8, 800, case.now)], MEASURED, True
    case.look()
    assert (case.pin.state, case.pin.ends) == (State.CONFIRMED, add_months(block_time(90), 8))


def test_too_little_for_what_was_never_quoted_is_short_once_it_is_measured() -> None:
    case = Case.of(paid(40), quotes=[], held=False, rates=UNMEASURED)
    case.look()
    case.quotes, case.rates, case.held = [quote(8, 800, case.now)], MEASURED, True
    assert [type(message) for message in case.look()] == [PaymentShort]
    assert case.pin.state is State.SHORT
    case.look_again()


@pytest.mark.parametrize("state", [State.SEEN, State.VANISHED, State.OWED])
def test_a_term_that_was_over_before_anybody_looked_is_owed_not_earned(state: State) -> None:
    case = Case.of(paid(800), now=NOON + 300 * DAY)
    case.pin = replace(case.pin, state=state)
    case.look()
    assert case.pin.state is State.OWED
    assert case.totals()["owed"] == Swartz(800)
    case.look_again()


# ---------------------------------------------------------------- credit at the end of a term

CHEAPER = Tariff(2, NOON + DAY, per_mib_month=Swartz(40), least=Swartz(40))
END = add_months(block_time(90), 1)


def at_its_end(**changes: object) -> Case:
    """A month was bought, ninety are credit, and the price has fallen to forty. Both clocks are past the end."""
    height = (END - NOON) // timedelta(minutes=10) + 12
    row = paid(190, settled=True)
    case = Case.of(row, rates=Rates([HUNDRED, CHEAPER], {1: MIB}), now=END + timedelta(hours=1), height=height)
    case.pin = replace(pin(State.PINNED), starts=block_time(90), ends=END)
    return replace(case, **changes)  # type: ignore[arg-type]  # the fields


def test_credit_extends_a_term_by_a_month_when_the_price_fell() -> None:
    case = at_its_end()
    case.look()
    assert (case.pin.state, case.pin.ends) == (State.CONFIRMED, add_months(block_time(90), 2))
    assert case.totals()["credit"] == Swartz(50)


@pytest.mark.parametrize("behind", [{"now": END - timedelta(minutes=1)}, {"height": 95}])
def test_credit_is_spent_only_when_both_clocks_are_past_the_end(behind: dict[str, object]) -> None:
    case = at_its_end(**behind)
    case.look()
    assert case.pin.ends == END


@pytest.mark.parametrize(("minutes", "waits"), [(0, True), (1, False)])
def test_the_end_waits_for_a_payment_in_a_block_from_before_it(minutes: int, waits: bool) -> None:
    """The payment buys first, with all the credit; only then is credit spent on a month at the end."""
    case = at_its_end()
    shallow = proof(case.height - 1)
    case.payments[Txid("b")] = replace(
        paid(10, None, Txid("b")), proof=replace(shallow, time=END + timedelta(minutes=minutes))
    )
    case.look()
    assert case.pin.ends == (END if waits else add_months(block_time(90), 2))
    case.height += 1
    case.look()
    assert case.pin.ends == add_months(block_time(90), 3)


def test_dust_in_the_mempool_never_keeps_credit_from_extending_a_term() -> None:
    """Catches: one swartz of a stranger, never mined, by which paid art is let go while credit for it idles."""
    case = at_its_end()
    case.payments[Txid("stuck")] = paid(1, None, Txid("stuck"))
    case.look()
    assert case.pin.ends == add_months(block_time(90), 2)


@pytest.mark.parametrize(("amounts", "covers"), [([10], True), ([9], False), ([9, 1], True), ([], False)])
def test_payments_on_their_way_could_cover_a_month_together_with_the_credit(amounts: list[int], covers: bool) -> None:
    waiting = [paid(amount, None, Txid(f"w{number}")) for number, amount in enumerate(amounts)]
    account = account_of([paid(190, settled=True)], MEASURED, END)
    assert could_cover(waiting, account, MEASURED.at(END)) is covers
    assert not could_cover([replace(each, gone=True) for each in waiting], account, MEASURED.at(END))
    assert not could_cover(waiting, account, None)


def reorged() -> Case:
    case = Case.of(paid(800))
    case.look()
    case.pin = case.pin.moved(Event.AUDITED, case.pin.ends)
    case.payments[T] = replace(case.payments[T], proof=None)
    case.look()
    return case


def test_a_reorg_leaves_the_pin_on_credit_and_a_new_proof_restores_it() -> None:
    case = reorged()
    assert (case.pin.state, case.pin.unproven_at) == (State.CREDIT, 100)
    case.look_again()
    case.payments[T] = replace(case.payments[T], proof=proof(101, "b"))
    case.look()
    assert (case.pin.state, case.pin.starts) == (State.CONFIRMED, block_time(101))
    assert case.pin.unproven_at is None


@pytest.mark.parametrize(("height", "state"), [(119, State.CREDIT), (120, State.SUSPENDED), (500, State.SUSPENDED)])
def test_credit_ends_when_the_reorg_is_buried(height: int, state: State) -> None:
    case = reorged()
    case.height = height
    case.look()
    assert case.pin.state is state
    case.look_again()


def test_of_two_payments_one_double_spent_the_other_carries_the_pin_for_its_own_term() -> None:
    case = Case.of(paid(800, 90, Txid("a")), paid(100, 91, Txid("b")))
    case.look()
    case.payments[Txid("a")] = replace(case.payments[Txid("a")], proof=None, gone=True)
    case.look()
    assert case.pin.state is State.CREDIT
    case.height = 120
    case.look()
    assert (case.pin.state, case.pin.starts, case.pin.ends) == (
        State.CONFIRMED,
        block_time(91),
        add_months(block_time(91), 1),
    )
    case.look_again()


def test_a_payment_that_was_announced_and_is_double_spent_is_told_once() -> None:
    case = Case.of(paid(800, None))
    assert [type(message) for message in case.look()] == [PaymentSeen]
    case.payments[T] = replace(case.payments[T], gone=True)
    assert case.look() == (PaymentGone(str(CID), NAME, T, Swartz(800)),)
    assert case.pin.state is State.VANISHED
    case.look_again()


def test_a_payment_that_nobody_was_told_of_goes_in_silence() -> None:
    case = Case.of(replace(paid(1, None), gone=True))
    assert case.look() == ()


# A reorg may give payments another order, or take one away whose money a later one has spent.

L50_LOST = payment(Txid("lost"), 50, settled=True)


def on_credit_since(height: int, months: int) -> Pin:
    """From block 90 on for so many months."""
    ends = add_months(block_time(90), months)
    return replace(pin(State.CREDIT), starts=block_time(90), ends=ends, unproven_at=height)


def test_money_that_now_lies_behind_a_payment_buys_from_its_own_block_on() -> None:
    """A reorg moves 60 behind the block of 40: together they buy, but not before both are there."""
    case = Case.of(paid(40, 90, Txid("early")), payment(Txid("moved"), 60, 95, settled=True), quotes=[ONE])
    case.pin = pin(State.SHORT)
    case.look()
    assert (case.pin.state, case.pin.starts) == (State.CONFIRMED, block_time(95))


def test_months_that_a_lost_payment_leaves_uncovered_end_with_the_credit() -> None:
    """`b` spent 50 that are lost. `a` paid for itself: what it bought stands."""
    a, b = payment(Txid("a"), 100, 90, settled=True), payment(Txid("b"), 50, 91, settled=True)
    case = Case.of(L50_LOST, a, b)
    case.pin = on_credit_since(79, months=2)
    case.look()
    assert (case.pin.state, case.pin.starts, case.pin.ends) == (
        State.CONFIRMED,
        block_time(90),
        add_months(block_time(90), 1),
    )
    assert case.totals()["credit"] == Swartz(50)


def test_a_term_that_was_bought_with_lost_money_is_on_credit_though_the_others_are_proven() -> None:
    case = Case.of(L50_LOST, payment(Txid("a"), 100, 90, settled=True), payment(Txid("b"), 50, 91, settled=True))
    case.pin = replace(on_credit_since(0, months=2), state=State.PINNED, unproven_at=None)
    case.look()
    assert (case.pin.state, case.pin.unproven_at) == (State.CREDIT, 100)


def test_lost_money_that_bought_nothing_leaves_the_pin_as_it_is() -> None:
    case = Case.of(L50_LOST, payment(Txid("a"), 100, 90, settled=True))
    case.pin = standing = replace(on_credit_since(0, months=1), state=State.PINNED, unproven_at=None)
    case.look()
    assert case.pin == standing


def test_a_suspended_payment_that_is_proven_after_all_is_honoured() -> None:
    case = reorged()
    case.height = 200
    case.look()
    case.held = False  # its blocks went when it was suspended
    case.payments[T] = replace(case.payments[T], proof=proof(190), gone=False)
    case.look()
    assert (case.pin.state, case.pin.ends) == (State.OWED, add_months(block_time(190), 8))


def test_money_without_a_pin_is_owed_as_soon_as_it_is_in_a_block() -> None:
    """It names no CID, or is dust for a CID that nobody was quoted."""
    stray = record_sighting(None, Sighting(Txid("x"), NAME, b"?", (PaidOutput(0, Swartz(5)),), None), NOON)
    for row in (stray, replace(stray, root=Root(b"r"))):
        assert totals([row], [], {}, NOON)["owed"] == ZERO
        assert totals([replace(row, proof=proof(1))], [], {}, NOON)["owed"] == Swartz(5)


# ---------------------------------------------------------------- any history


class AnyHistory(RuleBasedStateMachine):
    """Payments, blocks, reorgs, double spends, quotes and content that come and go, in any order.

    After each the pin is judged, as the story does. No history leads to an event that the table forbids (`moved` would
    raise), a second look never says more, and every swartz is accounted for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.case = Case(quotes=[], held=False, height=20, now=block_time(20), rates=UNMEASURED)
        self.blocks: list[list[Txid]] = [[] for _ in range(21)]
        self.mempool: list[Txid] = []
        self.branch = 0

    # --- what happens

    @initialize(amount=st.sampled_from([40, 100, 700, 900]))
    def first_payment(self, amount: int) -> None:
        self.pay(amount)

    @rule(amount=st.sampled_from([40, 60, 100, 130, 700, 900]))
    def pay(self, amount: int) -> None:
        txid = Txid(f"t{len(self.case.payments)}")
        row = payment(txid, amount)
        self.case.payments[txid] = replace(row, first_seen=self.case.now)
        self.mempool.append(txid)

    @rule(months=st.sampled_from([1, 8]))
    def quoted(self, months: int) -> None:
        """Measured, and held."""
        self.case.quotes.append(quote(months, months * 100, self.case.now, id=f"q{len(self.case.quotes)}"))
        self.case.rates = Rates(self.case.rates.log, {1: MIB})
        self.case.held = True

    @rule(price=st.sampled_from([40, 100, 110]))
    def tariff_set(self, price: int) -> None:
        log = self.case.rates.log
        dearer_or_cheaper = Tariff(len(log) + 1, self.case.now.replace(microsecond=0), Swartz(price), Swartz(price))
        self.case.rates = Rates([*log, dearer_or_cheaper], self.case.rates.measured)

    @rule()
    def content_goes(self) -> None:
        if self.case.pin.state not in LIVE:
            self.case.held = False

    @rule(count=st.integers(1, 6), empty=st.booleans())
    def mine(self, count: int, empty: bool) -> None:
        for _ in range(count):
            self.blocks.append([] if empty else self.mempool[:])
            self.mempool = self.mempool if empty else []
        self._chain_moved()

    @rule(count=st.sampled_from([25, 6 * 24 * 40]))
    def long_after(self, count: int) -> None:
        self.mine(count, False)

    @rule(depth=st.integers(1, 6), double_spend=st.booleans(), in_between=st.booleans())
    def reorg(self, depth: int, double_spend: bool, in_between: bool) -> None:
        undone = [txid for block in self.blocks[-depth:] for txid in block]
        del self.blocks[-depth:]
        self.branch += 1
        self.blocks += [[] for _ in range(depth + 1)]
        self.mempool += undone
        self._chain_moved()
        if in_between:
            self._look()
        if double_spend and undone:
            self._gone(Txid(undone[-1]))

    @precondition(lambda self: self.case.pin.state in LIVE)
    @rule(double_spend=st.booleans())
    def the_newest_payment_is_undone_and_the_reorg_buried(self, double_spend: bool) -> None:
        newest = max(height for height, block in enumerate(self.blocks) if block or height == 0)
        if len(self.blocks) - newest <= 50:
            self.reorg(len(self.blocks) - newest, double_spend, in_between=True)
            self._look()
            self.mine(DEPTH.credit_blocks, empty=True)

    @precondition(lambda self: self.mempool)
    @rule()
    def evicted(self) -> None:
        self._gone(self.mempool[0])

    @rule()
    def a_double_spent_payment_is_seen_again(self) -> None:
        for txid, row in self.case.payments.items():
            if row.gone:
                self.case.payments[txid] = replace(row, gone=False)
                self.mempool.append(txid)
                return

    # --- what the story does by itself

    @rule()
    def step_that_is_due(self) -> None:
        case, now = self.case, self.case.now
        match case.pin.state:
            case State.CONFIRMED:
                case.pin = case.pin.moved(Event.AUDITED, case.pin.ends)
            case State.OWED:
                case.pin = case.pin.moved(Event.OWES, now + DAY, attempts=case.pin.attempts + 1)
            case State.PINNED | State.EXPIRING | State.CREDIT if case.pin.ends is not None and case.pin.ends <= now:
                case.pin = case.pin.moved(Event.ENDED, None)
            case State.PINNED | State.EXPIRING:
                case.pin = case.pin.moved(Event.REMINDED, case.pin.ends)
            case _:
                pass

    @precondition(lambda self: self.case.pin.state in LIVE)
    @rule()
    def an_audit_fails_here_or_under_another_name(self) -> None:
        self.case.pin = self.case.pin.moved(Event.OWES, self.case.now, reason="blocks were lost")
        self.case.held = False

    # --- what must be so

    @invariant()
    def a_second_look_says_nothing_new(self) -> None:
        if self.case.payments:
            self._look()
            self.case.look_again()

    @invariant()
    def every_swartz_is_earned_credit_or_owed(self) -> None:
        counted = [row.amount for row in settled(self.case.payments.values())]
        parts = self.case.totals()
        assert Swartz.total(parts.values()) == Swartz.total(counted)
        assert min(parts.values()) >= ZERO, parts

    @invariant()
    def who_bought_a_term_that_runs_has_it_or_is_owed_it(self) -> None:
        case, term = self.case, self._term()
        if term is not None and term.ends > case.now:
            assert case.pin.state in LIVE | {State.OWED}
            if case.pin.state not in {State.CREDIT}:
                assert (case.pin.starts, case.pin.ends) == (term.starts, term.ends)

    @invariant()
    def nothing_stands_that_nobody_paid(self) -> None:
        """On credit at most: until the reorg that took the payment back is buried."""
        case, term = self.case, self._term()
        if case.pin.state in STANDING and (term is None or term.ends != case.pin.ends):
            assert case.pin.state is State.CREDIT
            assert case.pin.unproven_at is not None
            assert case.height - case.pin.unproven_at < DEPTH.credit_blocks

    def _term(self) -> Term | None:
        """The term of the payments alone, at the pin's own end: extensions from credit may still be to come."""
        case = self.case
        moment = min(case.now, tip(case.height).median_time, case.pin.ends or case.now)
        return term_of(account_of(settled(case.payments.values()), case.rates, moment))

    def _look(self) -> None:
        self.case.look()

    def _gone(self, txid: Txid) -> None:
        self.mempool.remove(txid)
        row = self.case.payments[txid]
        self.case.payments[txid] = replace(row, gone=row.proof is None)

    def _chain_moved(self) -> None:
        """Headers, then proofs: taken back first, then found anew."""
        self.case.height = len(self.blocks) - 1
        self.case.now = max(self.case.now, block_time(self.case.height))
        standing = {txid: height for height, block in enumerate(self.blocks) for txid in block}
        for txid, row in self.case.payments.items():
            height = standing.get(txid)
            if height is None:
                self.case.payments[txid] = replace(row, proof=None)
            elif row.proof is None or row.proof.height != height:
                self.case.payments[txid] = replace(row, proof=proof(height, f"/{self.branch}"), gone=False)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=rounds(150, soak=20_000), stateful_step_count=40)
