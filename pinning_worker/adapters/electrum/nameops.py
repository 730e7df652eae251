"""All NameOps of some blocks, from a server that need not be believed.

    how many there are       from the shape of a few merkle branches
    their txids              together they fold to the merkle root of a header that we know
    each transaction, raw    hashes to its txid

So a server can neither omit a transaction nor insert one. One trick is left: a list of inner nodes of the tree (64
bytes each) instead of a list of transactions. The first transaction of a block is its coinbase, which spends nothing,
and no inner node looks like that.

Asking on until "no tx at position" is too dear: ElectrumX counts every error as much as 100 transactions (aiorpcx:
`error_base_cost`), and throttled us to five seconds a block for ten such questions. The shape gives the count as well.
With 2^(d-1) < n <= 2^d transactions a branch has d siblings; and if a node has no neighbour to its right, the tree
pairs it with itself, so in the branch of a position a sibling equal to the node shows how far the block ends beyond it.

The questions about several blocks go together, in batches: a request alone waits a second on tcp.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from pinning_worker.adapters.electrum.answers import (
    ShownLeaf,
    read_block_hash,
    read_leaf,
    read_transaction_of,
    read_txid,
)
from pinning_worker.adapters.electrum.faults import ElectrumTrouble, RequestRefused, ServerMisbehaved
from pinning_worker.adapters.electrum.wire import Call, Wire
from pinning_worker.domain.chain.headers import Header
from pinning_worker.domain.chain.nameop import transaction_name_op
from pinning_worker.domain.chain.transaction import BadMerkleBranch, Transaction, merkle_root
from pinning_worker.domain.identities import Txid
from pinning_worker.ports.chain import NameOpAt

POSITIONS_AT_ONCE = 400
DEEPEST_TREE = 17  # 131 072 transactions: a block of 4 MB has no more
PARSED_AT_ONCE = 50  # transactions, without a pause for other work

_ID_FROM_POS = "blockchain.transaction.id_from_pos"
_NO_TXID = Txid("00" * 32)

Wait = Callable[[], Awaitable[None]]
"""Returns when the server may be asked for more."""


class ElsewhereOnTheChain(ElectrumTrouble):
    """The server has another block at this height than we have. Nobody's fault; another server may have ours."""


async def read_name_ops(wire: Wire, wait: Wait, headers: Mapping[int, Header]) -> dict[int, tuple[NameOpAt, ...]]:
    """The NameOps of the blocks with these headers, by height, each in the order of its block.

    Raises ElsewhereOnTheChain, RequestRefused, LinkLost, ServerMisbehaved.
    """
    found: dict[int, tuple[NameOpAt, ...]] = {}
    for blocks in _in_groups(await _count(wire, headers)):
        txids = await _verified_txids(wire, wait, blocks, headers)
        found |= await _read_blocks(wire, wait, txids)
    return found


# --- how many transactions


@dataclass(slots=True)
class _Block:
    """What is known of a block's size: a transaction stands at `position`, and at most 2^`beyond` do from there on."""

    height: int
    first: Txid
    position: int
    beyond: int

    @property
    def is_counted(self) -> bool:
        return self.beyond == 0

    @property
    def count(self) -> int:
        return self.position + 1

    def learn(self, leaf: ShownLeaf) -> None:
        """Takes the branch of `position` in."""
        self.beyond = min(self.beyond, leaf.ends_within())
        if self.beyond > 0:  # more than half of them
            self.position, self.beyond = self.position + (1 << self.beyond - 1), self.beyond - 1


async def _count(wire: Wire, heights: Iterable[int]) -> list[_Block]:
    """Counts the transactions: at most as many questions about a block as its tree is deep, mostly one or two."""
    blocks = []
    heights = list(heights)
    for height, leaf in zip(heights, await _read_leaves(wire, [(height, 0) for height in heights]), strict=True):
        depth = len(leaf.siblings)
        if depth > DEEPEST_TREE:
            raise ServerMisbehaved(f"its block at {height} is larger than any")
        blocks.append(_Block(height, leaf.txid, (1 << depth) // 2, max(0, depth - 1)))
    while uncounted := [block for block in blocks if not block.is_counted]:
        leaves = await _read_leaves(wire, [(block.height, block.position) for block in uncounted])
        for block, leaf in zip(uncounted, leaves, strict=True):
            block.learn(leaf)
    return blocks


async def _read_leaves(wire: Wire, places: Sequence[tuple[int, int]]) -> list[ShownLeaf]:
    answers = await wire.batch((_ID_FROM_POS, (height, position, True)) for height, position in places)
    return [read_leaf(_answered(answer)) for answer in answers]


def _in_groups(blocks: Sequence[_Block]) -> Iterator[list[_Block]]:
    """Blocks with POSITIONS_AT_ONCE transactions together, or one that has more: so much is verified before the next,
    and a made-up count costs no more than one block's questions."""
    group: list[_Block] = []
    for block in blocks:
        if group and sum(each.count for each in group) + block.count > POSITIONS_AT_ONCE:
            yield group
            group = []
        group.append(block)
    if group:
        yield group


# --- which transactions


@dataclass(slots=True)
class _Txids:
    height: int
    txids: list[Txid] = field(default_factory=list)

    def lead_to(self, header: Header) -> bool:
        try:
            return merkle_root(self.txids) == header.merkle_root
        except BadMerkleBranch as error:
            raise ServerMisbehaved(f"its list of the transactions at {self.height} is none: {error}") from error


async def _verified_txids(
    wire: Wire, wait: Wait, blocks: Sequence[_Block], headers: Mapping[int, Header]
) -> list[_Txids]:
    """Asks a second time if need be: the server may have moved to our block between two answers."""
    listed = {each.height: each for each in await _list_txids(wire, wait, blocks)}
    for height in _doubtful(listed.values(), headers):
        await _require_same_block(wire, height, headers[height])
        (again,) = await _list_txids(wire, wait, await _count(wire, [height]))
        if not again.lead_to(headers[height]):
            await _require_same_block(wire, height, headers[height])
            raise ServerMisbehaved(f"its list of the transactions at {height} is not that of the block")
        listed[height] = again
    return list(listed.values())


def _doubtful(listed: Iterable[_Txids], headers: Mapping[int, Header]) -> list[int]:
    return [each.height for each in listed if not each.lead_to(headers[each.height])]


async def _require_same_block(wire: Wire, height: int, header: Header) -> None:
    theirs = read_block_hash(await wire.call("blockchain.block.header", height))
    if theirs != header.block_hash:
        raise ElsewhereOnTheChain(f"the server has another block at {height} than we")


async def _list_txids(wire: Wire, wait: Wait, blocks: Sequence[_Block]) -> list[_Txids]:
    """The txids of those blocks in their order, as the server lists them."""
    listed = {block.height: _Txids(block.height, [block.first]) for block in blocks}
    places = [(block.height, position) for block in blocks for position in range(1, block.count)]
    for at in range(0, len(places), POSITIONS_AT_ONCE):
        await wait()
        piece = places[at : at + POSITIONS_AT_ONCE]
        answers = await wire.batch((_ID_FROM_POS, place) for place in piece)
        for (height, _), answer in zip(piece, answers, strict=True):
            listed[height].txids.append(read_txid(_answered(answer)))
    return list(listed.values())


# --- what they say


async def _read_blocks(wire: Wire, wait: Wait, blocks: Sequence[_Txids]) -> dict[int, tuple[NameOpAt, ...]]:
    found: dict[int, list[NameOpAt]] = {block.height: [] for block in blocks}
    places = [(block.height, position, txid) for block in blocks for position, txid in enumerate(block.txids)]
    for at in range(0, len(places), POSITIONS_AT_ONCE):
        await wait()
        piece = places[at : at + POSITIONS_AT_ONCE]
        transactions = await _read_transactions(wire, [txid for _, _, txid in piece])
        for (height, position, _), transaction in zip(piece, transactions, strict=True):
            if position == 0 and not _is_coinbase(transaction):
                raise ServerMisbehaved("it passes inner nodes of a merkle tree off as transactions")
            found[height] += _name_op_at(position, transaction)
    return {height: tuple(ops) for height, ops in found.items()}


async def _read_transactions(wire: Wire, txids: Sequence[Txid]) -> list[Transaction]:
    calls: list[Call] = [("blockchain.transaction.get", (txid,)) for txid in txids]
    answers = await wire.batch(calls)
    transactions = []
    for at, (txid, answer) in enumerate(zip(txids, answers, strict=True), start=1):
        if isinstance(answer, RequestRefused):  # the answer to the batch grew too large: ask for this one alone
            answer = await wire.call("blockchain.transaction.get", txid)  # noqa: PLW2901
        transactions.append(await read_transaction_of(txid, answer))
        if at % PARSED_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
    return transactions


def _name_op_at(position: int, transaction: Transaction) -> list[NameOpAt]:
    """The NameOp of that transaction, if it has one."""
    named = transaction_name_op(transaction)
    if named is None:
        return []
    vout, op = named
    return [NameOpAt(transaction.txid, position, vout, transaction.outputs[vout].amount.amount, op)]


def _is_coinbase(transaction: Transaction) -> bool:
    return [spent.prev_txid for spent in transaction.inputs] == [_NO_TXID]


def _answered(answer: object) -> object:
    """Raises RequestRefused."""
    if isinstance(answer, RequestRefused):
        raise answer
    return answer
