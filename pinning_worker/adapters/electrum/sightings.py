"""All payments that the servers together show, and the proofs for them. Plain bookkeeping, no I/O.

- A server *shows* a transaction while its history of a script lists it (`shown.py`).
- A *proof* is ours, from a branch that folded to our own header: no server can give or take it. A reorg can.
- A transaction that is neither proven nor shown by any server is gone.

So one honest server is enough against any number that omit something, and proofs against any number that invent.

Only transactions that pay one of our scripts are reported; those that spend from one, or only own a name output there,
are known and not reported.

A transaction is kept only as far as a story needs it (`Reading`), and each server may bring so many without a block;
beyond that the smallest are put aside, and their rows remembered as read. An invention costs nothing, so no server's
inventions may push out what another server brought.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice, zip_longest

from pinning_worker.adapters.electrum.answers import HistoryRow
from pinning_worker.adapters.electrum.shown import Shown
from pinning_worker.domain.chain.address import scripthash
from pinning_worker.domain.chain.nameop import LONGEST_NAME, LONGEST_VALUE, transaction_name_op
from pinning_worker.domain.chain.transaction import MERKLE_NODE_SIZE, Transaction
from pinning_worker.domain.identities import NameBytes, Script, Txid
from pinning_worker.domain.money.payment import PaidOutput, PaymentProof, Proof, Sighting

MOST_IN_MEMPOOL = 1_000  # unproven transactions kept from one server
MOST_UNPROVEN_OUTPUTS = 20  # to us, of one unproven transaction; one with more is reported once it is proven
LARGEST_UNPROVEN = 20_000  # bytes hashed for the txid; a browser's payment has less than a thousand
ROWS_AT_ONCE = 2_000  # of a server's histories, looked through without a pause: some milliseconds
TOLD_AT_ONCE = 50  # changes; the most urgent come first


@dataclass(frozen=True, slots=True)
class Reading:
    """The part of a transaction that concerns us. Without outputs it does not pay us."""

    name: NameBytes | None
    value: bytes | None
    outputs: tuple[PaidOutput, ...]

    @property
    def amount(self) -> int:
        return sum(output.amount.amount for output in self.outputs)


@dataclass(slots=True)
class _Known:
    """One transaction. Without a reading: remembered from an earlier run, or reported and put aside."""

    reading: Reading | None
    proof: Proof | None
    told: bool = False
    brought_by: str = ""  # the server, while there is no proof
    scripts: int = 0  # number of scripts watched when it was read
    told_of: frozenset[str] = frozenset()  # the servers already reported as showing it
    payment_proof: PaymentProof | None = None  # until it is reported


class Sightings:
    """All payments that the servers together show, and the proofs for them."""

    def __init__(self, remembered: Mapping[Txid, Proof | None], read_again: Collection[Txid] = ()) -> None:
        """`read_again`: remembered ones that are to be read and reported once more, with their payment proof."""
        self.scripts: set[Script] = set()
        self._watched: dict[str, int] = {}  # scripthash -> number of scripts when it was added
        self._known = {txid: _Known(None, proof, told=True) for txid, proof in remembered.items()}
        self._read_again = set(read_again)
        self._shown = Shown()
        self._unproven: dict[str, set[Txid]] = {}  # server -> unproven txids that it brought
        self._aside: dict[str, set[Txid]] = {}  # server -> txids of its mempool that we do not read again
        self._unclaimed = {txid for txid, proof in remembered.items() if proof is None}
        self._changed: dict[Txid, None] = {}  # ordered, each once

    # --- from the servers

    def add_scripts(self, scripts: Collection[Script]) -> None:
        """Adds scripts. Transactions read already may pay them, too: those that their histories list are read again."""
        self.scripts |= set(scripts)
        for script in scripts:
            self._watched.setdefault(scripthash(script), len(self.scripts))

    def show(self, server: str, scripthash: str, history: Iterable[HistoryRow]) -> None:
        """Takes the whole history of one script, as that server lists it now."""
        history = list(history)
        for txid in self._shown.replace(server, scripthash, history):
            self._let_go_unless_shown(txid)
        for row in history:
            self._tell_again(row.txid, server)

    def _tell_again(self, txid: Txid, server: str) -> None:
        """Reports an unproven transaction again when another server shows it: two servers weigh more than one."""
        known = self._known.get(txid)
        if known is not None and known.told and known.proof is None and known.reading and server not in known.told_of:
            self._changed[txid] = None

    def withdraw(self, server: str) -> None:
        """Forgets all that this server showed, and drops unproven transactions that only it showed."""
        for txid in self._shown.withdraw(server):
            self._let_go_unless_shown(txid)

    def settle(self) -> None:
        """Called after a server has been read in full. Drops transactions that lost their proof and that no server
        shows."""
        for txid in self._unclaimed:
            self._let_go_unless_shown(txid)
        self._unclaimed.clear()

    def _let_go_unless_shown(self, txid: Txid) -> None:
        known = self._known.get(txid)
        if known is None or known.proof is not None or txid in self._shown:
            return
        self._disown(txid, known)
        del self._known[txid]
        self._changed.pop(txid, None)
        if known.told:
            self._changed[txid] = None

    # --- to be read

    def shown(self, server: str) -> Iterator[list[HistoryRow]]:
        """Yields the rows of that server in the order of its histories, piece by piece: there may be a hundred thousand
        of them, and other tasks have work to do."""
        if aside := self._aside.get(server):
            aside &= self._shown.unmined_of(server)
        rows = self._shown.rows_of(server)
        while piece := list(islice(rows, ROWS_AT_ONCE)):
            yield piece

    def rows_shown_by(self, server: str) -> int:
        return self._shown.count_of(server)

    def is_wanted(self, server: str, row: HistoryRow) -> bool:
        """Whether the row is to be read or proven."""
        if self.is_unread(row.txid):
            return row.height > 0 or row.txid not in self._aside.get(server, ())
        known = self._known[row.txid]
        return row.height > 0 and known.proof is None and known.reading is not None and bool(known.reading.outputs)

    def is_unread(self, txid: Txid) -> bool:
        """Whether we need its bytes: it is new, or has neither bytes nor proof, or may pay a script watched since."""
        known = self._known.get(txid)
        if known is None or known.reading is None:
            return known is None or known.proof is None or txid in self._read_again
        if known.scripts == len(self.scripts):
            return False
        return any(self._watched.get(each, 0) > known.scripts for each in self._shown.scripthashes_of(txid))

    def in_turn(self, rows: Iterable[HistoryRow]) -> tuple[list[HistoryRow], list[HistoryRow], list[HistoryRow]]:
        """Sorts the rows into three kinds: in a block now and read in the mempool, the highest amount first; unread in
        a block, and unread in the mempool, both the newest first. Each kind has its own turn, for each can be large."""
        known, mined, unmined = list[HistoryRow](), list[HistoryRow](), list[HistoryRow]()
        for row in rows:
            (mined if row.height > 0 else unmined).append(row) if self.is_unread(row.txid) else known.append(row)
        known.sort(key=lambda row: self._amount(row.txid), reverse=True)
        mined.sort(key=lambda row: (row.height, self._shown.arrival(row.txid)), reverse=True)
        unmined.sort(key=lambda row: self._shown.arrival(row.txid), reverse=True)
        return known, mined, unmined

    # --- known

    def learn(self, server: str, transaction: Transaction) -> None:
        """Takes its bytes, which that server brought. They hash to the txid, so they need no trust."""
        known = self._known.setdefault(transaction.txid, _Known(None, None))
        reading = read_for(transaction, self.scripts)
        if known.proof is None and not _is_small(transaction, reading):
            return self._put_aside(server, transaction.txid, known)
        known.reading, known.scripts = reading, len(self.scripts)
        self._changed[transaction.txid] = None
        if known.proof is None:
            self._disown(transaction.txid, known)
            known.brought_by = server
            self._unproven.setdefault(server, set()).add(transaction.txid)
            self._make_room(server)
        return None

    def prove(self, transaction: Transaction, proof: Proof, payment_proof: PaymentProof) -> None:
        """Takes a transaction with its proof."""
        known = self._known.setdefault(transaction.txid, _Known(None, None))
        known.reading, known.scripts = read_for(transaction, self.scripts), len(self.scripts)
        self._read_again.discard(transaction.txid)
        self._disown(transaction.txid, known)
        if known.reading.outputs:
            known.proof, known.payment_proof = proof, payment_proof
            self._changed[transaction.txid] = None

    def unprove(self, stands: Callable[[Proof], bool]) -> bool:
        """Takes away the proofs that do not stand any more; True if there were any."""
        fallen = [txid for txid, known in self._known.items() if known.proof and not stands(known.proof)]
        for txid in fallen:
            self._known[txid].proof = self._known[txid].payment_proof = None
            self._changed[txid] = None
            if txid not in self._shown:
                self._unclaimed.add(txid)
        return bool(fallen)

    def unproven_of(self, server: str) -> int:
        """Counts the unproven transactions from that server that we hold."""
        return len(self._unproven.get(server, ()))

    def _disown(self, txid: Txid, known: _Known) -> None:
        self._unproven.get(known.brought_by, set()).discard(txid)
        known.brought_by = ""

    def _make_room(self, server: str) -> None:
        """Puts the smallest of that server's transactions aside, of equals the oldest; a tenth at a time."""
        brought = self._unproven[server]
        if len(brought) <= MOST_IN_MEMPOOL:
            return
        by_weight = sorted(brought, key=lambda txid: (self._amount(txid), self._shown.arrival(txid)))
        for txid in by_weight[: MOST_IN_MEMPOOL // 10]:
            self._put_aside(server, txid, self._known[txid])

    def _put_aside(self, server: str, txid: Txid, known: _Known) -> None:
        """Drops its reading. If it was reported, it stays reported until it is gone."""
        self._disown(txid, known)
        self._aside.setdefault(server, set()).add(txid)
        known.reading = None
        self._changed.pop(txid, None)
        if not known.told:
            del self._known[txid]

    # --- to be reported

    def take_changes(self) -> list[Sighting | Txid]:
        """Takes some of the changes: a sighting as it is now, or the txid of a transaction that is gone. A few changes
        come in their order. Of many the proven come first, highest amount first; then the unproven, each server in its
        turn, for a large invention costs no more than a small one."""
        taken: list[Txid] = list(self._changed)
        if len(taken) > TOLD_AT_ONCE:
            taken = self._most_urgent(taken)
        for txid in taken:
            del self._changed[txid]
        told = (self._tell(txid) for txid in taken)
        return [change for change in told if change is not None]

    @property
    def has_changes(self) -> bool:
        return bool(self._changed)

    def _most_urgent(self, txids: Collection[Txid]) -> list[Txid]:
        shown_by = {txid: self._shown.servers_of(txid) or {""} for txid in txids}
        shows = Counter(server for servers in shown_by.values() for server in servers)
        lanes: dict[str, list[Txid]] = {"proven": []}
        for txid, servers in shown_by.items():
            known = self._known.get(txid)
            is_proven = known is not None and known.proof is not None
            lanes.setdefault("proven" if is_proven else min(servers, key=lambda each: shows[each]), []).append(txid)
        ordered = [nlargest(TOLD_AT_ONCE, lane, key=self._amount) for lane in lanes.values()]
        in_turn = [txid for each in zip_longest(*ordered[1:]) for txid in each if txid is not None]
        return [*ordered[0], *in_turn][:TOLD_AT_ONCE]

    def _amount(self, txid: Txid) -> int:
        known = self._known.get(txid)
        return known.reading.amount if known is not None and known.reading is not None else 0

    def _tell(self, txid: Txid) -> Sighting | Txid | None:
        known = self._known.get(txid)
        if known is None:
            return txid
        if known.reading is None or not known.reading.outputs:
            return None
        known.told, servers = True, self._shown.servers_of(txid)
        known.told_of |= servers
        reading, payment_proof, known.payment_proof = known.reading, known.payment_proof, None
        return Sighting(txid, reading.name, reading.value, reading.outputs, known.proof, servers, payment_proof)


def read_for(transaction: Transaction, scripts: Collection[Script]) -> Reading:
    """Reads the outputs to our scripts. 64 bytes could be an inner node of a merkle tree, and are never a payment."""
    if transaction.base_size == MERKLE_NODE_SIZE:
        return Reading(None, None, ())
    outputs = tuple(
        PaidOutput(vout, output.amount) for vout, output in enumerate(transaction.outputs) if output.script in scripts
    )
    named = transaction_name_op(transaction) if outputs else None
    return Reading(named[1].name if named else None, named[1].value if named else None, outputs)


def _is_small(transaction: Transaction, reading: Reading) -> bool:
    """Whether it may be kept without a proof: no larger than browsers make it, and within the limits of a block for
    names."""
    return (
        transaction.base_size <= LARGEST_UNPROVEN
        and len(reading.outputs) <= MOST_UNPROVEN_OUTPUTS
        and len(reading.name or b"") <= LONGEST_NAME
        and len(reading.value or b"") <= LONGEST_VALUE
    )
