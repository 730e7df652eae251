"""The regtest node: one chain, one mempool, and a clock that can be moved.

Everything happens at once and in order: no call awaits, so every caller in between sees a whole state. Only the node's
own blocks come onto its chain, each made of checked transactions. `transaction_rules.py` holds the rules.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import median_high

from pinning_worker.domain.chain.transaction import BadTransaction, Transaction, TxOutput, parse_transaction
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.blocks import Block, block_subsidy, coinbase_transaction, genesis_block, mine_block
from pinning_worker.sandbox.coins import Coin, Coins, Outpoint
from pinning_worker.sandbox.mempool import Mempool
from pinning_worker.sandbox.names import Names
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.sandbox.transaction_rules import COINBASE_MATURITY

MEDIAN_SPAN = 11


class Node:
    """`clock` gives seconds since 1970; headers carry it, plus `clock_offset`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.clock_offset = 0
        self.coins = Coins()
        self.names = Names()
        self.mempool = Mempool(self.coins, self.names)
        self.blocks: list[Block] = []
        self._height_of_block: dict[str, int] = {}
        self._height_of_transaction: dict[Txid, int] = {}
        genesis = genesis_block()
        self.blocks.append(genesis)  # its coinbase is not spendable: it never enters the coins
        self._height_of_block[genesis.block_hash] = 0
        self._height_of_transaction[genesis.transactions[0].txid] = 0

    # --- state

    @property
    def height(self) -> int:
        return len(self.blocks) - 1

    @property
    def median_time(self) -> int:
        """The median time of the last 11 headers; the next header's time must be above it."""
        return median_high(block.time for block in self.blocks[-MEDIAN_SPAN:])

    def block(self, block_hash: str) -> tuple[int, Block]:
        """(height, block) of a block on the chain. Raises Rejected."""
        height = self._height_of_block.get(block_hash)
        if height is None:
            raise Rejected("Block not found")
        return height, self.blocks[height]

    def transaction(self, txid: Txid) -> tuple[int | None, Transaction]:
        """(height, or None while unconfirmed; transaction). Raises Rejected."""
        if waiting := self.mempool.transactions.get(txid):
            return None, waiting
        height = self._height_of_transaction.get(txid)
        if height is None:
            raise Rejected("No such mempool or blockchain transaction")
        return height, next(tx for tx in self.blocks[height].transactions if tx.txid == txid)

    def spendable(self, script: Script) -> list[tuple[Outpoint, Coin]]:
        """The confirmed, mature coins of a script that no transaction in the mempool spends, the oldest first."""
        own = [(at, coin) for at, coin in self.coins.items() if coin.output.script == script]
        ripe = [(at, coin) for at, coin in own if not coin.is_coinbase or self._is_mature(coin)]
        return sorted((each for each in ripe if not self.mempool.is_spent(each[0])), key=lambda each: each[1].height)

    def _is_mature(self, coin: Coin) -> bool:
        return self.height + 1 - coin.height >= COINBASE_MATURITY

    # --- changes

    def broadcast(self, raw: bytes) -> Txid:
        """Adds a transaction to the mempool, and returns its txid. Raises Rejected."""
        try:
            transaction = parse_transaction(raw)
        except BadTransaction as error:
            raise Rejected(f"TX decode failed: {error}") from error
        if transaction.txid in self._height_of_transaction:
            raise Rejected("Transaction already in block chain")
        self.mempool.accept(transaction, self.height + 1)
        return transaction.txid

    def mine(
        self,
        pay_to: Script,
        transactions: Collection[Txid] | None = None,
        *,
        auxpow: bool = False,
        at_time: int | None = None,
    ) -> str:
        """Mines a block of the mempool's transactions, all of them or only these txids, and returns its hash. The
        script `pay_to` gets the reward. Raises Rejected if the chosen transactions depend on others."""
        waiting = self.mempool.transactions.values()
        chosen = [tx for tx in waiting if transactions is None or tx.txid in transactions]
        return self._append(chosen, pay_to, auxpow=auxpow, at_time=at_time)

    def mine_exactly(self, transactions: Sequence[Transaction], pay_to: Script, *, auxpow: bool = False) -> str:
        """Mines a block of transactions that need not have been in the mempool, and returns its hash. The mempool drops
        all that conflict with them. Raises Rejected."""
        return self._append(transactions, pay_to, auxpow=auxpow, at_time=None)

    def invalidate(self, height: int) -> None:
        """Takes the blocks from `height` up off the chain. Their transactions return to the mempool."""
        if not 0 < height <= self.height:
            raise Rejected("Block height out of range")
        returned: list[Transaction] = []
        while self.height >= height:
            block = self.blocks.pop()
            self.coins.take_back(block.transactions)
            self.names.take_back()
            self._height_of_block.pop(block.block_hash)
            for transaction in block.transactions:
                self._height_of_transaction.pop(transaction.txid)
            returned = [*block.transactions[1:], *returned]
        self._refill_mempool(returned)

    def evict(self, txid: Txid) -> None:
        """Drops a transaction, and those that build on it, from the mempool. Raises Rejected."""
        self.mempool.evict(txid)

    def _append(self, chosen: Sequence[Transaction], pay_to: Script, *, auxpow: bool, at_time: int | None) -> str:
        height = self.height + 1
        reward = Swartz(block_subsidy(height)) + self._check_block(chosen, height)
        coinbase = coinbase_transaction(height, TxOutput(reward, pay_to))
        previous = self.blocks[-1].block_hash
        block = mine_block(previous, self._next_time(at_time), [coinbase, *chosen], auxpow=auxpow)
        self.blocks.append(block)
        self.coins.apply(block.transactions, height)
        self.names.apply(block.transactions, height)
        self._height_of_block[block.block_hash] = height
        self._height_of_transaction |= dict.fromkeys((tx.txid for tx in block.transactions), height)
        self._refill_mempool(())
        return block.block_hash

    def _check_block(self, chosen: Iterable[Transaction], height: int) -> Swartz:
        """Returns the fees, if the transactions can follow one another in the block at `height`. Raises Rejected."""
        names = self.names.copy()
        only = Mempool(self.coins, names)
        for transaction in chosen:
            only.accept(transaction, height)
            names.note(transaction, height)
        return Swartz.total(only.fees.values())

    def _next_time(self, at_time: int | None) -> int:
        wanted = int(self._clock()) + self.clock_offset if at_time is None else at_time
        return max(wanted, self.median_time + 1)

    def _refill_mempool(self, returned: Iterable[Transaction]) -> None:
        self.mempool.rebuild([*returned, *self.mempool.transactions.values()], self.height + 1)
