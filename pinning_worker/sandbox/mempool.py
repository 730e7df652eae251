"""Unconfirmed transactions, in the order in which they came. No two spend the same coin; one may spend another's.

No two register the same name either: a registration spends no output of the name, so nothing else would keep them
apart.
"""

from __future__ import annotations

from collections.abc import Iterable

from pinning_worker.domain.chain.nameop import transaction_name_op
from pinning_worker.domain.chain.transaction import Transaction
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.coins import IN_MEMPOOL, Coin, Coins, Outpoint, new_coins, outpoint
from pinning_worker.sandbox.names import Names
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.sandbox.transaction_rules import check_transaction


class Mempool:
    """The unconfirmed transactions over the coins and names of a chain."""

    def __init__(self, coins: Coins, names: Names) -> None:
        self._coins = coins
        self._names = names
        self._created: dict[Outpoint, Coin] = {}
        self._spender: dict[Outpoint, Txid] = {}
        self._name: dict[Txid, NameBytes] = {}
        self.transactions: dict[Txid, Transaction] = {}
        self.fees: dict[Txid, Swartz] = {}

    def coin_at(self, at: Outpoint) -> Coin | None:
        """The coin, confirmed or not, whether or not a transaction here spends it."""
        return self._coins.get(at) or self._created.get(at)

    def is_spent(self, at: Outpoint) -> bool:
        return at in self._spender

    def waits(self, name: NameBytes) -> bool:
        """Whether an operation of this name is here."""
        return name in self._name.values()

    def accept(self, transaction: Transaction, next_height: int) -> None:
        """Adds it, or raises Rejected. Accepts a transaction that is here already again."""
        if transaction.txid in self.transactions:
            return
        if any(self.is_spent(outpoint(spent)) for spent in transaction.inputs):
            raise Rejected("txn-mempool-conflict")
        fee = check_transaction(transaction, self.coin_at, self._names, next_height)
        if (name := _name(transaction)) is not None:
            if self.waits(name) and not self._names.living(name, next_height):
                raise Rejected("txn-mempool-name-error")  # Namecoin core's reason; 31.1's own is unknown
            self._name[transaction.txid] = name
        self.transactions[transaction.txid] = transaction
        self.fees[transaction.txid] = fee
        self._spender |= {outpoint(spent): transaction.txid for spent in transaction.inputs}
        self._created |= new_coins(transaction, IN_MEMPOOL, is_coinbase=False)

    def evict(self, txid: Txid) -> None:
        """Drops it and all that spend its outputs. Raises Rejected if it is not here."""
        if txid not in self.transactions:
            raise Rejected(f"{txid} is not in the mempool")
        transaction = self.transactions.pop(txid)
        del self.fees[txid]
        self._name.pop(txid, None)
        for spent in transaction.inputs:
            del self._spender[outpoint(spent)]
        for at in new_coins(transaction, IN_MEMPOOL, is_coinbase=False):
            del self._created[at]
            if spender := self._spender.get(at):
                self.evict(spender)

    def rebuild(self, transactions: Iterable[Transaction], next_height: int) -> None:
        """Begins anew over the changed chain, and drops transactions that no longer fit (their coins are spent)."""
        self._created.clear()
        self._spender.clear()
        self._name.clear()
        self.transactions.clear()
        self.fees.clear()
        for transaction in transactions:
            try:
                self.accept(transaction, next_height)
            except Rejected:
                continue


def _name(transaction: Transaction) -> NameBytes | None:
    found = transaction_name_op(transaction)
    return found[1].name if found else None
