"""The control of one gossip frame without repetitions: each topic and each message once.

A frame of 1 MiB can hold GRAFT a hundred thousand times, and the library would answer each. Repetitions mean no more
than one does; and topics that we are not on mean nothing to us. Control over the peer's budget is not looked at. The
peers that a PRUNE names are not read: we dial by rules of our own (dialler.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import trio
from libp2p.pubsub.pb import rpc_pb2

from pinning_worker.adapters.p2p.bounds.gossip_budget import LONGEST_ID, GossipBudget

AT_ONCE = 250  # entries that are looked at in one turn of the event loop
LONGEST_BACK_OFF_SECONDS = 3600  # seconds; others say 60

T = TypeVar("T")


class FewWords:
    """`over`: there was more than the budget."""

    def __init__(self, topics: Collection[str], budget: GossipBudget) -> None:
        self.over = False
        self._topics = topics
        self._budget = budget
        self._grafts: dict[str, None] = {}
        self._prunes: dict[str, int] = {}
        self._have: dict[str, dict[bytes, None]] = {}
        self._wanted: dict[bytes, None] = {}
        self._unwanted: dict[bytes, None] = {}

    async def read(self, control: rpc_pb2.ControlMessage) -> rpc_pb2.ControlMessage:
        await self._each(control.graft, self._graft)
        await self._each(control.prune, self._prune)
        await self._each(control.ihave, self._ihave)
        await self._each(control.iwant, lambda entry: self._ids(entry.messageIDs, self._wanted))
        await self._each(control.idontwant, lambda entry: self._ids(entry.messageIDs, self._unwanted))
        return rpc_pb2.ControlMessage(
            graft=[rpc_pb2.ControlGraft(topicID=topic) for topic in self._grafts],
            prune=[rpc_pb2.ControlPrune(topicID=topic, backoff=seconds) for topic, seconds in self._prunes.items()],
            ihave=[rpc_pb2.ControlIHave(topicID=topic, messageIDs=ids) for topic, ids in self._have.items()],
            iwant=[rpc_pb2.ControlIWant(messageIDs=self._wanted)] if self._wanted else [],
            idontwant=[rpc_pb2.ControlIDontWant(messageIDs=self._unwanted)] if self._unwanted else [],
        )

    async def _each(self, entries: Sequence[T], read: Callable[[T], None]) -> None:
        allowed = self._budget.entries.take(len(entries), trio.current_time())
        self.over |= allowed < len(entries)
        for at in range(0, allowed, AT_ONCE):
            for entry in entries[at : min(at + AT_ONCE, allowed)]:
                read(entry)
            await trio.lowlevel.checkpoint()

    def _graft(self, entry: rpc_pb2.ControlGraft) -> None:
        if entry.topicID in self._topics:
            self._grafts[entry.topicID] = None

    def _prune(self, entry: rpc_pb2.ControlPrune) -> None:
        topic = entry.topicID
        if topic in self._topics:
            self._prunes[topic] = max(self._prunes.get(topic, 0), min(entry.backoff, LONGEST_BACK_OFF_SECONDS))

    def _ihave(self, entry: rpc_pb2.ControlIHave) -> None:
        if entry.topicID in self._topics:
            self._ids(entry.messageIDs, self._have.setdefault(entry.topicID, {}))

    def _ids(self, ids: Sequence[bytes], into: dict[bytes, None]) -> None:
        allowed = self._budget.ids.take(len(ids), trio.current_time())
        self.over |= allowed < len(ids)
        into.update((each, None) for each in ids[:allowed] if len(each) <= LONGEST_ID)
