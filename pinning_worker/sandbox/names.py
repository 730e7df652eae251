"""The name database: who owns a name now, until which block, and which output a payment under it must spend.

doichain-core 31.1 enforces this since block 431 017; the sandbox does from genesis on:

    the name lives     a NAME_DOI spends the name's output, and so its owner signs
    the name is free   (never registered, or expired) a NAME_DOI spends no name output at all

A name is expired in block h if (height of its last operation + life) <= h. The database knows blocks only: in the
mempool a name with an unconfirmed registration is still free, so a transaction that builds on that registration is
refused. A block's own transactions enter one after the other, so a registration and its renewal can stand in one block.
As in Namecoin core, the mempool accepts a renewal on top of an unconfirmed one (not verified for 31.1).

Reasons: `tx-namedoi-freename-with-input` is 31.1's, `tx-namenew-with-name-input` is Namecoin core's. The other three
(without-input, name-mismatch, old-input) are ours: those of 31.1 are unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pinning_worker.domain.chain.nameop import NameOp, NameOpCode, parse_name_op, transaction_name_op
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST
from pinning_worker.domain.chain.transaction import Transaction
from pinning_worker.domain.identities import NameBytes
from pinning_worker.sandbox.coins import IN_MEMPOOL, Coin, Outpoint
from pinning_worker.sandbox.rejected import Rejected


@dataclass(frozen=True, slots=True)
class NameRecord:
    """The last operation of a name: its output, whose owner owns the name, and the height of its block."""

    at: Outpoint
    height: int

    @property
    def free_from(self) -> int:
        """The first block in which anybody may register the name, if nothing happens to it until then."""
        return self.height + DOICHAIN_REGTEST.name_life


class Names:
    """The last operation of each name at the tip, expired ones included, and what each block above genesis changed."""

    def __init__(self) -> None:
        self._last: dict[NameBytes, NameRecord] = {}
        self._before_block: list[dict[NameBytes, NameRecord | None]] = []

    def living(self, name: NameBytes, height: int) -> NameRecord | None:
        """The record of a name that exists and has not expired in the block at `height`."""
        record = self._last.get(name)
        return record if record and height < record.free_from else None

    def copy(self) -> Names:
        """Returns a copy, on which a block's transactions can be tried one by one (`note`)."""
        tried = Names()
        tried._last = dict(self._last)
        return tried

    def note(self, transaction: Transaction, height: int) -> None:
        """Adds the next transaction of a block under trial."""
        self._last |= dict(_records(transaction, height))

    def apply(self, transactions: Iterable[Transaction], height: int) -> None:
        """Adds the next block, whose transactions are checked already."""
        changed = dict(record for each in transactions for record in _records(each, height))
        self._before_block.append({name: self._last.get(name) for name in changed})
        self._last |= changed

    def take_back(self) -> None:
        """Takes back the last applied block."""
        for name, record in self._before_block.pop().items():
            if record is None:
                del self._last[name]
            else:
                self._last[name] = record


def check_ownership(name_op: NameOp, spent: tuple[Outpoint, Coin] | None, names: Names, height: int) -> None:
    """Checks that a transaction for the block at `height` may publish `name_op`, spending this name output or none.

    Raises Rejected.
    """
    if name_op.op is NameOpCode.NAME_NEW:
        if spent:
            raise Rejected("tx-namenew-with-name-input")
    elif name_op.op is NameOpCode.NAME_DOI:
        record = names.living(name_op.name or NameBytes(b""), height)
        if record:
            _check_spends(name_op.name, spent, record)
        elif spent:
            raise Rejected("tx-namedoi-freename-with-input")
    else:
        raise Rejected(f"the sandbox takes no {name_op.op.name}")


def _check_spends(name: NameBytes | None, spent: tuple[Outpoint, Coin] | None, record: NameRecord) -> None:
    if spent is None:
        raise Rejected(f"tx-namedoi-existing-without-input (the name lives until block {record.free_from})")
    at, coin = spent
    of_input = parse_name_op(coin.output.script)
    if of_input is None or of_input.name != name:
        raise Rejected("tx-namedoi-name-mismatch")
    # An output in the mempool spends the record's, perhaps through others: it was checked when it arrived.
    # A confirmed output other than the record's is from an earlier life of the name.
    if at != record.at and coin.height != IN_MEMPOOL:
        raise Rejected("tx-namedoi-old-input")


def _records(transaction: Transaction, height: int) -> Iterable[tuple[NameBytes, NameRecord]]:
    found = transaction_name_op(transaction)
    if found and found[1].name is not None:
        yield found[1].name, NameRecord((transaction.txid, found[0]), height)
