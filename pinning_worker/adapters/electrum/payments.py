"""The transactions that a server's histories list, and the proofs that they are in our blocks.

For each row, in one batch: the transaction unless we have it, and its merkle branch if the row names a block of ours.

    in a block      taken only with a branch that leads to our own header: read, proven and told at once
    in the mempool  taken on the server's word, told as unproven; so few and so small that lies fill no memory, and
                    so many in an hour that they fill no disk: what is left out is read once it is in a block

A payment that is made now does not wait for a backlog, which is that of years where books were lost or an address was
in use before. The newest are read at once; of the others, piece by piece, as many as the server may be asked for
(`pace.py`). What is left is left for the next look, so that new blocks and payments do not wait for it.

A branch that does not lead to our header may be the honest race with a reorg: the server is asked once more, for the
header too. If it has the same block and the branch fails again, it lies.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
import trio

from pinning_worker.adapters.electrum.answers import (
    HistoryRow,
    read_block_hash,
    read_branch,
    read_transaction_of,
)
from pinning_worker.adapters.electrum.faults import RequestRefused, ServerMisbehaved
from pinning_worker.adapters.electrum.pace import Pace
from pinning_worker.adapters.electrum.view import ChainView, header_time
from pinning_worker.adapters.electrum.wire import Call, Wire
from pinning_worker.domain.headerchain import HeaderChain
from pinning_worker.domain.headers import Header
from pinning_worker.domain.payment import Proof
from pinning_worker.domain.transaction import BadMerkleBranch, Transaction, fold_merkle_branch

NEVER_WAIT = 10  # transactions, the newest
READ_AT_ONCE = 200
LARGEST_UNPROVEN = 20_000  # bytes hashed for the txid; a browser's payment has less than a thousand

_log = structlog.get_logger(__name__)


class PaymentReader:
    """Reads what one server shows, over one connection to it. Everything is judged before the view hears of it."""

    def __init__(self, server: str, wire: Wire, pace: Pace, unproven: Pace, view: ChainView) -> None:
        self._server, self._wire, self._pace, self._unproven, self._view = server, wire, pace, unproven, view

    async def read(self, chain: HeaderChain, bell: trio.Event) -> bool:
        """What is still to be read of that server's histories. False: not all, because the bell rang, or enough was
        asked of the server for now. Raises LinkLost, ServerMisbehaved."""
        wanted = self._view.sightings.wanted(self._server)
        mined = [row for row in wanted if row.height > 0 and chain.has(row.height)]
        unmined = [row for row in wanted if row.height <= 0]
        piece, *others = self._pieces(mined + unmined[: self._unproven.left])
        while True:
            await self._read_piece(chain, piece)
            self._view.ring()  # a backlog is told piece by piece
            if not others:
                return True
            if bell.is_set() or self._pace.is_spent:
                left = sum(len(each) for each in others)
                _log.info("electrum.payments_left_to_read", server=self._server, transactions=left)
                return False
            piece, *others = others

    def _pieces(self, rows: list[HistoryRow]) -> list[list[HistoryRow]]:
        """In the order of the history, but for a backlog, of which the newest come first."""
        if len(rows) <= READ_AT_ONCE and not self._pace.is_spent:
            return [rows]
        by_age = sorted(rows, key=lambda row: (row.height <= 0, row.height))
        newest = {row.txid for row in by_age[-NEVER_WAIT:]}
        others = [row for row in rows if row.txid not in newest]
        return [
            [row for row in rows if row.txid in newest],
            *(others[at : at + READ_AT_ONCE] for at in range(0, len(others), READ_AT_ONCE)),
        ]

    async def _read_piece(self, chain: HeaderChain, rows: Sequence[HistoryRow]) -> None:
        headers = {row.height: chain.header_at(row.height) for row in rows if row.height > 0}
        calls = [self._calls_for(row) for row in rows]
        answers = iter(await self._wire.batch(call for each in calls for call in each))
        doubtful = []
        for row, asked in zip(rows, calls, strict=True):
            answered = [next(answers) for _ in asked]
            if any(isinstance(answer, RequestRefused) for answer in answered):
                continue  # it left the mempool, or its block the chain: the bell rings for it
            if row.height <= 0:
                self._learn_unproven(read_transaction_of(row.txid, answered[0]))
            elif not self._prove(chain, row, headers[row.height], answered):
                doubtful.append(row)
        for row in doubtful:
            await self._ask_once_more(chain, row)

    def _calls_for(self, row: HistoryRow) -> list[Call]:
        calls: list[Call] = []
        if row.height > 0:
            calls.append(("blockchain.transaction.get_merkle", (row.txid, row.height)))
        if self._view.sightings.is_unread(row.txid):
            calls.append(("blockchain.transaction.get", (row.txid,)))
        return calls

    def _learn_unproven(self, transaction: Transaction) -> None:
        self._unproven.spend(1)
        if transaction.base_size <= LARGEST_UNPROVEN:
            self._view.sightings.learn(transaction)

    def _prove(self, chain: HeaderChain, row: HistoryRow, header: Header, answered: Sequence[object]) -> bool:
        """Whether the branch leads to our header, which proves the transaction. `answered`: to `_calls_for` the row."""
        branch = read_branch(answered[0])
        try:
            root = fold_merkle_branch(row.txid, branch.siblings, branch.position)
        except BadMerkleBranch as error:
            raise ServerMisbehaved(f"its proof of {row.txid} is none: {error}") from error
        if root != header.merkle_root:
            return False
        sightings, block_hash = self._view.sightings, header.block_hash
        if chain.hash_at(row.height) == block_hash:  # still: our chain may have moved while we asked
            if len(answered) > 1:
                sightings.learn(read_transaction_of(row.txid, answered[1]))
            sightings.prove(row.txid, Proof(row.height, block_hash, header_time(header)))
        return True

    async def _ask_once_more(self, chain: HeaderChain, row: HistoryRow) -> None:
        if not chain.has(row.height):
            return
        header = chain.header_at(row.height)
        ask_for_header: Call = ("blockchain.block.header", (row.height,))
        shown, *answered = await self._wire.batch([ask_for_header, *self._calls_for(row)])
        if any(isinstance(answer, RequestRefused) for answer in (shown, *answered)):
            return
        if read_block_hash(shown) != header.block_hash:
            return  # it is on another branch than we are, and need not be lying
        if not self._prove(chain, row, header, answered):
            raise ServerMisbehaved(f"its proof of {row.txid} at {row.height} leads elsewhere")
