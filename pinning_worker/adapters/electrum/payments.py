"""The transactions that a server's histories list, and the proofs that they are in our blocks.

For each row, in one batch: the transaction, and its merkle branch if the row names a block of ours. A transaction of
the mempool is read again when a block contains it, because its bytes are kept with its proof.

    in a block      accepted only with a branch that leads to our own header: read, proven and reported at once
    in the mempool  accepted on the server's word, reported as unproven; so few and so small that lies fill no memory

A payment made now does not wait for a backlog: years of history after lost books or for an address that was in use
before, or ten thousand payments of a swartz each. Some rows of each kind go first, whatever budget is left:
transactions read in the mempool that a block contains now, by amount, and the newest unread ones of the blocks and of
the mempool. The rest is read piece by piece within the server's budget (`pace.py`), in small pieces once the server
answers slowly, and never by two sessions at a time. Rows beyond the budget wait for the next look, so that they hold up
neither new blocks nor new payments.

A refused request costs as much as a hundred others. So a refused row waits before the next attempt, ever longer; after
a refusal the backlog waits for the next look, for the history may have changed, and fewer rows go first.

A branch that does not lead to our header may be the honest race with a reorg: we ask the server once more, for the
header too. If it has the same block and the branch fails again, it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
import trio

from pinning_worker.adapters.electrum.answers import (
    HistoryRow,
    read_block_hash,
    read_branch,
    read_transaction_of,
)
from pinning_worker.adapters.electrum.bounds import LARGEST_RELAYED
from pinning_worker.adapters.electrum.faults import RequestRefused, ServerMisbehaved
from pinning_worker.adapters.electrum.log_limit import LogLimit
from pinning_worker.adapters.electrum.pace import Pace
from pinning_worker.adapters.electrum.view import ChainView, header_time
from pinning_worker.adapters.electrum.wire import Call, Wire
from pinning_worker.domain.chain.headerchain import HeaderChain
from pinning_worker.domain.chain.headers import Header
from pinning_worker.domain.chain.transaction import BadMerkleBranch, fold_merkle_branch
from pinning_worker.domain.money.payment import PaymentProof, Proof

NEVER_WAIT = 10  # rows of each kind that go first
READ_AT_ONCE = 50  # if all are refused, the server still does not close the connection
READ_AT_ONCE_SLOWLY = 5
SLOW_PIECE_SECONDS = 1.0
MOST_WAITING, MOST_OF_A_KIND = 8_000, 1_500  # rows that one look holds; above the first, only so many of a kind
REFUSED_AGAIN_SECONDS, REFUSED_AGAIN_AT_MOST = 60.0, 3600.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A row for which the server refused an answer. `wait` is the delay in seconds until `again_at`."""

    height: int
    wait: float
    again_at: float


class PaymentReader:
    """Reads the payments that one server shows, over one connection. It verifies everything before the view sees it."""

    def __init__(self, server: str, wire: Wire, pace: Pace, view: ChainView) -> None:
        self._server, self._wire, self._pace, self._view = server, wire, pace, view
        self._refusals: dict[str, _Refusal] = {}
        self._first = NEVER_WAIT  # fewer after a refusal
        self._has_backlog, self._log_limit = False, LogLimit()
        self._at_once = READ_AT_ONCE_SLOWLY * 2  # of a backlog; more while the server is quick

    async def read(self, chain: HeaderChain, is_called: Callable[[], bool]) -> bool:
        """Reads the rest of that server's histories. Returns False if some of it is left, because the session was
        called to look again or the server's budget is spent for now. Raises LinkLost, ServerMisbehaved."""
        rows, is_all = await self._look_through(chain)
        first, others = self._in_turn(rows)
        is_answered = await self._read_piece(chain, first)
        self._first = min(2 * self._first, NEVER_WAIT) if is_answered else max(1, self._first // 2)
        self._view.ring()
        if not others:
            self._has_backlog = False
            return True
        all_read = is_answered and await self._read_backlog(chain, others, is_called) and is_all
        if not all_read and not self._has_backlog and self._log_limit.allows("backlog"):  # else a line a second
            _log.info("electrum.payments_left_to_read", server=self._server, transactions=len(others))
        self._has_backlog = not all_read
        return all_read

    async def _look_through(self, chain: HeaderChain) -> tuple[list[HistoryRow], bool]:
        """Returns the rows that may be read now, and whether those are all: of many, the most urgent of each kind."""
        rows, refusals, is_all = list[HistoryRow](), dict[str, _Refusal](), True
        for piece in self._view.sightings.shown(self._server):
            refusals |= {row.txid: self._refusals[row.txid] for row in piece if row.txid in self._refusals}
            rows += [row for row in piece if self._is_to_be_read(chain, row) and not self._is_put_off(row)]
            if len(rows) > MOST_WAITING:
                kinds = self._view.sightings.in_turn(rows)
                rows, is_all = [row for kind in kinds for row in kind[:MOST_OF_A_KIND]], False
            await trio.lowlevel.checkpoint()
        self._refusals = refusals
        return rows, is_all

    def _in_turn(self, rows: list[HistoryRow]) -> tuple[list[HistoryRow], list[HistoryRow]]:
        """Splits the rows into those to read at once and the backlog, both in the order of their urgency."""
        if len(rows) <= READ_AT_ONCE and not self._pace.is_strained:
            return rows, []
        kinds = self._view.sightings.in_turn(rows)
        first = [row for kind in kinds for row in kind[: self._first]]
        return first, [row for kind in kinds for row in kind[self._first :]]

    async def _read_backlog(self, chain: HeaderChain, rows: list[HistoryRow], is_called: Callable[[], bool]) -> bool:
        """Reads piece by piece and reports each. Returns whether it read all of them."""
        sightings, all_read, has_read, at = self._view.sightings, True, False, 0
        try:
            while at < len(rows):
                if is_called() or self._pace.is_spent:
                    return False
                size = READ_AT_ONCE_SLOWLY if self._pace.is_strained else self._at_once
                piece = [row for row in rows[at : at + size] if sightings.is_wanted(self._server, row)]
                mine = [row for row in piece if row.txid not in self._view.being_read]
                all_read, at, began = all_read and len(mine) == len(piece), at + size, trio.current_time()
                has_read = has_read or bool(mine)
                if not await self._read_claimed(chain, mine):
                    return False
                self._adapt(trio.current_time() - began)
            return all_read
        finally:
            if has_read:  # sessions that left rows to us look again; a session that left all its rows is rung by others
                self._view.ring_sessions()

    def _adapt(self, seconds: float) -> None:
        """Keeps pieces short while the server is slow, for whatever reason (others behind our address, its other
        clients): a payment made now should wait for no more than one short piece."""
        if seconds > SLOW_PIECE_SECONDS:
            self._at_once = max(READ_AT_ONCE_SLOWLY, self._at_once // 2)
        elif seconds < SLOW_PIECE_SECONDS / 2:
            self._at_once = min(READ_AT_ONCE, self._at_once * 2)

    async def _read_claimed(self, chain: HeaderChain, rows: Sequence[HistoryRow]) -> bool:
        claimed = {row.txid for row in rows}
        self._view.being_read |= claimed
        try:
            return await self._read_piece(chain, rows)
        finally:
            self._view.being_read -= claimed
            self._view.ring()

    async def _read_piece(self, chain: HeaderChain, rows: Sequence[HistoryRow]) -> bool:
        """Returns whether the server answered every request."""
        rows = [row for row in rows if self._is_to_be_read(chain, row)]  # again: other sessions worked meanwhile
        headers = {row.height: chain.header_at(row.height) for row in rows if row.height > 0}
        calls = [self._calls_for(row) for row in rows]
        answers = iter(await self._wire.batch(call for each in calls for call in each))
        doubtful, all_answered = [], True
        for row, asked in zip(rows, calls, strict=True):
            answered = [next(answers) for _ in asked]
            if any(isinstance(answer, RequestRefused) for answer in answered):
                self._put_off(row)  # it left the mempool, or its block left the chain: a notification rings the bell
                all_answered = False
            elif row.height <= 0:
                transaction = await read_transaction_of(row.txid, answered[0], LARGEST_RELAYED)
                self._view.sightings.learn(self._server, transaction)
            elif not await self._prove(chain, row, headers[row.height], answered):
                doubtful.append(row)
        for row in doubtful:
            await self._ask_once_more(chain, row)
        return all_answered

    def _is_to_be_read(self, chain: HeaderChain, row: HistoryRow) -> bool:
        return (row.height <= 0 or chain.has(row.height)) and self._view.sightings.is_wanted(self._server, row)

    def _calls_for(self, row: HistoryRow) -> list[Call]:
        calls: list[Call] = []
        if row.height > 0:
            calls.append(("blockchain.transaction.get_merkle", (row.txid, row.height)))
        if row.height > 0 or self._view.sightings.is_unread(row.txid):
            calls.append(("blockchain.transaction.get", (row.txid,)))
        return calls

    def _put_off(self, row: HistoryRow) -> None:
        before = self._refusals.get(row.txid)
        again = before is not None and before.height == row.height
        wait = min(2 * before.wait, REFUSED_AGAIN_AT_MOST) if before and again else REFUSED_AGAIN_SECONDS
        self._refusals[row.txid] = _Refusal(row.height, wait, trio.current_time() + wait)

    def _is_put_off(self, row: HistoryRow) -> bool:
        refusal = self._refusals.get(row.txid)
        return refusal is not None and refusal.height == row.height and trio.current_time() < refusal.again_at

    async def _prove(self, chain: HeaderChain, row: HistoryRow, header: Header, answered: Sequence[object]) -> bool:
        """Whether the branch leads to our header, which proves the transaction. `answered` holds the answers to
        `_calls_for` the row. The branch comes first: then we parse only bytes of a block, never made-up ones."""
        branch = read_branch(answered[0])
        try:
            root = fold_merkle_branch(row.txid, branch.siblings, branch.position)
        except BadMerkleBranch as error:
            raise ServerMisbehaved(f"its proof of {row.txid} is none: {error}") from error
        if root != header.merkle_root:
            return False
        transaction = await read_transaction_of(row.txid, answered[1])
        if chain.hash_at(row.height) == header.block_hash:  # check again: our chain may have moved while we asked
            proof = Proof(row.height, header.block_hash, header_time(header), branch.position)
            kept = PaymentProof(
                row.txid, transaction.serialise_base(), header.raw, branch.position, tuple(branch.siblings)
            )
            self._view.sightings.prove(transaction, proof, kept)
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
            return  # the server is on another branch and need not be lying
        if not await self._prove(chain, row, header, answered):
            raise ServerMisbehaved(f"its proof of {row.txid} at {row.height} leads elsewhere")
