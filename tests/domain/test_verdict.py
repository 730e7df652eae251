"""What payments mean: each awkward case as an example, then any history of payments, blocks and reorgs at all."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.payment import PaidOutput, Payment, Purchase, Sighting, record_sighting, term_of
from pinning_worker.domain.money.pricing import Quote, add_months
from pinning_worker.domain.money.swartz import ZERO, Swartz
from pinning_worker.domain.pin import LIVE, STANDING, Event, Pin, State
from pinning_worker.domain.topic.messages import Message, PaymentSeen, PaymentShort
from pinning_worker.domain.verdict import Verdict, accounts, judge
from tests.domain.ledger_rows import DAY, DEPTH, NAME, NOON, block_time, payment, pin, proof, quote, tip
from tests.soak import rounds

EIGHT, ONE = quote(8, 700), quote(1, 100)
T = Txid("t")  # the one payment of most cases


@dataclass
class Case:
    """One pin and all that is known of it; `look` judges and stores, as the story does."""

    payments: dict[Txid, Payment] = field(default_factory=dict)
    quotes: list[Quote] = field(default_factory=lambda: [EIGHT, ONE])
    held: bool = True
    height: int = 100
    now: datetime = NOON + timedelta(hours=17)
    pin: Pin = field(default_factory=pin)

    @staticmethod
    def of(*payments: Payment, **changes: object) -> Case:
        return Case({payment.txid: payment for payment in payments}, **changes)  # type: ignore[arg-type]  # the fields

    def judged(self) -> Verdict:
        known = list(self.payments.values())
        return judge(self.pin, known, self.quotes, held=self.held, tip=tip(self.height), depth=DEPTH, now=self.now)

    def look(self) -> tuple[Message, ...]:
        verdict = self.judged()
        self.pin = verdict.pin
        self.payments |= {payment.txid: payment for payment in verdict.payments}
        return verdict.say

    def look_again(self) -> None:
        """The same world says nothing new."""
        again = self.judged()
        assert (again.pin, again.payments, again.say) == (self.pin, (), ())


def paid(amount: int, height: int | None = 90, txid: Txid = T) -> Payment:
    return payment(txid, amount, height)


# ---------------------------------------------------------------- examples


def test_confirmations_are_told_once_each_and_acted_on_when_there_are_enough() -> None:
    case, said = Case.of(paid(700, None), height=10), []
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


def test_late_it_is_honoured_at_the_stored_price_or_owed() -> None:
    late = replace(paid(700), first_seen=NOON + 9 * DAY, proof=replace(proof(90), time=NOON + 9 * DAY))
    held, gone = Case.of(late, now=NOON + 10 * DAY), Case.of(late, now=NOON + 10 * DAY, held=False)
    for case in (held, gone):
        case.look()
        case.look_again()
    assert (held.pin.state, gone.pin.state) == (State.CONFIRMED, State.OWED)
    assert held.payments[T].bought == gone.payments[T].bought == Purchase(EIGHT.id, Swartz(700), 8)
    gone.held = True
    gone.look()
    assert (gone.pin.state, gone.pin.ends) == (State.CONFIRMED, held.pin.ends)


def test_short_is_told_once_and_what_comes_is_added() -> None:
    case = Case.of(paid(40))
    [*_, short] = case.look()
    assert isinstance(short, PaymentShort)
    assert (short.received, short.missing, short.quote_id) == (Swartz(40), Swartz(60), ONE.id)
    assert (case.pin.state, case.pin.reason) == (State.SHORT, "0.00000060 DOI missing")
    case.look_again()
    case.payments[Txid("rest")] = paid(60, 91, Txid("rest"))
    case.look()
    assert case.pin.state is State.CONFIRMED
    assert term_of(case.payments.values()) == term_of([payment(Txid("rest"), 0, 91, bought=(1, 0))])


def test_two_payments_confirmed_by_one_look_buy_one_after_the_other() -> None:
    case = Case.of(paid(700, 90, Txid("a")), paid(150, 91, Txid("b")))
    case.look()
    assert case.pin.ends == add_months(block_time(90), 9)
    assert accounts(list(case.payments.values()), [case.pin])["credit"] == Swartz(50)


def test_what_is_over_is_credit_for_the_next() -> None:
    case = Case.of(paid(150))
    case.look()
    assert case.pin.ends == add_months(block_time(90), 1)
    case.payments[Txid("rest")] = paid(650, 92, Txid("rest"))
    case.look()
    assert case.pin.ends == add_months(block_time(90), 9)


def test_the_price_that_was_quoted_is_the_price() -> None:
    """Row 10."""
    dearer = quote(8, 7_000, NOON + DAY)
    case = Case.of(paid(700), quotes=[EIGHT, dearer])
    case.look()
    assert case.payments[T].bought == Purchase(EIGHT.id, Swartz(700), 8)


def test_a_renewal_extends_and_is_looked_at_now() -> None:
    """Rows 6 and 13."""
    case = Case.of(payment(T, 700, 90, bought=(8, 700)), paid(100, 95, Txid("again")))
    case.pin = replace(pin(State.EXPIRING), starts=block_time(90), ends=add_months(block_time(90), 8), reminded=7)
    case.look()
    assert (case.pin.state, case.pin.starts, case.pin.due_at) == (State.CONFIRMED, block_time(90), case.now)
    assert (case.pin.ends, case.pin.reminded) == (add_months(block_time(90), 9), None)


def test_a_renewal_too_small_leaves_the_pin_as_it_is_and_says_what_is_missing() -> None:
    case = Case.of(payment(T, 700, 90, bought=(8, 700)), paid(30, 95, Txid("again")))
    case.pin = standing = replace(pin(State.PINNED), starts=block_time(90), ends=add_months(block_time(90), 8))
    assert [type(message) for message in case.look()] == [PaymentShort]
    assert case.pin == standing


def test_never_quoted_is_owed_until_it_is_quoted() -> None:
    case = Case.of(paid(800), quotes=[], held=False)
    assert case.look() == ()
    assert (case.pin.state, case.pin.reason) == (State.OWED, "paid, but never quoted")
    case.look_again()
    case.quotes, case.held = [quote(8, 700, case.now)], True
    case.look()
    assert case.pin.state is State.CONFIRMED


@pytest.mark.parametrize("state", [State.SEEN, State.VANISHED, State.OWED])
def test_a_term_that_was_over_before_anybody_looked_is_owed_not_earned(state: State) -> None:
    case = Case.of(paid(700), now=NOON + 300 * DAY)
    case.pin = replace(case.pin, state=state)
    case.look()
    assert case.pin.state is State.OWED
    assert accounts(list(case.payments.values()), [case.pin])["owed"] == Swartz(700)
    case.look_again()


def reorged() -> Case:
    case = Case.of(paid(700))
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
    case = Case.of(paid(700, 90, Txid("a")), paid(100, 91, Txid("b")))
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


# A reorg may give payments another order, or take one away whose money a later one has spent.

L50_LOST = payment(Txid("lost"), 50, settled=True)


def on_credit_since(height: int, months: int) -> Pin:
    """From block 90 on for so many months."""
    ends = add_months(block_time(90), months)
    return replace(pin(State.CREDIT), starts=block_time(90), ends=ends, unproven_at=height)


def test_money_that_a_payment_now_behind_has_spent_is_not_spent_again() -> None:
    """`x` bought with `y`'s 60; a reorg moves it behind `f`, which seems to have 160: they would buy two months."""
    two_months = quote(2, 150)
    case = Case.of(
        payment(Txid("y"), 60, 90, settled=True),
        paid(100, 95, Txid("f")),
        payment(Txid("x"), 40, 96, bought=(1, 100)),
        quotes=[ONE],
    )
    case.quotes.append(two_months)
    case.pin = replace(pin(State.PINNED), starts=block_time(96), ends=add_months(block_time(96), 1))
    case.look()
    assert case.payments[Txid("f")].bought == Purchase(ONE.id, Swartz(100), 1)
    assert accounts(list(case.payments.values()), [case.pin])["credit"] == ZERO


def test_money_that_now_lies_behind_a_payment_buys_from_its_own_block_on() -> None:
    """A reorg moves 60 behind the block of 40: together they buy, but not before both are there."""
    case = Case.of(paid(40, 90, Txid("early")), payment(Txid("moved"), 60, 95, settled=True), quotes=[ONE])
    case.pin = pin(State.SHORT)
    case.look()
    assert (case.pin.state, case.pin.starts) == (State.CONFIRMED, block_time(95))
    assert case.payments[Txid("early")].bought is None


def test_of_purchases_that_a_lost_payment_leaves_uncovered_the_last_is_undone() -> None:
    """`b` spent 50 that are lost. `a` paid for itself: what it bought stands, and is not decided anew."""
    a, b = payment(Txid("a"), 100, 90, bought=(1, 100)), payment(Txid("b"), 50, 91, bought=(1, 100))
    case = Case.of(L50_LOST, a, b)
    case.pin = on_credit_since(79, months=2)
    case.look()
    assert (case.payments[Txid("a")], case.payments[Txid("b")].bought) == (a, None)
    assert (case.pin.state, case.pin.starts, case.pin.ends) == (
        State.CONFIRMED,
        block_time(90),
        add_months(block_time(90), 1),
    )
    assert accounts(list(case.payments.values()), [case.pin])["credit"] == Swartz(50)


def test_a_term_that_was_bought_with_lost_money_is_on_credit_though_its_purchase_is_proven() -> None:
    case = Case.of(L50_LOST, payment(Txid("a"), 100, 90, bought=(1, 100)), payment(Txid("b"), 50, 91, bought=(1, 100)))
    case.pin = replace(on_credit_since(0, months=2), state=State.PINNED, unproven_at=None)
    case.look()
    assert (case.pin.state, case.pin.unproven_at) == (State.CREDIT, 100)


def test_lost_money_that_bought_nothing_leaves_the_pin_as_it_is() -> None:
    case = Case.of(L50_LOST, payment(Txid("a"), 100, 90, bought=(1, 100)))
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


def test_money_that_names_no_cid_is_owed_as_soon_as_it_is_in_a_block() -> None:
    stray = record_sighting(None, Sighting(Txid("x"), NAME, b"?", (PaidOutput(0, Swartz(5)),), None), NOON)
    assert accounts([stray], [])["owed"] == ZERO
    assert accounts([replace(stray, proof=proof(1))], [])["owed"] == Swartz(5)


def test_dust_that_has_no_pin_is_owed_as_soon_as_it_is_in_a_block() -> None:
    dust = replace(
        record_sighting(None, Sighting(Txid("x"), NAME, b"?", (PaidOutput(0, Swartz(5)),), None), NOON), root=Root(b"r")
    )
    assert accounts([dust], [])["owed"] == ZERO
    dust = replace(dust, proof=proof(1))
    assert accounts([dust], [])["owed"] == Swartz(5)


# ---------------------------------------------------------------- any history


class AnyHistory(RuleBasedStateMachine):
    """Payments, blocks, reorgs, double spends, quotes and content that come and go, in any order.

    After each the pin is judged, as the story does. No history leads to an event that the table forbids (`moved` would
    raise), a second look never says more, and every swartz is accounted for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.case = Case(quotes=[], held=False, height=20, now=block_time(20))
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

    @rule(months=st.sampled_from([1, 8]), amount=st.sampled_from([90, 100, 110]))
    def quoted(self, months: int, amount: int) -> None:
        price = amount if months == 1 else amount * 7
        self.case.quotes.append(quote(months, price, self.case.now, id=f"q{len(self.case.quotes)}"))
        self.case.held = True

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
            self.mine(DEPTH.credit, empty=True)

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
        payments = list(self.case.payments.values())
        counted = [row.amount for row in payments if row.settled and row.proof]
        parts = accounts(payments, [self.case.pin])
        assert Swartz.total(parts.values()) == Swartz.total(counted)
        assert min(parts.values()) >= ZERO, parts

    @invariant()
    def who_bought_a_term_that_runs_has_it_or_is_owed_it(self) -> None:
        case, term = self.case, term_of(self.case.payments.values())
        if term is not None and term.ends > case.now:
            assert case.pin.state in LIVE | {State.OWED}
            if case.pin.state not in {State.CREDIT}:
                assert (case.pin.starts, case.pin.ends) == (term.starts, term.ends)

    @invariant()
    def nothing_stands_that_nobody_paid(self) -> None:
        """On credit at most: until the reorg that took the payment back is buried."""
        case, term = self.case, term_of(self.case.payments.values())
        if case.pin.state in STANDING and (term is None or term.ends != case.pin.ends):
            assert case.pin.state is State.CREDIT
            assert case.pin.unproven_at is not None
            assert case.height - case.pin.unproven_at < DEPTH.credit

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
