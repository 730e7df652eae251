"""The transactions that touch our payment scripts: who shows them, and what is proven. Plain bookkeeping, no I/O.

- A server *shows* a transaction while its history of a script lists it. What it showed stands while it is away, until
  it comes back and says otherwise, or is found to lie (`withdraw`).
- A *proof* is ours, from a branch that folded to our own header: no server can give or take it. A reorg can.
- What is neither proven nor shown by anybody is gone.

So one honest server is enough against any number that leave something out, and proofs against any number that invent.
Only transactions that pay one of our scripts are told of; those that spend from one, or only own a name output there,
are known and kept quiet about.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from pinning_worker.adapters.electrum.answers import HistoryRow
from pinning_worker.domain.nameop import transaction_name_op
from pinning_worker.domain.payment import PaidOutput, Proof, Sighting
from pinning_worker.domain.transaction import MERKLE_NODE_SIZE, Transaction

MOST_IN_MEMPOOL = 1_000  # transactions without a block that one server is asked for


@dataclass(slots=True)
class _Known:
    """One transaction. Without its bytes: remembered from an earlier run, proven, and not asked for again."""

    transaction: Transaction | None
    proof: Proof | None
    told: bool = False


class Sightings:
    """What all servers together show, and what is proven of it."""

    def __init__(self, remembered: Mapping[str, Proof | None]) -> None:
        self.scripts: set[bytes] = set()
        self._known = {txid: _Known(None, proof, told=True) for txid, proof in remembered.items()}
        self._rows: dict[tuple[str, str], dict[str, int]] = {}  # (server, scripthash) -> txid -> height
        self._showing: dict[str, set[tuple[str, str]]] = {}  # txid -> where it is listed
        self._unclaimed = {txid for txid, proof in remembered.items() if proof is None}
        self._changed: dict[str, None] = {}  # ordered, each once

    # --- what servers say

    def add_scripts(self, scripts: Collection[bytes]) -> None:
        """Transactions known already may pay them, too."""
        new = set(scripts) - self.scripts
        self.scripts |= new
        for txid, known in self._known.items():
            if known.transaction and any(output.script in new for output in known.transaction.outputs):
                self._changed[txid] = None

    def show(self, server: str, scripthash: str, history: Iterable[HistoryRow]) -> None:
        """The whole history of one script, as that server tells it now."""
        place = (server, scripthash)
        before, now = self._rows.get(place, {}), {row.txid: row.height for row in history}
        self._rows[place] = now
        for txid in now.keys() - before.keys():
            self._showing.setdefault(txid, set()).add(place)
        for txid in before.keys() - now.keys():
            self._hide(txid, place)

    def withdraw(self, server: str) -> None:
        """Forgets what that server showed; what it alone showed, and is not proven, is gone."""
        for place in [place for place in self._rows if place[0] == server]:
            for txid in self._rows.pop(place):
                self._hide(txid, place)

    def settle(self) -> None:
        """After a server has been looked at in full: what nobody showed again since it lost its proof is gone."""
        for txid in self._unclaimed:
            self._let_go_unless_shown(txid)
        self._unclaimed.clear()

    def _hide(self, txid: str, place: tuple[str, str]) -> None:
        places = self._showing[txid]
        places.discard(place)
        if not places:
            del self._showing[txid]
            self._let_go_unless_shown(txid)

    def _let_go_unless_shown(self, txid: str) -> None:
        known = self._known.get(txid)
        if known is None or known.proof is not None or txid in self._showing:
            return
        del self._known[txid]
        self._changed.pop(txid, None)
        if known.told:
            self._changed[txid] = None

    # --- what is to be asked

    def wanted(self, server: str) -> list[HistoryRow]:
        """Rows of that server that are to be read or proven; of those in no block so many that it has shown us
        MOST_IN_MEMPOOL of them at a time."""
        mined: list[HistoryRow] = []
        unmined: list[HistoryRow] = []
        read = 0
        for row in self._rows_of(server):
            if self._is_wanted(row):
                (mined if row.height > 0 else unmined).append(row)
            elif row.height <= 0:
                read += 1
        return mined + unmined[: max(0, MOST_IN_MEMPOOL - read)]

    def is_unread(self, txid: str) -> bool:
        """Its bytes are needed: it is new, or was remembered and has lost its proof."""
        known = self._known.get(txid)
        return known is None or (known.transaction is None and known.proof is None)

    def _rows_of(self, server: str) -> Iterable[HistoryRow]:
        merged: dict[str, int] = {}
        for (shown_by, _), rows in self._rows.items():
            if shown_by == server:
                merged |= rows
        return (HistoryRow(txid, height) for txid, height in merged.items())

    def _is_wanted(self, row: HistoryRow) -> bool:
        if self.is_unread(row.txid):
            return True
        known = self._known[row.txid]
        return (
            row.height > 0 and known.proof is None and known.transaction is not None and self._pays(known.transaction)
        )

    def _pays(self, transaction: Transaction) -> bool:
        """64 bytes could be an inner node of a merkle tree, passed off as a transaction: never a payment."""
        hashed_as_node = transaction.base_size == MERKLE_NODE_SIZE
        return not hashed_as_node and any(output.script in self.scripts for output in transaction.outputs)

    # --- what is known

    def learn(self, transaction: Transaction) -> None:
        """Its bytes; nobody need be believed for them."""
        known = self._known.setdefault(transaction.txid, _Known(None, None))
        known.transaction = transaction
        self._changed[transaction.txid] = None

    def prove(self, txid: str, proof: Proof) -> None:
        """Nothing happens where it is not known to be a payment (any more)."""
        known = self._known.get(txid)
        if known is not None and known.transaction is not None and self._pays(known.transaction):
            known.proof = proof
            self._changed[txid] = None

    def unprove(self, stands: Callable[[Proof], bool]) -> bool:
        """Takes away the proofs that do not stand any more; True if there were any."""
        fallen = [txid for txid, known in self._known.items() if known.proof and not stands(known.proof)]
        for txid in fallen:
            self._known[txid].proof = None
            self._changed[txid] = None
            if txid not in self._showing:
                self._unclaimed.add(txid)
        return bool(fallen)

    def take_changes(self) -> list[Sighting | str]:
        """What changed since the last call, in that order: a sighting as it is now, or the txid of what is gone."""
        changed, self._changed = self._changed, {}
        told = (self._tell(txid) for txid in changed)
        return [change for change in told if change is not None]

    def _tell(self, txid: str) -> Sighting | str | None:
        known = self._known.get(txid)
        if known is None:
            return txid
        if known.transaction is None or not self._pays(known.transaction):
            return None
        known.told = True
        return self._sighting(known.transaction, known.proof)

    def _sighting(self, transaction: Transaction, proof: Proof | None) -> Sighting:
        named = transaction_name_op(transaction)
        outputs = tuple(
            PaidOutput(vout, output.amount)
            for vout, output in enumerate(transaction.outputs)
            if output.script in self.scripts
        )
        name, value = (named[1].name, named[1].value) if named else (None, None)
        return Sighting(transaction.txid, name, value, outputs, proof)
