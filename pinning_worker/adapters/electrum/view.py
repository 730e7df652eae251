"""Our knowledge of the chain: our verified headers, and the payments that all servers together show. No I/O.

Many sessions write to it, each from its own server, and none of them awaits while it writes: first the network, then
all at once. So there is no lock, and a stalled server holds up nobody. Changes gather as *news* until somebody takes
them; ten changes of one transaction become one, as it is now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pinning_worker.adapters.electrum.faults import ServerMisbehaved
from pinning_worker.adapters.electrum.header_file import Snapshot, snapshot
from pinning_worker.adapters.electrum.sightings import Sightings
from pinning_worker.domain.chain.anchor import built_in_chain, start_chain
from pinning_worker.domain.chain.headerchain import Branch, HeaderChain
from pinning_worker.domain.chain.headers import BadHeader, Header
from pinning_worker.domain.chain.networks import Network
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.payment import Proof, Sighting, Tip
from pinning_worker.ports.world import Clock


@dataclass(frozen=True, slots=True)
class News:
    """The changes, to be reported in this order: the tip, then transactions (the txid of those that are gone).

    `is_all` is False if more is left: the next take then includes whatever is more urgent by then.
    """

    tip: Tip | None
    fork_height: int | None
    transactions: list[Sighting | Txid]
    is_all: bool


class ChainView:
    """`ring` wakes the tasks that report the news and store the headers; `ring_sessions` wakes the sessions;
    `everybody_heard` says whether every server has been read in full, or could not be reached."""

    def __init__(
        self,
        network: Network,
        clock: Clock,
        remembered: Mapping[Txid, Proof | None],
        read_again: Collection[Txid] = (),
    ) -> None:
        self.network, self.clock = network, clock
        self.chain: HeaderChain | None = built_in_chain(network)
        self.sightings = Sightings(remembered, read_again)
        self.being_read: set[Txid] = set()  # rows of a backlog that a session is reading right now
        self.ring: Callable[[], None] = lambda: None
        self.ring_sessions: Callable[[], None] = lambda: None
        self.everybody_heard: Callable[[], bool] = lambda: True
        self._unsaved_from = self.chain.base_height if self.chain is not None else None
        self._caught_up = False  # our chain has reached a server's tip once: before that our own tip is no news
        self._tip_moved = False
        self._fork_height: int | None = None

    # --- headers

    def take_up(self, chain: HeaderChain) -> None:
        """Takes a chain that an earlier run stored."""
        self.chain, self._unsaved_from = chain, None

    def start(self, data: bytes) -> HeaderChain:
        """Starts a chain from the anchor's headers, unless another session was faster. Raises ServerMisbehaved."""
        if self.chain is None:
            try:
                self.chain = start_chain(self.network, data)
            except BadHeader as error:
                raise ServerMisbehaved(f"the anchor: {error}") from error
            self.mark_unsaved(self.chain.base_height)
        return self.chain

    def adopt(self, branch: Branch) -> bool:
        """Adopts the branch if it is better, and returns whether it did. Raises Overtaken."""
        assert self.chain is not None, "a branch grows from a chain"
        old_height = self.chain.tip_height
        first_new = self.chain.adopt(branch)
        if first_new is None:
            return False
        self.mark_unsaved(first_new)
        self._tip_moved = True
        if first_new <= old_height:
            self._fork_height = first_new if self._fork_height is None else min(self._fork_height, first_new)
        self._drop_fallen_proofs(first_new, range(first_new, old_height + 1))
        self.ring()
        return True

    def catch_up(self) -> None:
        """Called when our chain has reached a server's tip: from now on our tip counts as the chain's."""
        if not self._caught_up:
            self._caught_up = self._tip_moved = True
            self._drop_fallen_proofs(0, range(0))
            self.ring()
            self.ring_sessions()

    def tip(self) -> Tip | None:
        """None during the first download: otherwise a tip that is years old would pass for today's."""
        return self.chain.tip() if self.chain is not None and self._caught_up else None

    def header_at(self, height: int) -> Header | None:
        """None if our chain has no such height."""
        return self.chain.header_at(height) if self.chain is not None and self.chain.has(height) else None

    def _drop_fallen_proofs(self, first_new: int, replaced: range) -> None:
        """Takes away the proofs of blocks that left our chain. Nothing changed below `first_new`; `replaced` are the
        heights whose blocks are ours no longer.

        A block above our tip that was not among them is unknown, for our headers may be fetched anew. A proof there
        stands until the headers contradict it.
        """
        chain = self.chain
        assert chain is not None

        def stands(proof: Proof) -> bool:
            if proof.height > chain.tip_height:
                return proof.height not in replaced
            return proof.height < first_new or chain.has_block(proof.height, proof.block_hash)

        if self.sightings.unprove(stands):
            self.ring_sessions()

    def take_unsaved(self) -> Snapshot | None:
        """Returns the headers that are not stored yet; from now on they count as stored."""
        from_height, self._unsaved_from = self._unsaved_from, None
        return snapshot(self.chain, from_height) if self.chain is not None and from_height is not None else None

    def mark_unsaved(self, from_height: int) -> None:
        self._unsaved_from = from_height if self._unsaved_from is None else min(from_height, self._unsaved_from)

    # --- payments

    def watch(self, scripts: Collection[Script]) -> None:
        self.sightings.add_scripts(scripts)
        self.ring_sessions()
        self.ring()

    def settle(self) -> None:
        """Called after a full look at a server. A transaction without a proof (lost, or never had) that no server shows
        is gone; but not before every server has been heard that can be."""
        if self.everybody_heard():
            self.sightings.settle()
        self.ring()

    def withdraw(self, server: str) -> None:
        self.sightings.withdraw(server)
        self.ring()

    # --- news

    def take_news(self) -> News:
        tip = self.tip() if self._tip_moved else None
        fork_height = self._fork_height if tip else None
        if tip is not None:
            self._tip_moved, self._fork_height = False, None
        changes = self.sightings.take_changes()
        return News(tip, fork_height, changes, is_all=not self.sightings.has_changes)


def header_time(header: Header) -> datetime:
    return datetime.fromtimestamp(header.time, UTC)
