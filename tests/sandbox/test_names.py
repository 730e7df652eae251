"""The owner of a name publishes under it, and must spend it: in the mempool, in blocks, and after a reorg."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pinning_worker.domain.chain.nameop import NAME_TX_VERSION, NameOpCode, name_doi_script, parse_name_op, push
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput
from pinning_worker.domain.identities import NameBytes, Script
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.coins import Coin, Outpoint
from pinning_worker.sandbox.node import Node
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.sandbox.transaction_rules import COINBASE_MATURITY
from pinning_worker.sandbox.wallet import Kind, Payment, Wallet, browser_fee, sign

NAME, OTHER = NameBytes(b"art/1"), NameBytes(b"art/2")
MINER = Script(b"\x6a")
LIFE = DOICHAIN_REGTEST.name_life
NAME_AMOUNT = Swartz(1_000_000)
NameCoin = tuple[Outpoint, Coin]


@pytest.fixture
def node() -> Node:
    """On which alice and bob have two coins of each kind, which are mature."""
    node = Node(clock=lambda: 1_800_000_000)
    for wallet in (Wallet(node, b"alice"), Wallet(node, b"bob")) * 2:
        for script in both_scripts(wallet):
            node.mine(script)
    mine(node, COINBASE_MATURITY)
    return node


@pytest.fixture
def alice(node: Node) -> Wallet:
    return Wallet(node, b"alice")


@pytest.fixture
def bob(node: Node) -> Wallet:
    return Wallet(node, b"bob")


def both_scripts(wallet: Wallet) -> list[Script]:
    return [wallet.script("p2wpkh"), wallet.script("p2pkh")]


def mine(node: Node, blocks: int = 1) -> None:
    for _ in range(blocks):
        node.mine(MINER)


def send(node: Node, transaction: Transaction) -> Transaction:
    node.broadcast(transaction.serialise())
    return transaction


def refuse(node: Node, transaction: Transaction, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        node.broadcast(transaction.serialise())


def name_coin(transaction: Transaction, height: int = 0) -> NameCoin:
    return (transaction.txid, 0), Coin(transaction.outputs[0], height, is_coinbase=False)


def publish(wallet: Wallet, *spends: NameCoin, name: NameBytes = NAME, value: bytes = b"ipfs://x") -> Transaction:
    """A NAME_DOI that spends these name outputs, whatever the rules and this wallet think of it."""
    output = TxOutput(NAME_AMOUNT, name_doi_script(name, value, wallet.script()))
    return wallet.spend([output], NAME_TX_VERSION, first=spends)


def pay(wallet: Wallet, kind: Kind = "p2wpkh", *, name: NameBytes = NAME, value: bytes = b"ipfs://x") -> Transaction:
    """The wallet's own payment under a name."""
    return wallet.pay(Payment(name, value, [TxOutput(Swartz(7_004_482), MINER)]), kind)


def register(wallet: Wallet, name: NameBytes = NAME) -> Transaction:
    """The name is the wallet's, since the newest block."""
    transaction = send(wallet.node, publish(wallet, name=name))
    mine(wallet.node)
    return transaction


# --- the rule, in the mempool


def test_a_name_that_lives_is_published_by_spending_its_output(node: Node, alice: Wallet) -> None:
    first = register(alice)
    refuse(node, publish(alice), "tx-namedoi-existing-without-input")
    second = send(node, publish(alice, name_coin(first)))
    mine(node)
    refuse(node, publish(alice, name_coin(first)), "bad-txns-inputs-missingorspent")
    send(node, publish(alice, name_coin(second)))


def test_a_free_name_is_published_by_spending_no_name(node: Node, alice: Wallet) -> None:
    other = register(alice, OTHER)
    refuse(node, publish(alice, name_coin(other)), "tx-namedoi-freename-with-input")
    send(node, publish(alice))


def test_the_name_spent_must_be_the_same(node: Node, alice: Wallet) -> None:
    register(alice)
    other = register(alice, OTHER)
    refuse(node, publish(alice, name_coin(other)), "tx-namedoi-name-mismatch")


def test_only_its_owner_publishes_under_a_name(node: Node, alice: Wallet, bob: Wallet) -> None:
    name = name_coin(register(alice))
    refuse(node, publish(bob, name), "mandatory-script-verify-flag-failed")
    given = TxOutput(NAME_AMOUNT, name_doi_script(NAME, b"yours", bob.script("p2pkh")))
    gift = send(node, alice.spend([given], NAME_TX_VERSION, first=[name]))
    mine(node)
    refuse(node, publish(alice, name_coin(gift)), "mandatory-script-verify-flag-failed")
    send(node, publish(bob, name_coin(gift)))


def test_a_name_lives_for_thirty_blocks(node: Node, alice: Wallet, bob: Wallet) -> None:
    first = register(alice)
    mine(node, LIFE - 2)
    refuse(node, publish(bob), f"existing-without-input .the name lives until block {node.height + 2}")
    send(node, publish(alice, name_coin(first)))  # in time, and not mined in time
    node.mine(MINER, transactions=())
    assert node.mempool.transactions == {}, "its name has expired"
    refuse(node, publish(alice, name_coin(first)), "tx-namedoi-freename-with-input")
    send(node, publish(bob))


def test_a_renewal_begins_the_life_of_a_name_anew(node: Node, alice: Wallet, bob: Wallet) -> None:
    first = register(alice)
    mine(node, LIFE - 2)
    second = send(node, publish(alice, name_coin(first)))
    mine(node, LIFE - 1)
    refuse(node, publish(bob), "tx-namedoi-existing-without-input")
    send(node, publish(alice, name_coin(second)))


def test_an_output_of_an_earlier_life_gives_no_right(node: Node, alice: Wallet, bob: Wallet) -> None:
    old = register(alice)
    mine(node, LIFE)
    register(bob)
    refuse(node, publish(alice, name_coin(old)), "tx-namedoi-old-input")


def test_nothing_is_published_on_top_of_a_registration_that_waits(node: Node, alice: Wallet) -> None:
    waiting = send(node, publish(alice))
    refuse(node, publish(alice, name_coin(waiting)), "tx-namedoi-freename-with-input")
    mine(node)
    send(node, publish(alice, name_coin(waiting)))


def test_a_name_is_registered_once_in_the_mempool(node: Node, alice: Wallet, bob: Wallet) -> None:
    waiting = send(node, publish(alice))
    send(node, waiting)  # again is no second time
    refuse(node, publish(bob), "txn-mempool-name-error")
    send(node, publish(bob, name=OTHER))
    node.evict(waiting.txid)
    send(node, publish(bob))


def test_a_renewal_on_top_of_a_renewal_that_waits(node: Node, alice: Wallet) -> None:
    first = register(alice)
    second = send(node, publish(alice, name_coin(first)))
    third = send(node, publish(alice, name_coin(second)))
    mine(node)
    assert node.blocks[-1].transactions[1:] == (second, third)
    assert [record.at for record in [node.names.living(NAME, node.height + 1)] if record] == [(third.txid, 0)]


@pytest.mark.parametrize("name", [b"", b" ", "né\U0001f40b".encode(), b"\xff\x00", b"n" * 255, b"d/example"])
def test_every_name_has_an_owner(name: NameBytes, node: Node, alice: Wallet, bob: Wallet) -> None:
    first = send(node, pay(alice, name=name))
    refuse(node, publish(bob, name=name), "txn-mempool-name-error")
    mine(node)
    refuse(node, publish(bob, name=name), "tx-namedoi-existing-without-input")
    assert send(node, pay(alice, name=name)).inputs[0].prev_txid == first.txid


def test_a_name_new_is_no_way_around(node: Node, alice: Wallet) -> None:
    name = name_coin(register(alice))
    name_new = TxOutput(NAME_AMOUNT, Script(b"\x51" + push(b"h" * 20) + b"\x6d" + alice.script()))
    refuse(node, alice.spend([name_new], NAME_TX_VERSION, first=[name]), "tx-namenew-with-name-input")
    ticket = name_coin(send(node, alice.spend([name_new], NAME_TX_VERSION)))
    mine(node)
    refuse(node, publish(alice, ticket), "tx-namedoi-name-mismatch")
    refuse(node, publish(alice, ticket, name=OTHER), "tx-namedoi-freename-with-input")


@pytest.mark.parametrize("op", [NameOpCode.NAME_FIRSTUPDATE, NameOpCode.NAME_UPDATE])
def test_what_the_sandbox_leaves_out_is_refused(op: NameOpCode, node: Node, alice: Wallet) -> None:
    name = name_coin(register(alice))
    arguments = push(NAME) + push(b"r") * (op is NameOpCode.NAME_FIRSTUPDATE) + push(b"v")
    script = Script(bytes((op.value,)) + arguments + b"\x6d\x75" + alice.script())
    taken = alice.spend([TxOutput(NAME_AMOUNT, script)], NAME_TX_VERSION, first=[name])
    refuse(node, taken, f"the sandbox takes no {op.name}")


# --- in blocks


def test_a_block_registers_and_renews_in_order(node: Node, alice: Wallet) -> None:
    first = publish(alice)
    second = sign_again(alice, first, name_coin(first))
    with pytest.raises(Rejected, match="missingorspent"):
        node.mine_exactly([second, first], MINER)
    node.mine_exactly([first, second], MINER)
    record = node.names.living(NAME, node.height + 1)
    assert record is not None
    assert (record.at, record.height) == ((second.txid, 0), node.height)


def sign_again(wallet: Wallet, before: Transaction, name: NameCoin) -> Transaction:
    """A renewal with the change of the transaction before it."""
    change = before.outputs[1]
    inputs = (TxInput(*name[0]), TxInput(before.txid, 1))
    left = change.amount - browser_fee(2, 2)
    outputs = (TxOutput(NAME_AMOUNT, name_doi_script(NAME, b"again", wallet.script())), replace(change, amount=left))
    return sign(Transaction(NAME_TX_VERSION, inputs, outputs), [name[1].output, change], wallet.key)


def test_no_block_registers_a_name_twice(node: Node, alice: Wallet, bob: Wallet) -> None:
    before = node.height
    with pytest.raises(Rejected, match="tx-namedoi-existing-without-input"):
        node.mine_exactly([publish(alice), publish(bob)], MINER)
    assert (node.height, node.names.living(NAME, before + 1)) == (before, None), "what was tried has left nothing"


def test_the_block_that_registers_a_name_ends_the_hopes_of_another(node: Node, alice: Wallet, bob: Wallet) -> None:
    send(node, publish(alice))
    node.mine_exactly([publish(bob)], MINER)
    assert node.mempool.transactions == {}


def test_a_name_is_free_in_the_very_block_in_which_it_expires(node: Node, alice: Wallet, bob: Wallet) -> None:
    first, by_bob = register(alice), publish(bob)
    mine(node, LIFE - 2)
    with pytest.raises(Rejected, match="tx-namedoi-existing-without-input"):
        node.mine_exactly([by_bob], MINER)
    mine(node)
    with pytest.raises(Rejected, match="tx-namedoi-freename-with-input"):
        node.mine_exactly([publish(alice, name_coin(first))], MINER)
    node.mine_exactly([by_bob], MINER)


# --- in a reorg


def test_a_reorg_of_a_registration_frees_the_name(node: Node, alice: Wallet, bob: Wallet) -> None:
    first = register(alice)
    second = send(node, publish(alice, name_coin(first)))
    mine(node)
    node.invalidate(node.height - 1)
    assert list(node.mempool.transactions) == [first.txid], "what builds on the registration is refused again"
    node.evict(first.txid)
    by_bob = send(node, publish(bob))
    mine(node)
    refuse(node, first, "tx-namedoi-existing-without-input")
    assert node.names.living(NAME, node.height + 1) is not None
    assert second.txid not in node.mempool.transactions
    send(node, publish(bob, name_coin(by_bob)))


def test_a_reorg_of_a_renewal_gives_the_name_its_earlier_output_and_end_back(node: Node, alice: Wallet) -> None:
    first = register(alice)
    registered_at = node.height
    mine(node, LIFE - 2)
    renewal = send(node, publish(alice, name_coin(first)))
    mine(node)
    node.invalidate(node.height)
    record = node.names.living(NAME, node.height + 1)
    assert record is not None
    assert (record.at, record.free_from) == ((first.txid, 0), registered_at + LIFE)
    assert list(node.mempool.transactions) == [renewal.txid]
    node.mine(MINER, transactions=())
    assert node.mempool.transactions == {}, "in the new branch it came too late"


def test_a_reorg_across_an_expiry(node: Node, alice: Wallet, bob: Wallet) -> None:
    first = register(alice)
    mine(node, LIFE - 1)
    by_bob = register(bob)
    node.invalidate(node.height - 1)
    assert node.mempool.transactions == {}, "the name is alice's again, for one block"
    send(node, publish(alice, name_coin(first)))
    mine(node, 2)
    refuse(node, by_bob, "tx-namedoi-existing-without-input")


# --- the wallet does it right


@pytest.mark.parametrize("owned", ["p2wpkh", "p2pkh"])
@pytest.mark.parametrize("paid", ["p2wpkh", "p2pkh"])
def test_the_wallet_renews_its_name(node: Node, alice: Wallet, owned: Kind, paid: Kind) -> None:
    first = send(node, pay(alice, owned))
    mine(node)
    before = alice.balance()
    second = send(node, pay(alice, paid))
    mine(node)
    assert (second.inputs[0].prev_txid, second.inputs[0].prev_index, len(second.inputs)) == (first.txid, 0, 2)
    name_op = parse_name_op(second.outputs[0].script)
    assert name_op is not None
    assert name_op.address_script == alice.script(paid)
    # The name's 0.01 DOI came back and went in again: only the fees are gone.
    assert alice.balance() == before - Swartz(7_004_482) - browser_fee(2, 3)


def test_the_wallet_spends_no_name_that_has_expired(node: Node, alice: Wallet) -> None:
    register(alice)
    mine(node, LIFE - 1)
    second = send(node, pay(alice))
    assert len(second.inputs) == 1
    mine(node)
    assert node.transaction(second.txid) == (node.height, second)


def test_the_wallet_says_whose_name_it_is(node: Node, alice: Wallet, bob: Wallet) -> None:
    register(bob)
    with pytest.raises(Rejected, match=f"the name art/1 is somebody else's until block {node.height + LIFE}"):
        pay(alice)
    mine(node, LIFE - 1)
    send(node, pay(alice))


def test_the_wallet_waits_for_the_block_of_what_it_did_last(node: Node, alice: Wallet, bob: Wallet) -> None:
    for _ in range(2):  # the registration, and the renewal
        send(node, pay(alice))
        for wallet in (alice, bob):
            with pytest.raises(Rejected, match="the name art/1 waits in the mempool: wait for its block"):
                pay(wallet)
        mine(node)


def test_a_name_is_no_money_to_the_wallet_not_even_in_a_double_spend(node: Node, alice: Wallet) -> None:
    rich = replace(Payment(NAME, b"", [], name_amount=Swartz(5_000_000_000)), owner=alice.script("p2pkh"))
    send(node, alice.pay(rich))
    mine(node)
    names = {at for at, coin in node.coins.items() if parse_name_op(coin.output.script)}
    spendable = [each for script in both_scripts(alice) for each in node.spendable(script)]
    assert len(names) == 1
    assert names.isdisjoint(at for at, _ in spendable)
    assert alice.balance() == Swartz.total(coin.output.amount for _, coin in spendable)

    renewal = send(node, pay(alice, "p2pkh"))
    assert len(renewal.inputs) == 1, "what lay in the name pays for all"
    node.evict(renewal.txid)
    with pytest.raises(Rejected, match="a name and no coins"):
        alice.double_spend(renewal)
    with_money = send(node, publish(alice, value=b"v", name=OTHER))
    node.evict(with_money.txid)
    send(node, alice.double_spend(with_money))
