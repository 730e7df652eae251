"""The rules of doichain-core that a payer can break, with its reasons for a refusal.

Inputs exist, are unspent and mature; nothing is created out of nothing; every signature fits; a transaction of version
0x7100 has exactly one name output of at least 0.01 DOI and spends at most one, and any other has none, nor spends one;
a NAME_DOI spends the output of its name if that lives, and else none (`names.py`). Left out, because no payer for a pin
meets them: NAME_FIRSTUPDATE and NAME_UPDATE (they are refused), how a NAME_NEW is redeemed, locktimes, script kinds
other than p2pkh and p2wpkh, size and fee policy.
"""

from __future__ import annotations

from collections.abc import Callable

from pinning_worker.domain.chain.nameop import (
    LONGEST_NAME,
    LONGEST_VALUE,
    NAME_TX_VERSION,
    NameOp,
    parse_name_op,
)
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST
from pinning_worker.domain.chain.transaction import Transaction, TxOutput
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.coins import Coin, Outpoint, outpoint
from pinning_worker.sandbox.names import Names, check_ownership
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.sandbox.script_check import check_input

COINBASE_MATURITY = 100


def check_transaction(
    transaction: Transaction, coin_at: Callable[[Outpoint], Coin | None], names: Names, height: int
) -> Swartz:
    """Returns the network fee of a transaction that may stand in the block at `height`. Raises Rejected."""
    if not transaction.outputs:
        raise Rejected("bad-txns-vout-empty")
    coins = _spent_coins(transaction, coin_at)
    _check_names(transaction, coins, names, height)
    for coin in coins:
        if coin.is_coinbase and height - coin.height < COINBASE_MATURITY:
            raise Rejected(f"bad-txns-premature-spend-of-coinbase, depth {height - coin.height}")
    fee = Swartz.total(c.output.amount for c in coins) - Swartz.total(o.amount for o in transaction.outputs)
    if fee < Swartz(0):
        raise Rejected(f"bad-txns-in-belowout, {-fee.amount} swartz out of nothing")
    for index, coin in enumerate(coins):
        check_input(transaction, index, coin.output)
    return fee


def _spent_coins(transaction: Transaction, coin_at: Callable[[Outpoint], Coin | None]) -> list[Coin]:
    points = [outpoint(spent) for spent in transaction.inputs]
    if len(set(points)) != len(points):
        raise Rejected("bad-txns-inputs-duplicate")
    coins = [coin for coin in map(coin_at, points) if coin is not None]
    if len(coins) != len(points):
        raise Rejected("bad-txns-inputs-missingorspent")
    return coins


def _check_names(transaction: Transaction, coins: list[Coin], names: Names, height: int) -> None:
    spent = zip(map(outpoint, transaction.inputs), coins, strict=True)
    inputs = [(at, coin) for at, coin in spent if parse_name_op(coin.output.script)]
    outputs = [(output, op) for output in transaction.outputs if (op := parse_name_op(output.script))]
    if len(inputs) > 1:
        raise Rejected("tx-multiple-name-inputs")
    if len(outputs) > 1:
        raise Rejected("tx-multiple-name-outputs")
    if transaction.version == NAME_TX_VERSION:
        if not outputs:
            raise Rejected("tx-name-without-name-output")
        _check_name_output(*outputs[0])
        check_ownership(outputs[0][1], inputs[0] if inputs else None, names, height)
    elif inputs:
        raise Rejected("tx-nonname-with-name-input")
    elif outputs:
        raise Rejected("tx-nonname-with-name-output")


def _check_name_output(output: TxOutput, name_op: NameOp) -> None:
    if output.amount < DOICHAIN_REGTEST.least_name_amount:
        raise Rejected("tx-name-greedy")
    if len(name_op.name or b"") > LONGEST_NAME:
        raise Rejected("tx-name-invalid")
    if len(name_op.value or b"") > LONGEST_VALUE:
        raise Rejected("tx-value-invalid")
