"""Names as the page treats them: its own modules in Node, a real ElectrumX, and a node that enforces who owns them."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, open_websocket_url, serve_websocket

from pinning_worker.domain.chain.address import script_to_address, witness_script
from pinning_worker.domain.chain.nameop import NAME_TX_VERSION, name_doi_script
from pinning_worker.domain.chain.transaction import Transaction, TxOutput, serialise_output, var_bytes
from pinning_worker.domain.identities import NameBytes, Script
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.sandbox.sandbox import Sandbox
from pinning_worker.sandbox.wallet import Kind, Payment, Wallet, browser_fee, browser_payment, sign
from tests.interop.node_binary import needs_node
from tests.interop.payer import Made, PageRefuses, needs_page, pay_from_the_page
from tests.interop.sandbox_fixture import sandbox, until_waiting

__all__ = ["sandbox"]

pytestmark = [pytest.mark.interop, needs_node, needs_page]

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
NAME = "art/1"
FEE = Swartz(7_004_482)
IN_NAME = Swartz(1_000_000)
KINDS: list[Kind] = ["p2wpkh", "p2pkh"]


@dataclass(frozen=True)
class Payer:
    """Somebody at the page, with a wallet that signs what the page makes."""

    sandbox: Sandbox
    wallet: Wallet

    async def make(
        self,
        name: str = NAME,
        kind: Kind = "p2wpkh",
        *,
        at: str | None = None,
        pay_to: str | None = None,
        through: str | None = None,
    ) -> Made:
        """A payment; with coins at another address, to another one than the shop's, through another server."""
        await self.sandbox.indexed()
        url, address = through or self.sandbox.electrum_urls["ws"], at or self.wallet.address(kind)
        return await pay_from_the_page(url, name, address, pay_to or shop(self.sandbox).address(), FEE, CID)

    async def is_refused(self, reason: str, name: str = NAME, kind: Kind = "p2wpkh", **other: Any) -> None:
        with pytest.raises(PageRefuses, match=reason):
            await self.make(name, kind, **other)

    async def pay(self, name: str = NAME, kind: Kind = "p2wpkh") -> Transaction:
        """A payment, signed and taken by the node."""
        return self.send(await self.make(name, kind))

    def send(self, made: Made) -> Transaction:
        signed = sign(made.asked.unsigned, made.asked.spent, self.wallet.key)
        self.sandbox.send(signed)
        return signed


@pytest.fixture
def alice(sandbox: Sandbox) -> Payer:
    return Payer(sandbox, sandbox.wallet)


@pytest.fixture
def bob(sandbox: Sandbox) -> Payer:
    """With a coin of each kind, from alice."""
    bob = Payer(sandbox, Wallet(sandbox.node, b"bob"))
    sandbox.send(sandbox.wallet.spend([TxOutput(Swartz(10**9), bob.wallet.script(kind)) for kind in KINDS]))
    sandbox.mine()
    return bob


def shop(sandbox: Sandbox) -> Wallet:
    return Wallet(sandbox.node, b"shop")


def life(sandbox: Sandbox) -> int:
    return sandbox.network.name_life


def spends(transaction: Transaction, name: Transaction) -> bool:
    """Whether it spends that name output."""
    return (name.txid, 0) in [(each.prev_txid, each.prev_index) for each in transaction.inputs]


def unsigned(transaction: Transaction) -> Transaction:
    return replace(transaction, witnesses=(), inputs=tuple(replace(each, script=b"") for each in transaction.inputs))


def name_output(owner: Wallet, kind: Kind = "p2wpkh", amount: Swartz = IN_NAME) -> TxOutput:
    return TxOutput(amount, name_doi_script(NameBytes(NAME.encode()), b"ipfs://before", owner.script(kind)))


# --- a name that lives


@pytest.mark.parametrize("kind", KINDS)
async def test_a_name_is_registered_and_renewed(sandbox: Sandbox, alice: Payer, kind: Kind) -> None:
    """The page makes what the sandbox's wallet makes; the node takes it; the total is gone from the wallet."""
    wanted = browser_payment(shop(sandbox).address(), FEE, NAME, CID)
    before: Transaction | None = None
    for _ in range(3):
        made = await alice.make(kind=kind)
        assert made.asked.unsigned == unsigned(alice.wallet.pay(wanted, kind))
        balance = alice.wallet.balance()
        paid = alice.send(made)
        assert (made.txid == paid.txid) == (kind == "p2wpkh"), "a signature changes the txid of a p2pkh payment"
        sandbox.mine()
        assert made.name_before == (0 if before is None else IN_NAME.amount)
        assert before is None or spends(paid, before)
        assert balance - alice.wallet.balance() == Swartz(made.total)
        before = paid


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wallet_can_see_what_it_signs(sandbox: Sandbox, alice: Payer, kind: Kind) -> None:
    """Each input brings the whole transaction that it spends, the name's too; for segwit the output itself besides."""
    await alice.pay(kind=kind)
    sandbox.mine()
    made = await alice.make(kind=kind)
    assert len(made.asked.unsigned.inputs) == 2
    for spent, output in zip(made.asked.unsigned.inputs, made.asked.spent, strict=True):
        whole = sandbox.node.transaction(spent.prev_txid)[1].serialise()
        assert b"\x01\x00" + var_bytes(whole) in made.psbt
        assert (b"\x01\x01" + var_bytes(serialise_output(output)) in made.psbt) == (kind == "p2wpkh")


async def test_any_name_can_be_renewed(sandbox: Sandbox, alice: Payer) -> None:
    names = [" ", "  art ", "né\U0001f40b\u202e", "a" + "é" * 127, "\x05", "d/example", "x" * 76]
    first = [sandbox.pay(shop(sandbox).address(), FEE, name, CID) for name in names]
    sandbox.mine()
    for name, txid in zip(names, first, strict=True):
        assert spends(await alice.pay(name), sandbox.node.transaction(txid)[1])
        sandbox.mine()
    for name in ("", "é" * 128):
        await alice.is_refused("a name has 1 to 255 bytes", name)


async def test_a_name_that_was_given_away_is_the_new_owners(sandbox: Sandbox, alice: Payer, bob: Payer) -> None:
    gift = alice.wallet.pay(Payment(NameBytes(NAME.encode()), b"", [], owner=bob.wallet.script("p2pkh")))
    sandbox.send(gift)
    sandbox.mine()
    await alice.is_refused("is somebody else's")
    assert spends(await bob.pay(kind="p2pkh"), gift)


async def test_what_lay_in_the_name_comes_back(sandbox: Sandbox, alice: Payer) -> None:
    """A name with much money in it pays for everything itself."""
    rich = alice.wallet.spend([name_output(alice.wallet, amount=Swartz(10**9))], NAME_TX_VERSION)
    sandbox.send(rich)
    sandbox.mine()
    made = await alice.make()
    paid = alice.send(made)
    assert len(paid.inputs) == 1
    assert spends(paid, rich)
    network_fee = browser_fee(1, 3).amount
    assert (made.network_fee, made.name_before) == (network_fee, 10**9)
    assert made.total == FEE.amount + IN_NAME.amount + network_fee - 10**9
    assert made.change == 10**9 - FEE.amount - IN_NAME.amount - network_fee


async def test_names_hide_neither_a_name_nor_the_coins(sandbox: Sandbox, alice: Payer) -> None:
    """Catches: a look at the twenty largest outputs, all of which are names; a name that is the smallest of all."""
    pauper = Payer(sandbox, Wallet(sandbox.node, b"pauper"))
    for number in range(25):
        rich = Payment(
            NameBytes(b"art/rich/%d" % number), b"", [], owner=pauper.wallet.script(), name_amount=Swartz(50_000_000)
        )
        sandbox.pay_as(rich, KINDS[number % 2])
        sandbox.mine()
    sandbox.send(alice.wallet.spend([TxOutput(Swartz(10_000_000), pauper.wallet.script())] * 2))
    sandbox.mine()
    first = await pauper.pay()
    sandbox.mine()
    assert spends(await pauper.pay(), first)


async def test_the_last_of_two_operations_in_a_block_counts(sandbox: Sandbox, alice: Payer) -> None:
    last = await alice.pay()
    sandbox.mine()
    for _ in range(2):  # the node takes the second on top of the first; no page makes it
        coin = sandbox.node.mempool.coin_at((last.txid, 0))
        assert coin is not None
        last = alice.wallet.spend([name_output(alice.wallet)], NAME_TX_VERSION, first=[((last.txid, 0), coin)])
        sandbox.send(last)
    sandbox.mine()
    assert spends(await alice.pay(), last)


# --- a name that is free


async def test_an_expired_name_is_paid_for_without_its_output(sandbox: Sandbox, alice: Payer, bob: Payer) -> None:
    first = await alice.pay()
    sandbox.mine(life(sandbox) - 1)
    assert spends((await alice.make()).asked.unsigned, first), "it lives in the next block, for the last time"
    sandbox.mine()
    made = await alice.make()
    assert not spends(made.asked.unsigned, first)
    assert made.name_before == 0
    taken = await bob.pay()
    sandbox.mine()
    await alice.is_refused("is somebody else's")
    assert spends(await bob.pay(), taken), "not that of its earlier life"


# --- a name that cannot be paid under now


async def test_somebody_elses_name(sandbox: Sandbox, alice: Payer, bob: Payer) -> None:
    await bob.pay()
    sandbox.mine()
    free_from = sandbox.node.height + life(sandbox)
    owner = f"the name art/1 is somebody else's \\({bob.wallet.address()}\\)"
    when = r"about \w+ \d+, \d+, \d+:\d+.(AM|PM), and longer if it is renewed"
    await alice.is_refused(f"^{owner} until block {free_from}, {when}$")
    sandbox.mine(free_from - sandbox.node.height - 2)
    await alice.is_refused(owner)
    sandbox.mine()
    await alice.pay()
    sandbox.mine()


async def test_a_name_of_another_address_of_the_same_wallet(sandbox: Sandbox, alice: Payer) -> None:
    """The page knows one address. It says which one owns the name, so that its owner can pay from there."""
    first = await alice.pay(kind="p2pkh")
    sandbox.mine()
    await alice.is_refused(f"is somebody else's \\({alice.wallet.address('p2pkh')}\\)", kind="p2wpkh")
    assert spends(await alice.pay(kind="p2pkh"), first)


async def test_a_name_whose_owner_has_no_address(sandbox: Sandbox, alice: Payer) -> None:
    sandbox.pay_as(Payment(NameBytes(NAME.encode()), b"", [], owner=Script(b"\x6a")))
    sandbox.mine()
    await alice.is_refused(r"somebody else's \(a script without an address\)")


async def test_what_waits_for_its_block_is_waited_for(sandbox: Sandbox, alice: Payer) -> None:
    for _ in range(2):  # the registration, and the renewal
        paid = await alice.pay()
        await until_waiting(sandbox, alice.wallet.script(), paid.txid)
        await alice.is_refused("a payment under the name art/1 is under way: wait for its block")
        await alice.make("art/2")
        sandbox.mine()


# --- after a reorg


async def test_a_registration_that_a_reorg_took_back(sandbox: Sandbox, alice: Payer, bob: Payer) -> None:
    """The server's index still has it: what stands there now is another transaction, or one in no block."""
    first = await alice.pay()
    sandbox.mine()
    await sandbox.indexed()
    sandbox.reorg(1)
    sandbox.double_spend(first.txid)
    sandbox.mine(3)
    taken = await bob.pay()
    sandbox.mine()
    assert not spends(taken, first)
    assert spends(await bob.pay(), taken)


async def test_a_renewal_that_a_reorg_took_back(sandbox: Sandbox, alice: Payer, bob: Payer) -> None:
    first = await alice.pay()
    sandbox.mine()
    free_from = sandbox.node.height + life(sandbox)
    second = await alice.pay()
    sandbox.mine()
    await sandbox.indexed()
    sandbox.reorg(1)
    sandbox.double_spend(second.txid)
    sandbox.mine()
    await bob.is_refused(f"until block {free_from}")
    assert spends(await alice.pay(), first)


async def test_an_operation_that_is_mined_again_at_another_height(sandbox: Sandbox, alice: Payer, bob: Payer) -> None:
    first = await alice.pay()
    sandbox.mine(3)
    await sandbox.indexed()
    sandbox.reorg(3)
    sandbox.mine()
    assert sandbox.node.transaction(first.txid)[0] == sandbox.node.height
    await bob.is_refused(f"until block {sandbox.node.height + life(sandbox)}")
    assert spends(await alice.pay(), first)


# --- amounts


async def with_one_coin(alice: Payer, amount: Swartz) -> Payer:
    """Somebody else at the page, who has nothing but that."""
    sandbox = alice.sandbox
    owner = Wallet(sandbox.node, b"owner of %d" % amount.amount)
    sandbox.send(alice.wallet.spend([TxOutput(amount, owner.script())]))
    sandbox.mine()
    return Payer(sandbox, owner)


async def test_change_that_is_too_small_goes_to_the_network(sandbox: Sandbox, alice: Payer) -> None:
    needed = IN_NAME + FEE + browser_fee(1, 2)
    for beyond, change in [(0, 0), (179, 0), (180, 0), (180 + 545, 0), (180 + 546, 546)]:
        coin = needed + Swartz(beyond)
        carol = await with_one_coin(alice, coin)
        made = await carol.make(f"art/{beyond}")
        assert made.change == change
        assert len(made.asked.unsigned.outputs) == (3 if change else 2)
        assert made.network_fee == coin.amount - IN_NAME.amount - FEE.amount - change
        assert made.total == coin.amount - change
        carol.send(made)
        sandbox.mine()
        assert carol.wallet.balance() == Swartz(change)
    less = needed - Swartz(1)
    carol = await with_one_coin(alice, less)
    await carol.is_refused(
        f"^the wallet has {less.amount} swartz that can be spent now, and {needed.amount} are needed$"
    )


# --- whom nobody should pay


async def test_taproot_is_refused_as_payee_and_as_owner(sandbox: Sandbox, alice: Payer) -> None:
    taproot = script_to_address(witness_script(1, b"\x07" * 32), sandbox.network)
    assert taproot is not None
    why = f"{taproot} is a taproot address: the Doichain has no rules for taproot, so anybody could spend"
    await alice.is_refused(why, pay_to=taproot)
    await alice.is_refused(why, at=taproot)


# --- a server that lies

Falsify = Callable[[str, Sequence[Any], dict[str, Any]], dict[str, Any]]
"""(method, parameters, the true answer) -> what is said instead."""


@asynccontextmanager
async def lying_server(sandbox: Sandbox, falsify: Falsify) -> AsyncIterator[str]:
    """The URL of a server that stands before the real one and falsifies its answers."""

    async def relay(request: WebSocketRequest) -> None:
        client = await request.accept()
        async with open_websocket_url(sandbox.electrum_urls["ws"], max_message_size=16 << 20) as server:
            await converse(client, server)

    async def converse(client: WebSocketConnection, server: WebSocketConnection) -> None:
        asked: dict[int, tuple[str, Sequence[Any]]] = {}

        async def forward() -> None:
            while True:
                frame = await client.get_message()
                request = json.loads(frame)
                asked[request["id"]] = request["method"], request["params"]
                await server.send_message(frame)

        async def back() -> None:
            while True:
                answer = json.loads(await server.get_message())
                await client.send_message(json.dumps(falsify(*asked[answer["id"]], answer)))

        async def until_closed(run: Callable[[], Any], scope: trio.CancelScope) -> None:
            try:
                await run()
            except ConnectionClosed:
                scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_closed, forward, nursery.cancel_scope)
            nursery.start_soon(until_closed, back, nursery.cancel_scope)

    async with trio.open_nursery() as nursery:
        serve = partial(serve_websocket, relay, "127.0.0.1", 0, ssl_context=None)
        served = await nursery.start(serve)
        yield f"ws://127.0.0.1:{served.port}"
        nursery.cancel_scope.cancel()


async def test_a_server_that_sends_another_transaction_is_found_out(sandbox: Sandbox, alice: Payer) -> None:
    await alice.pay()
    sandbox.mine()

    def other_value(method: str, _: Sequence[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method != "blockchain.transaction.get":
            return answer
        return answer | {"result": answer["result"].replace(CID.encode().hex(), CID[::-1].encode().hex())}

    async with lying_server(sandbox, other_value) as liar:
        await alice.is_refused("another transaction than it was asked for", through=liar)


async def test_an_index_that_names_other_transactions_names_nothing(sandbox: Sandbox, alice: Payer) -> None:
    """As an index does after a reorg: a number in it stands for what has that number now."""
    first = await alice.pay()
    sandbox.mine(2)
    reward = sandbox.node.blocks[-1].transactions[0]
    stranger = await alice.pay("art/2")
    sandbox.mine()
    height = sandbox.node.height
    wrong = [
        {"tx_hash": first.txid, "height": height},  # it stands elsewhere
        {"tx_hash": reward.txid, "height": height - 1},
        {"tx_hash": stranger.txid, "height": height},
        {"tx_hash": "ab" * 32, "height": height},
        {"tx_hash": first.txid, "height": height - 2},
    ]

    def orphans(method: str, _: Sequence[Any], answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"result": wrong} if method == "blockchain.scripthash.get_history" else answer

    async with lying_server(sandbox, orphans) as liar:
        made = await alice.make(through=liar)
    assert spends(made.asked.unsigned, first)


async def test_a_server_that_keeps_the_name_secret_gets_nothing_signed_that_a_node_takes(
    sandbox: Sandbox, alice: Payer
) -> None:
    await alice.pay()
    sandbox.mine()

    def unknown(method: str, _: Sequence[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method != "blockchain.transaction.get_merkle":
            return answer
        return {"jsonrpc": "2.0", "id": answer["id"], "error": {"code": 1, "message": "not in block"}}

    async with lying_server(sandbox, unknown) as liar:
        made = await alice.make(through=liar)
    balance = alice.wallet.balance()
    with pytest.raises(Rejected, match="tx-namedoi-existing-without-input"):
        alice.send(made)
    assert alice.wallet.balance() == balance
