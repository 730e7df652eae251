"""Transactions that wait for a block, in the order they came. No two spend the same coin; one may spend another's."""

from __future__ import annotations

from collections.abc import Iterable

from pinning_worker.domain.money import Swartz
from pinning_worker.domain.transaction import Transaction
from pinning_worker.sandbox.coins import IN_MEMPOOL, Coin, Coins, Outpoint, new_coins, outpoint
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.sandbox.transaction_rules import check_transaction


class Mempool:
    """What was taken over the coins of a chain, and what of those is left."""

    def __init__(self, coins: Coins) -> None:
        self._coins = coins
        self._created: dict[Outpoint, Coin] = {}
        self._spender: dict[Outpoint, str] = {}
        self.transactions: dict[str, Transaction] = {}
        self.fees: dict[str, Swartz] = {}

    def coin_at(self, at: Outpoint) -> Coin | None:
        """The coin, confirmed or not, whether or not a transaction here spends it."""
        return self._coins.get(at) or self._created.get(at)

    def is_spent(self, at: Outpoint) -> bool:
        return at in self._spender

    def accept(self, transaction: Transaction, next_height: int) -> None:
        """Takes it in, or raises Rejected. What is here already is taken again without a word."""
        if transaction.txid in self.transactions:
            return
        if any(self.is_spent(outpoint(spent)) for spent in transaction.inputs):
            raise Rejected("txn-mempool-conflict")
        fee = check_transaction(transaction, self.coin_at, next_height)
        self.transactions[transaction.txid] = transaction
        self.fees[transaction.txid] = fee
        self._spender |= {outpoint(spent): transaction.txid for spent in transaction.inputs}
        self._created |= new_coins(transaction, IN_MEMPOOL, is_coinbase=False)

    def evict(self, txid: str) -> None:
        """Forgets it, and what spends its outputs. Raises Rejected if it is not here."""
        if txid not in self.transactions:
            raise Rejected(f"{txid} is not in the mempool")
        transaction = self.transactions.pop(txid)
        del self.fees[txid]
        for spent in transaction.inputs:
            del self._spender[outpoint(spent)]
        for at in new_coins(transaction, IN_MEMPOOL, is_coinbase=False):
            del self._created[at]
            if spender := self._spender.get(at):
                self.evict(spender)

    def rebuild(self, transactions: Iterable[Transaction], next_height: int) -> None:
        """Begins anew over the changed chain: those that do not fit any more (their coins are spent) are gone."""
        self._created.clear()
        self._spender.clear()
        self.transactions.clear()
        self.fees.clear()
        for transaction in transactions:
            try:
                self.accept(transaction, next_height)
            except Rejected:
                continue
