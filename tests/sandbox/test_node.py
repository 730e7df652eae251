"""The node's rules: what it takes, what it refuses and why, and what a reorg does to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pinning_worker.domain.chain.anchor import start_chain
from pinning_worker.domain.chain.nameop import NAME_TX_VERSION, NameOpCode, name_doi_script, push, transaction_name_op
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput
from pinning_worker.domain.identities import NameBytes, Script
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.blocks import block_subsidy
from pinning_worker.sandbox.coins import Coin, Outpoint
from pinning_worker.sandbox.node import Node
from pinning_worker.sandbox.node_rpc import node_methods
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.sandbox.transaction_rules import COINBASE_MATURITY
from pinning_worker.sandbox.wallet import Payment, Wallet, browser_payment
from tests.mining import LATER

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
NOON = 1_800_000_000
MINER = Script(b"\x6a")
COIN = Swartz(100_000_000)


@pytest.fixture
def node() -> Node:
    """With a wallet's two coins in blocks 1 and 2, which are mature."""
    node = Node(clock=lambda: NOON)
    for _ in range(2):
        node.mine(Wallet(node).script())
    for _ in range(COINBASE_MATURITY):
        node.mine(MINER)
    return node


@pytest.fixture
def wallet(node: Node) -> Wallet:
    return Wallet(node)


def payment(wallet: Wallet, amount: int = 7_004_482) -> Payment:
    return browser_payment(wallet.address(), Swartz(amount), "art/1", CID)


# --- the payment


def test_the_payment_is_the_browsers(wallet: Wallet) -> None:
    shop = Wallet(wallet.node, seed=b"shop")
    tx = wallet.pay(browser_payment(shop.address("p2pkh"), Swartz(7_004_482), "art/1", CID))
    assert tx.version == NAME_TX_VERSION
    name, fee, change = tx.outputs
    found = transaction_name_op(tx)
    assert found is not None
    vout, name_op = found
    assert (vout, name_op.op, name_op.name, name_op.value) == (
        0,
        NameOpCode.NAME_DOI,
        b"art/1",
        f"ipfs://{CID}".encode(),
    )
    assert (name.amount, name_op.address_script) == (Swartz(1_000_000), wallet.script())
    assert fee == TxOutput(Swartz(7_004_482), shop.script("p2pkh"))
    network_fee = (1 + 3) * 180 + 102_000
    assert change == TxOutput(Swartz(block_subsidy(1) - 1_000_000 - 7_004_482 - network_fee), wallet.script())
    assert wallet.node.broadcast(tx.serialise()) == tx.txid


def test_a_large_payment_takes_several_coins(wallet: Wallet) -> None:
    tx = wallet.pay(payment(wallet, amount=60 * COIN.amount))
    assert len(tx.inputs) == 2
    wallet.node.broadcast(tx.serialise())
    with pytest.raises(Rejected, match="mine first"):
        wallet.pay(replace(payment(wallet), name=NameBytes(b"art/2")))


# --- what is refused

Breach = Callable[[Wallet], Transaction]
OUTPUT = TxOutput(COIN, Script(b"\x6a"))


def as_payment(**changed: object) -> Breach:
    return lambda wallet: wallet.pay(replace(payment(wallet), **changed))  # type: ignore[arg-type]  # any of its fields


def name_new(wallet: Wallet) -> bytes:
    return b"\x51" + push(b"h" * 20) + b"\x6d" + wallet.script()


def two_names(wallet: Wallet) -> Transaction:
    name = TxOutput(COIN, name_doi_script(NameBytes(b"art/2"), b"v", wallet.script()))
    return wallet.pay(replace(payment(wallet), fees=[name]))


def immature(wallet: Wallet) -> Transaction:
    wallet.node.mine(wallet.script())
    txid = wallet.node.blocks[-1].transactions[0].txid
    unsigned = Transaction(2, (TxInput(txid, 0),), (OUTPUT,))
    return wallet.double_spend(unsigned)


def spends_twice_within(wallet: Wallet) -> Transaction:
    tx = wallet.spend([OUTPUT])
    return replace(tx, inputs=tx.inputs * 2, witnesses=tx.witnesses * 2)


def out_of_nothing(wallet: Wallet) -> Transaction:
    tx = wallet.spend([OUTPUT])
    return replace(tx, outputs=(*tx.outputs, TxOutput(COIN, Script(b"\x6a"))))


def spends_nothing_there(wallet: Wallet) -> Transaction:
    tx = wallet.spend([OUTPUT])
    return replace(tx, inputs=(replace(tx.inputs[0], prev_index=7),))


def registered(wallet: Wallet, name: NameBytes) -> tuple[Outpoint, Coin]:
    """The name's output, in a block."""
    at = wallet.node.broadcast(wallet.pay(replace(payment(wallet), name=name)).serialise()), 0
    wallet.node.mine(MINER)
    coin = wallet.node.coins.get(at)
    assert coin is not None
    return at, coin


def a_name_spent_as_money(wallet: Wallet) -> Transaction:
    return wallet.spend([OUTPUT], first=[registered(wallet, NameBytes(b"art/1"))])


def two_names_spent(wallet: Wallet) -> Transaction:
    return wallet.spend([OUTPUT], first=[registered(wallet, NameBytes(name)) for name in (b"art/1", b"art/2")])


BREACHES: dict[str, tuple[Breach, str]] = {
    "a name in a plain transaction": (as_payment(version=2), "tx-nonname-with-name-output"),
    "a name transaction without a name": (
        lambda wallet: wallet.spend([OUTPUT], NAME_TX_VERSION),
        "tx-name-without-name-output",
    ),
    "two names": (two_names, "tx-multiple-name-outputs"),
    "too little in the name": (as_payment(name_amount=Swartz(999_999)), "tx-name-greedy"),
    "a name too long": (as_payment(name=b"n" * 256), "tx-name-invalid"),
    "a value too long": (as_payment(value=b"v" * 1024), "tx-value-invalid"),
    "a name spent as money": (a_name_spent_as_money, "tx-nonname-with-name-input"),
    "two names spent": (two_names_spent, "tx-multiple-name-inputs"),
    "a young coinbase": (immature, "premature-spend-of-coinbase"),
    "a coin twice": (spends_twice_within, "inputs-duplicate"),
    "more out than in": (out_of_nothing, "in-belowout"),
    "a coin that is not there": (spends_nothing_there, "missingorspent"),
    "no outputs": (lambda wallet: replace(wallet.spend([OUTPUT]), outputs=()), "vout-empty"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_refused(breach: str, wallet: Wallet) -> None:
    make, reason = BREACHES[breach]
    tx = make(wallet)
    with pytest.raises(Rejected, match=reason):
        wallet.node.broadcast(tx.serialise())
    assert wallet.node.mempool.transactions == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"name_amount": Swartz(1_000_000)},
        {"name": b"n" * 255, "value": b"v" * 1023},
        {"name": b"", "value": b""},
        {"name": b"d/example"},
        {"fees": [TxOutput(Swartz(at), Script(b"\x00\x20" + bytes(32))) for at in range(5)]},
    ],
)
def test_what_is_just_allowed_is_taken(changed: dict[str, object], wallet: Wallet) -> None:
    wallet.node.broadcast(as_payment(**changed)(wallet).serialise())


def test_a_name_new_needs_no_name(wallet: Wallet) -> None:
    wallet.node.broadcast(wallet.pay(replace(payment(wallet), name_script=Script(name_new(wallet)))).serialise())


@pytest.mark.parametrize("raw", [b"", b"\x00" * 100])
def test_garbage_is_refused(raw: bytes, node: Node) -> None:
    with pytest.raises(Rejected, match="decode failed"):
        node.broadcast(raw)


def test_a_coinbase_ripens_after_a_hundred_blocks() -> None:
    node = Node(clock=lambda: NOON)
    wallet = Wallet(node)
    node.mine(wallet.script())
    early = wallet.double_spend(Transaction(2, (TxInput(node.blocks[1].transactions[0].txid, 0),), (OUTPUT,)))
    for _ in range(98):
        node.mine(MINER)
    with pytest.raises(Rejected, match="depth 99"):
        node.broadcast(early.serialise())
    assert wallet.balance() == Swartz(0)
    node.mine(MINER)
    assert wallet.balance() == Swartz(block_subsidy(1))
    node.broadcast(early.serialise())


# --- mempool, blocks and reorgs


def test_a_coin_is_spent_once(wallet: Wallet) -> None:
    node, first = wallet.node, wallet.spend([OUTPUT])
    second = wallet.double_spend(first)
    node.broadcast(first.serialise())
    node.broadcast(first.serialise())  # again is no second time
    with pytest.raises(Rejected, match="txn-mempool-conflict"):
        node.broadcast(second.serialise())
    node.mine(MINER)
    with pytest.raises(Rejected, match="missingorspent"):
        node.broadcast(second.serialise())
    with pytest.raises(Rejected, match="already in block chain"):
        node.broadcast(first.serialise())


def test_fees_go_to_the_miner_and_nothing_comes_from_nowhere(wallet: Wallet) -> None:
    node = wallet.node
    node.broadcast(wallet.pay(payment(wallet)).serialise())
    node.mine(MINER)
    assert node.blocks[-1].transactions[0].outputs[0].amount == Swartz(block_subsidy(103) + (1 + 3) * 180 + 102_000)
    created = sum(block_subsidy(height) for height in range(1, node.height + 1))
    assert sum(coin.output.amount.amount for _, coin in node.coins.items()) == created


def test_a_chain_of_unconfirmed_transactions_is_mined_in_order_and_evicted_together(wallet: Wallet) -> None:
    node, first = wallet.node, wallet.spend([OUTPUT])
    node.broadcast(first.serialise())
    change = Transaction(2, (TxInput(first.txid, 1),), (OUTPUT,))
    second = wallet.double_spend(change)
    node.broadcast(second.serialise())
    node.evict(first.txid)
    assert node.mempool.transactions == {}
    node.broadcast(first.serialise())
    node.broadcast(second.serialise())
    node.mine(MINER)
    assert [tx.txid for tx in node.blocks[-1].transactions[1:]] == [first.txid, second.txid]


def test_a_reorg_gives_transactions_and_coins_back(wallet: Wallet) -> None:
    node = wallet.node
    before = dict(node.coins.items())
    tx = wallet.pay(payment(wallet))
    node.broadcast(tx.serialise())
    node.mine(MINER)
    node.mine(MINER)
    node.invalidate(node.height - 1)
    assert dict(node.coins.items()) == before
    assert list(node.mempool.transactions) == [tx.txid]
    assert node.transaction(tx.txid) == (None, tx)
    node.mine(MINER)
    assert node.transaction(tx.txid) == (node.height, tx)


def test_a_block_of_the_other_branch_can_hold_the_double_spend(wallet: Wallet) -> None:
    node, paid = wallet.node, wallet.pay(payment(wallet))
    stolen_back = wallet.double_spend(paid)
    node.broadcast(paid.serialise())
    node.mine(MINER)
    node.invalidate(node.height)
    node.mine_exactly([stolen_back], MINER)
    assert node.mempool.transactions == {}
    with pytest.raises(Rejected, match="No such"):
        node.transaction(paid.txid)


def test_transactions_that_lose_their_coinbase_in_a_reorg_are_gone(wallet: Wallet) -> None:
    node, tx = wallet.node, wallet.spend([OUTPUT])
    node.broadcast(tx.serialise())
    node.invalidate(1)
    assert (node.height, node.mempool.transactions) == (0, {})


def test_header_times_follow_the_clock_and_never_the_median(node: Node) -> None:
    before = node.median_time
    node.clock_offset = 20_000_000
    node.mine(MINER)
    assert node.blocks[-1].time == NOON + 20_000_000
    assert node.median_time <= before + 1
    node.clock_offset = 0
    for _ in range(20):
        median = node.median_time
        node.mine(MINER)
        assert node.blocks[-1].time == max(NOON, median + 1)
    node.clock_offset = 20_000_000
    for _ in range(6):
        node.mine(MINER)
    assert node.median_time >= NOON + 20_000_000


def test_a_verifier_takes_every_header_plain_and_merge_mined(node: Node) -> None:
    """The worker's own verifier, which was written by the specification, judges what is mined here."""
    for at in range(12):
        node.mine(MINER, auxpow=at % 3 > 0)
    chain = start_chain(DOICHAIN_REGTEST, node.blocks[0].header)
    branch = chain.branch(0)
    branch.extend(b"".join(block.header + block.auxpow for block in node.blocks[1:]), now=LATER)
    chain.adopt(branch)
    assert (chain.tip_height, chain.hash_at(node.height)) == (node.height, node.blocks[-1].block_hash)


def test_the_verbose_transaction_tells_names_and_confirmations(wallet: Wallet) -> None:
    methods = node_methods(wallet.node)
    txid = methods["sendrawtransaction"](wallet.pay(payment(wallet)).serialise().hex())
    assert "confirmations" not in methods["getrawtransaction"](txid, 1)
    wallet.node.mine(MINER)
    wallet.node.mine(MINER)
    told = methods["getrawtransaction"](txid, 1)
    assert (told["confirmations"], told["blockhash"]) == (2, wallet.node.blocks[-2].block_hash)
    assert told["vout"][0]["scriptPubKey"]["nameOp"] == {"op": "name_doi", "name": "art/1", "value": f"ipfs://{CID}"}
    assert told["vout"][1]["scriptPubKey"]["addresses"] == [wallet.address()]
