"""All NameOps of a block, from servers of every honesty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pinning_worker.adapters.electrum.answers import ShownLeaf
from pinning_worker.adapters.electrum.faults import ElectrumTrouble
from pinning_worker.domain.chain.nameop import NameOpCode
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput, double_sha256, txid_from
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.ports import Trouble
from tests.adapters.electrum.listening import Heard, eventually
from tests.adapters.electrum.scripted import STRANGER, Ledger, Refusal, ScriptedServer, branch_of, payment
from tests.adapters.electrum.watching import watching


def plain(number: int) -> Transaction:
    return Transaction(2, (TxInput(Txid(f"{number:064x}"), 1),), (TxOutput(Swartz(number), STRANGER),))


def block_of(named: int, others: int) -> list[Transaction]:
    """Name transactions between others."""
    transactions = [plain(number + 1) for number in range(others)]
    for number in range(named):
        transactions.insert(2 * number, payment(number + 1))
    return transactions


async def caught_up(heard: Heard, server: ScriptedServer) -> None:
    await heard.until(lambda: heard.is_at(server.ledger.blocks[-1].hash))


@pytest.mark.parametrize("websocket", [False, True], ids=["tcp", "ws"])
async def test_the_name_ops_of_blocks(websocket: bool) -> None:
    server = ScriptedServer(Ledger(), websocket)
    transactions = block_of(3, 40)
    server.ledger.mine(count=2)
    block = server.ledger.mine(*transactions, merged=True)
    server.ledger.mine(count=2)
    async with watching(server, scripts=()) as (watcher, heard):
        await caught_up(heard, server)
        names = await watcher.name_ops(3)
        assert names is not None
        assert (names.height, names.hash, names.time.timestamp()) == (3, block.hash, block.header.time)
        assert [(found.op.name, found.position, found.vout, found.amount) for found in names.ops] == [
            (b"art/1", 1, 0, 1_000_000),
            (b"art/2", 3, 0, 1_000_000),
            (b"art/3", 5, 0, 1_000_000),
        ]
        assert [found.txid for found in names.ops] == [payment(number).txid for number in (1, 2, 3)]
        assert {found.op.op for found in names.ops} == {NameOpCode.NAME_DOI}
        empty = await watcher.name_ops(4)
        assert empty is not None
        assert empty.ops == ()
        assert await watcher.name_ops(6) is None


@pytest.mark.parametrize("size", [*range(1, 18), 31, 32, 33, 64, 65, 100, 127])
async def test_a_block_of_any_size_is_counted_without_an_error(size: int) -> None:
    """An error costs at ElectrumX what a hundred transactions do."""
    server = ScriptedServer(Ledger())
    server.ledger.mine(*block_of(1, size - 2) if size > 1 else [])
    refused: list[str] = []
    honest = server._blockchain_transaction_id_from_pos

    def noting(*asked: Any) -> Any:
        try:
            return honest(*asked)
        except Refusal as refusal:
            refused.append(str(refusal))
            raise

    server.answers["blockchain.transaction.id_from_pos"] = noting
    async with watching(server, scripts=()) as (watcher, heard):
        await caught_up(heard, server)
        names = await watcher.name_ops(1)
    assert names is not None
    assert len(names.ops) == (1 if size > 1 else 0)
    assert refused == []
    assert server.asked["blockchain.transaction.get"] == size


@pytest.mark.parametrize("size", range(1, 70))
def test_a_branch_tells_how_far_the_block_goes(size: int) -> None:
    """Of the first leaf under every node: the block's size from there on, rounded up to a power of two."""
    txids = [Txid(f"{number:064x}") for number in range(size)]
    for position in range(1, size):
        level = ShownLeaf(txids[position], tuple(branch_of(txids, position))).ends_within()
        zeros = (position & -position).bit_length() - 1
        expected = max(0, (size - position - 1).bit_length())
        assert min(level, zeros) == min(expected, zeros)


# --- lies


async def require_other_server(lie: Callable[[ScriptedServer], None], why: str) -> None:
    """The liar is asked first (it has the faster transport) and left; the honest server's answer counts."""
    liar = ScriptedServer(Ledger(), websocket=True)
    liar.ledger.mine(*block_of(2, 4))  # and the coinbase: seven
    honest = ScriptedServer(liar.ledger)
    async with watching(liar, honest, scripts=()) as (watcher, heard):
        await caught_up(heard, honest)
        await eventually(lambda: all(state.height == 1 for state in watcher.servers()), "both are there")
        lie(liar)
        names = await watcher.name_ops(1)
        assert names is not None
        assert [found.op.name for found in names.ops] == [b"art/1", b"art/2"]
        fault = watcher.servers()[0].fault
        assert why in fault
        assert bool(why) == (not watcher.servers()[0].connected)


def leave_out(liar: ScriptedServer) -> None:
    """The block without its last transaction."""
    txids = liar.ledger.blocks[1].txids[:-1]
    serve_txids(liar, txids)


def slip_in(liar: ScriptedServer) -> None:
    serve_txids(liar, [*liar.ledger.blocks[1].txids, payment(9).txid])


def exchange(liar: ScriptedServer) -> None:
    txids = liar.ledger.blocks[1].txids
    serve_txids(liar, [*txids[:2], txids[3], txids[2], *txids[4:]])


def repeat_the_tail(liar: ScriptedServer) -> None:
    """The same root as the true list (CVE-2012-2459)."""
    txids = liar.ledger.blocks[1].txids
    serve_txids(liar, [*txids, Txid(txids[-1])])


def inner_nodes(liar: ScriptedServer) -> None:
    """The level above the leaves, as if it were the leaves: the root is right, every one has its 64 bytes."""
    leaves = [bytes.fromhex(txid)[::-1] for txid in liar.ledger.blocks[1].txids]
    leaves.append(leaves[-1])
    preimages = [leaves[at] + leaves[at + 1] for at in range(0, len(leaves), 2)]
    nodes = {txid_from(double_sha256(preimage)): preimage for preimage in preimages}
    serve_txids(liar, list(nodes))
    liar.answers["blockchain.transaction.get"] = lambda txid: nodes[txid].hex()


def other_bytes(liar: ScriptedServer) -> None:
    liar.answers["blockchain.transaction.get"] = lambda _: payment(9).serialise().hex()


def deep_tree(liar: ScriptedServer) -> None:
    liar.answers["blockchain.transaction.id_from_pos"] = lambda *_: {"tx_hash": "ab" * 32, "merkle": ["cd" * 32] * 40}


def serve_txids(liar: ScriptedServer, txids: list[Txid]) -> None:
    def tell(_height: int, position: int, merkle: bool = False) -> Any:
        if position >= len(txids):
            raise Refusal("no tx at position")
        return {"tx_hash": txids[position], "merkle": branch_of(txids, position)} if merkle else txids[position]

    liar.answers["blockchain.transaction.id_from_pos"] = tell


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (leave_out, "not that of the block"),
        (slip_in, "not that of the block"),
        (exchange, "not that of the block"),
        (repeat_the_tail, ""),  # the shape of the tree says seven: it is not even noticed
        (inner_nodes, "a transaction: "),
        (other_bytes, "not the one asked for"),
        (deep_tree, "larger than any"),
    ],
)
async def test_a_lie_about_a_block(lie: Callable[[ScriptedServer], None], why: str) -> None:
    await require_other_server(lie, why)


async def test_a_block_that_begins_with_no_coinbase_is_a_list_of_inner_nodes() -> None:
    server = ScriptedServer(Ledger())
    server.ledger.mine_without_coinbase(plain(1), plain(2))
    async with watching(server, scripts=()) as (watcher, heard):
        await caught_up(heard, server)
        with pytest.raises(ElectrumTrouble, match="inner nodes"):
            await watcher.name_ops(1)


async def test_a_list_that_fails_once_may_be_a_reorg() -> None:
    server = ScriptedServer(Ledger())
    server.ledger.mine(*block_of(1, 2))
    honest, lies = server._blockchain_transaction_id_from_pos, iter(["ab" * 32])
    server.answers["blockchain.transaction.id_from_pos"] = lambda height, position, merkle=False: (
        honest(height, position, merkle) if merkle else next(lies, None) or honest(height, position)
    )
    async with watching(server, scripts=()) as (watcher, heard):
        await caught_up(heard, server)
        names = await watcher.name_ops(1)
        assert names is not None
        assert len(names.ops) == 1


async def test_a_server_with_another_block_there_is_no_liar() -> None:
    ours, theirs = ScriptedServer(Ledger()), ScriptedServer(Ledger(), websocket=True)
    ours.ledger.mine(payment(1), count=3)
    theirs.ledger.mine(payment(2), count=2, salt=1)
    async with watching(ours, theirs, scripts=()) as (watcher, heard):
        await caught_up(heard, ours)
        await eventually(lambda: watcher.servers()[1].height == 2, "the other is asked first")
        names = await watcher.name_ops(1)
        assert names is not None
        assert [found.op.name for found in names.ops] == [b"art/1"]
        assert watcher.servers()[1].fault == ""


async def test_what_a_batch_could_not_carry_is_asked_for_alone() -> None:
    server = ScriptedServer(Ledger())
    server.ledger.mine(*block_of(1, 2))
    refusals, honest = iter(range(2)), server._blockchain_transaction_get

    def refuse_twice(txid: Txid) -> Any:
        if next(refusals, None) is not None:
            raise Refusal("response too large")
        return honest(txid)

    server.answers["blockchain.transaction.get"] = refuse_twice
    async with watching(server, scripts=()) as (watcher, heard):
        await caught_up(heard, server)
        names = await watcher.name_ops(1)
        assert names is not None
        assert len(names.ops) == 1


async def test_no_server_answers() -> None:
    server = ScriptedServer(Ledger())
    server.ledger.mine(payment(1))

    def refuse(*_: Any) -> Any:
        raise Refusal("db error")

    async with watching(server, scripts=()) as (watcher, heard):
        await caught_up(heard, server)
        server.answers["blockchain.transaction.id_from_pos"] = refuse
        with pytest.raises(Trouble, match="db error"):
            await watcher.name_ops(1)
        server.is_open = False
        server.hang_up()
        with pytest.raises(Trouble):
            await watcher.name_ops(1)
