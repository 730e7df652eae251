"""Messages whose end has not come: how much all of them together may hold, and which goes when it is more.

A peer that announces a message and sends all but its last byte makes us hold it until a deadline ends it, on each of
its streams. Of all peers together MOST bytes are held so. Over it, those go to which nothing has come for longest: a
slow line brings some bytes all the time, a message that is held on purpose does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pinning_worker.adapters.p2p.bounds.unread import MIB, Backlog, to_give_up

MOST = 128 * MIB

GiveUp = Callable[[], None]


class HalfRead:
    """`bytes`: what is held now. Times are seconds of a clock that does not run backwards."""

    def __init__(self, most: int = MOST) -> None:
        self.bytes = 0
        self.most = most
        self._messages: dict[GiveUp, Backlog] = {}

    @contextmanager
    def one(self, give_up: GiveUp) -> Iterator[GiveUp]:
        """A message, under the name of what is called when it must go; it counts until the block ends."""
        self._messages[give_up] = Backlog()
        try:
            yield give_up
        finally:
            self._forget(give_up)

    def came(self, message: GiveUp, count: int, now: float) -> None:
        """So much of it, at that time. Nothing, if it has had to go."""
        backlog = self._messages.get(message)
        if backlog is None:
            return
        backlog.unread += count
        backlog.since = now
        self.bytes += count
        if self.bytes > self.most:
            for each in to_give_up(self._messages.items(), self.most):
                self._forget(each)
                each()

    def _forget(self, message: GiveUp) -> None:
        if (backlog := self._messages.pop(message, None)) is not None:
            self.bytes -= backlog.unread
