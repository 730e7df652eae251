"""All NameOps of one block, from a server that need not be believed.

    how many there are       from the shape of a few merkle branches
    their txids              together they fold to the merkle root of our own header
    each transaction, raw    hashes to its txid

So a server can neither omit a transaction nor insert one. One trick is left: a list of inner nodes of the tree (64
bytes each) instead of a list of transactions. The first transaction of a block is its coinbase, which spends nothing,
and no inner node looks like that.

Asking on until "no tx at position" is too dear: ElectrumX counts every error as much as 100 transactions (aiorpcx:
`error_base_cost`), and throttled us to five seconds a block for ten such questions. The shape gives the count as well.
With 2^(d-1) < n <= 2^d transactions a branch has d siblings; and if a node has no neighbour to its right, the tree
pairs it with itself, so in the branch of a position a sibling equal to the node shows how far the block ends beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pinning_worker.adapters.electrum.answers import (
    ShownLeaf,
    read_block_hash,
    read_leaf,
    read_transaction_of,
    read_txid,
)
from pinning_worker.adapters.electrum.faults import ElectrumTrouble, RequestRefused, ServerMisbehaved
from pinning_worker.adapters.electrum.pace import Pace
from pinning_worker.adapters.electrum.wire import Call, Wire
from pinning_worker.domain.chain.headers import Header
from pinning_worker.domain.chain.nameop import transaction_name_op
from pinning_worker.domain.chain.transaction import BadMerkleBranch, Transaction, merkle_root
from pinning_worker.domain.identities import Txid
from pinning_worker.ports.chain import NameOpAt

POSITIONS_AT_ONCE = 400
DEEPEST_TREE = 17  # 131 072 transactions: a block of 4 MB has no more

_NO_TXID = Txid("00" * 32)


class ElsewhereOnTheChain(ElectrumTrouble):
    """The server has another block at this height than we have. Nobody's fault; another server may have ours."""


async def read_name_ops(wire: Wire, pace: Pace, height: int, header: Header) -> tuple[NameOpAt, ...]:
    """The NameOps of the block with that header, in the order of the block.

    Raises ElsewhereOnTheChain, RequestRefused, LinkLost, ServerMisbehaved.
    """
    txids = await _verified_txids(wire, pace, height, header)
    found = []
    for at in range(0, len(txids), POSITIONS_AT_ONCE):
        await pace.wait()
        piece = txids[at : at + POSITIONS_AT_ONCE]
        for position, transaction in enumerate(await _read_transactions(wire, piece), at):
            if position == 0 and not _is_coinbase(transaction):
                raise ServerMisbehaved("it passes inner nodes of a merkle tree off as transactions")
            named = transaction_name_op(transaction)
            if named is not None:
                vout, op = named
                amount = transaction.outputs[vout].amount.amount
                found.append(NameOpAt(transaction.txid, position, vout, amount, op))
    return tuple(found)


async def _verified_txids(wire: Wire, pace: Pace, height: int, header: Header) -> list[Txid]:
    """Asks a second time if need be: the server may have moved to our block between two answers."""
    for _ in range(2):
        txids = await _read_txids(wire, pace, height)
        try:
            if merkle_root(txids) == header.merkle_root:
                return txids
        except BadMerkleBranch as error:
            raise ServerMisbehaved(f"its list of the transactions at {height} is none: {error}") from error
        theirs = read_block_hash(await wire.call("blockchain.block.header", height))
        if theirs != header.block_hash:
            raise ElsewhereOnTheChain(f"the server has another block at {height} than we")
    raise ServerMisbehaved(f"its list of the transactions at {height} is not that of the block")


async def _read_txids(wire: Wire, pace: Pace, height: int) -> list[Txid]:
    """Returns the txids of that block in their order, as the server lists them."""
    first = await _read_leaf(wire, height, 0)
    if len(first.siblings) > DEEPEST_TREE:
        raise ServerMisbehaved(f"its block at {height} is larger than any")
    positions = range(1, await _count_transactions(wire, height, len(first.siblings)))
    txids = [first.txid]
    for at in range(0, len(positions), POSITIONS_AT_ONCE):
        await pace.wait()
        piece = positions[at : at + POSITIONS_AT_ONCE]
        answers = await wire.batch(("blockchain.transaction.id_from_pos", (height, position)) for position in piece)
        for answer in answers:
            if isinstance(answer, RequestRefused):
                raise answer
            txids.append(read_txid(answer))
    return txids


async def _count_transactions(wire: Wire, height: int, depth: int) -> int:
    """Counts the transactions of a block whose tree has that depth: at most `depth` questions, mostly none or one."""
    if depth == 0:
        return 1
    there, beyond = 1 << depth - 1, depth - 1  # this position exists, and at most 2^beyond do from it on
    while beyond > 0:
        leaf = await _read_leaf(wire, height, there)
        beyond = min(beyond, leaf.ends_within())
        if beyond > 0:  # more than half of them
            there, beyond = there + (1 << beyond - 1), beyond - 1
    return there + 1


async def _read_leaf(wire: Wire, height: int, position: int) -> ShownLeaf:
    return read_leaf(await wire.call("blockchain.transaction.id_from_pos", height, position, True))


async def _read_transactions(wire: Wire, txids: Sequence[Txid]) -> list[Transaction]:
    calls: list[Call] = [("blockchain.transaction.get", (txid,)) for txid in txids]
    answers = await wire.batch(calls)
    for at, answer in enumerate(answers):
        if isinstance(answer, RequestRefused):  # the answer to the batch grew too large: ask for this one alone
            answers[at] = await wire.call("blockchain.transaction.get", txids[at])
    return [await read_transaction_of(txid, answer) for txid, answer in zip(txids, answers, strict=True)]


def _is_coinbase(transaction: Transaction) -> bool:
    return [spent.prev_txid for spent in transaction.inputs] == [_NO_TXID]
