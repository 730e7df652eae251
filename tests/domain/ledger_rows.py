"""Quotes, payments and tips as the tests of money speak of them: by month, amount and height."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pinning_worker.domain.content.cid import RAW, cid_of
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.identities import NameBytes, Script, Txid
from pinning_worker.domain.money.account import Rates
from pinning_worker.domain.money.payment import PaidOutput, Payment, Proof, Tip
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import MIB, Tariff
from pinning_worker.domain.pin import Pin, State
from pinning_worker.domain.verdict import Depth

CID = cid_of(RAW, b"art")
NAME = NameBytes(b"art/1")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DEPTH = Depth(confirmations=3, credit_blocks=20)
HUNDRED = Tariff(1, NOON - 30 * DAY, per_mib_month=Swartz(100), least=Swartz(100))
MEASURED = Rates([HUNDRED], {1: MIB})  # a hundred a month
UNMEASURED = Rates([HUNDRED], {})


def quote(months: int, amount: int, issued: datetime = NOON, *, life: timedelta = DAY, id: str = "") -> Quote:
    return Quote(
        id=id or f"{months} months at {amount}",
        root=CID.key,
        cid_text=str(CID),
        months=months,
        amount=Swartz(amount),
        tariff=1,
        tariff_hash="",
        sizes=Sizes(3, 0, 3),
        blocks=1,
        issued=issued,
        expires=issued + life,
        payment_address="mk",
        payment_script=Script(b"\x00"),
        network="doichain-regtest",
    )


def block_time(height: int) -> datetime:
    """A block every ten minutes; block 0 at noon."""
    return NOON + timedelta(minutes=10) * height


def proof(height: int, branch: str = "") -> Proof:
    return Proof(height, f"block {height}{branch}", block_time(height))


def tip(height: int) -> Tip:
    return Tip(height, f"block {height}", block_time(height), block_time(max(0, height - 5)))


def payment(txid: Txid, amount: int, height: int | None = None, *, settled: bool = False) -> Payment:
    """`height`: of its block."""
    return Payment(
        txid=txid,
        root=CID.key,
        cid_text=str(CID),
        name=NAME,
        outputs=(PaidOutput(1, Swartz(amount)),),
        first_seen=NOON,
        proof=None if height is None else proof(height),
        settled=settled,
    )


def pin(state: State = State.SEEN) -> Pin:
    return Pin(CID.key, NAME, str(CID), state, None)
