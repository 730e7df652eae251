"""A wallet for the sandbox: keys, and the transactions that a browser or a prankster would make, really signed.

The payment is the deployed browser's (docs/protocol.md): version 0x7100; output 0 the NAME_DOI with 1 000 000 swartz
and the value `ipfs://<cid>`; output 1 the fee; output 2 the change; network fee (inputs + outputs) x 180 + 102 000. A
payment under a name that lives spends that name's output as its first input, and its money with it. `Payment` holds the
fields that tests may vary. Keys follow from a seed: the sandbox's money is worth nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from coincurve import PrivateKey

from pinning_worker.domain.chain.address import address_to_script, p2pkh_script, script_to_address, witness_script
from pinning_worker.domain.chain.nameop import NAME_TX_VERSION, name_doi_script, parse_name_op, push
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput
from pinning_worker.domain.identities import NameBytes, Script
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.coins import Coin, Outpoint, outpoint
from pinning_worker.sandbox.node import Node
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.sandbox.script_check import P2WPKH_START, hash160, owner_script
from pinning_worker.sandbox.sighash import SIGHASH_ALL, legacy_sighash, witness_sighash

Kind = Literal["p2wpkh", "p2pkh"]

NAME_AMOUNT = Swartz(1_000_000)
_FEE_PER_PUT = 180
_BASE_FEE = 102_000
_CHANGE_OUTPUTS = 1


@dataclass(frozen=True)
class Key:
    """A private key and the two output scripts that it can spend."""

    secret: PrivateKey

    @property
    def public(self) -> bytes:
        """33 bytes, compressed."""
        return bytes(self.secret.public_key.format())

    def script(self, kind: Kind) -> Script:
        key_hash = hash160(self.public)
        return p2pkh_script(key_hash) if kind == "p2pkh" else witness_script(0, key_hash)

    def sign(self, message_hash: bytes) -> bytes:
        """A DER signature with its sighash byte."""
        return bytes(self.secret.sign(message_hash, hasher=None)) + bytes((SIGHASH_ALL,))


@dataclass(frozen=True)
class Payment:
    """The content of a payment. `name_script`, if set, replaces the NAME_DOI; `owner` owns the name (an output script;
    the wallet's own by default); `fees` are the outputs after it, usually one."""

    name: NameBytes
    value: bytes
    fees: Sequence[TxOutput]
    owner: Script | None = None
    name_script: Script | None = None
    name_amount: Swartz = NAME_AMOUNT
    version: int = NAME_TX_VERSION


def browser_payment(address: str, amount: Swartz, name: str, cid: str) -> Payment:
    """The payment that the deployed browser makes for a quote. Raises BadAddress."""
    fee = TxOutput(amount, address_to_script(address, DOICHAIN_REGTEST))
    return Payment(NameBytes(name.encode()), f"ipfs://{cid}".encode(), [fee])


@dataclass(frozen=True)
class Wallet:
    """One key, known to the node under its p2wpkh and its p2pkh script."""

    node: Node
    seed: bytes = b"sandbox"
    key: Key = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", Key(PrivateKey(hashlib.sha256(self.seed).digest())))

    def script(self, kind: Kind = "p2wpkh") -> Script:
        return self.key.script(kind)

    def address(self, kind: Kind = "p2wpkh") -> str:
        address = script_to_address(self.script(kind), DOICHAIN_REGTEST)
        assert address is not None
        return address

    def balance(self) -> Swartz:
        """The spendable amount: confirmed, mature, and not spent in the mempool."""
        return Swartz.total(
            coin.output.amount for kind in ("p2wpkh", "p2pkh") for _, coin in self.node.spendable(self.script(kind))
        )

    def pay(self, payment: Payment, kind: Kind = "p2wpkh") -> Transaction:
        """Returns the signed transaction, unsent. Raises Rejected if the coins of that kind do not suffice, if somebody
        else owns the name, or if an operation of it is unconfirmed."""
        owner = payment.owner or self.script(kind)
        name_script = payment.name_script or name_doi_script(payment.name, payment.value, owner)
        outputs = [TxOutput(payment.name_amount, name_script), *payment.fees]
        return self.spend(outputs, payment.version, kind, self._name_coins(name_script))

    def spend(
        self,
        outputs: Sequence[TxOutput],
        version: int = 2,
        kind: Kind = "p2wpkh",
        first: Sequence[tuple[Outpoint, Coin]] = (),
    ) -> Transaction:
        """Returns a signed transaction with these outputs and the change as the last one. It spends the coins `first`,
        and as many of the wallet's as it needs besides. Raises Rejected."""
        needed = Swartz.total(output.amount for output in outputs)
        coins, more = list(first), self.node.spendable(self.script(kind))
        while True:
            change = _total(coins) - needed - browser_fee(len(coins), len(outputs) + _CHANGE_OUTPUTS)
            if change > Swartz(0):
                return self._signed(coins, [*outputs, TxOutput(change, self.script(kind))], version)
            if not more:
                own = _total(coins[len(first) :])
                raise Rejected(f"the wallet has {own} in {kind} coins that can be spent now: mine first")
            coins.append(more.pop(0))

    def double_spend(self, transaction: Transaction) -> Transaction:
        """Returns another transaction of the same coins, which gives them all back to the wallet. A name stays where it
        was: it is no money."""
        coins: list[tuple[Outpoint, Coin]] = []
        for spent in transaction.inputs:
            coin = self.node.mempool.coin_at(outpoint(spent))
            if coin is None:
                raise Rejected("its coins are spent for good: take its block off the chain first")
            if parse_name_op(coin.output.script) is None:
                coins.append((outpoint(spent), coin))
        if not coins:
            raise Rejected("it spends a name and no coins: a name cannot go back by a plain transaction")
        change = _total(coins) - browser_fee(len(coins), _CHANGE_OUTPUTS)
        return self._signed(coins, [TxOutput(change, self.script())], version=2)

    def _name_coins(self, name_script: Script) -> list[tuple[Outpoint, Coin]]:
        """The output of a living name, which a payment with this name output must spend."""
        name_op = parse_name_op(name_script)
        if name_op is None or name_op.name is None:
            return []
        text = name_op.name.decode(errors="backslashreplace")
        if self.node.mempool.waits(name_op.name):
            raise Rejected(f"what was last done to the name {text} waits in the mempool: wait for its block")
        record = self.node.names.living(name_op.name, self.node.height + 1)
        if record is None:
            return []
        coin = self.node.coins.get(record.at)
        assert coin is not None, "nothing can spend a name's output but the name's next operation"
        if owner_script(coin.output.script) not in (self.script("p2wpkh"), self.script("p2pkh")):
            raise Rejected(f"the name {text} is somebody else's until block {record.free_from}")
        return [(record.at, coin)]

    def _signed(self, coins: Sequence[tuple[Outpoint, Coin]], outputs: Sequence[TxOutput], version: int) -> Transaction:
        inputs = tuple(TxInput(txid, vout) for (txid, vout), _ in coins)
        unsigned = Transaction(version, inputs, tuple(outputs))
        return sign(unsigned, [coin.output for _, coin in coins], self.key)


def browser_fee(inputs: int, outputs: int) -> Swartz:
    """The network fee that the browser leaves."""
    return Swartz((inputs + outputs) * _FEE_PER_PUT + _BASE_FEE)


def sign(unsigned: Transaction, spent: Sequence[TxOutput], key: Key) -> Transaction:
    """Adds a signature of `key` to each input. `spent` are the outputs that they spend, p2pkh or p2wpkh. The node
    decides whether the key owns them."""
    witnesses: list[tuple[bytes, ...]] = []
    inputs: list[TxInput] = []
    for index, (each, output) in enumerate(zip(unsigned.inputs, spent, strict=True)):
        owner = owner_script(output.script)
        if owner[:2] == P2WPKH_START:
            script_code = p2pkh_script(owner[2:])
            signature = key.sign(witness_sighash(unsigned, index, script_code, output.amount))
            inputs.append(each)
            witnesses.append((signature, key.public))
        else:
            signature = key.sign(legacy_sighash(unsigned, index, output.script))
            inputs.append(replace(each, script=push(signature) + push(key.public)))
            witnesses.append(())
    return replace(unsigned, inputs=tuple(inputs), witnesses=tuple(witnesses) if any(witnesses) else ())


def _total(coins: Sequence[tuple[Outpoint, Coin]]) -> Swartz:
    return Swartz.total(coin.output.amount for _, coin in coins)
