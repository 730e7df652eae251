"""The coins of a chain: its unspent outputs. Blocks are applied, and taken back in reverse order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput
from pinning_worker.domain.identities import Txid

Outpoint = tuple[Txid, int]
"""(txid, output index)"""

IN_MEMPOOL = -1


@dataclass(frozen=True, slots=True)
class Coin:
    """An output that can be spent; `height` is that of its block, or IN_MEMPOOL."""

    output: TxOutput
    height: int
    is_coinbase: bool


def outpoint(spent: TxInput) -> Outpoint:
    return spent.prev_txid, spent.prev_index


def new_coins(transaction: Transaction, height: int, *, is_coinbase: bool) -> dict[Outpoint, Coin]:
    return {
        (transaction.txid, vout): Coin(output, height, is_coinbase) for vout, output in enumerate(transaction.outputs)
    }


class Coins:
    """The unspent outputs at the tip, and the coins that each block above genesis has spent."""

    def __init__(self) -> None:
        self._unspent: dict[Outpoint, Coin] = {}
        self._spent_by_block: list[dict[Outpoint, Coin]] = []

    def get(self, at: Outpoint) -> Coin | None:
        return self._unspent.get(at)

    def items(self) -> Iterable[tuple[Outpoint, Coin]]:
        return self._unspent.items()

    def apply(self, transactions: Iterable[Transaction], height: int) -> None:
        """Applies the next block's transactions, the coinbase first. They are checked already: KeyError is a bug."""
        spent: dict[Outpoint, Coin] = {}
        for place, transaction in enumerate(transactions):
            if place > 0:
                spent |= {outpoint(each): self._unspent.pop(outpoint(each)) for each in transaction.inputs}
            self._unspent |= new_coins(transaction, height, is_coinbase=place == 0)
        self._spent_by_block.append(spent)

    def take_back(self, transactions: Iterable[Transaction]) -> None:
        """Takes back the last applied block, given the same transactions."""
        self._unspent |= self._spent_by_block.pop()
        for transaction in transactions:
            for vout in range(len(transaction.outputs)):
                self._unspent.pop((transaction.txid, vout), None)  # spent in its own block: restored, now removed
