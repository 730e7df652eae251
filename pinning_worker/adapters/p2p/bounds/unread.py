"""Bytes that peers have sent and nobody has read yet: how many there may be, and which streams go when there are more.

A peer may use up the window of each of its streams before anybody has read a byte: the 256 KiB that yamux gives to each
stream, and whatever it grew to while it was read. One window is little; a thousand of them are not. Rules:
- A sender gets more room when half of its window is free (`stream_window.py`): the bytes that it may send and the bytes
  unread are never more than the window together.
- Of one connection MOST_OF_ONE bytes may lie unread, of all connections MOST_OF_ALL, and a connection knows
  MOST_STREAMS streams. Windows of one connection stop growing at MOST_OF_ONE together, so that only a peer with dozens
  of streams that are full and unread exceeds it.
- Over it, the streams are lost that have waited longest to be read, until an eighth of the room is free. A stream waits
  since the time when all that lies in it, or something behind it, began to lie there: to read a few bytes of many makes
  it no younger.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

MIB = 1024 * 1024
MOST_OF_ONE = 16 * MIB
MOST_OF_ALL = 64 * MIB
MOST_STREAMS = 512
FREED = 8  # one part in so many

T = TypeVar("T")


class Backlog:
    """The unread bytes of one stream. `since`: all that came before then has been read."""

    __slots__ = ("_older", "since", "unread")

    def __init__(self) -> None:
        self.unread = 0
        self.since = 0.0
        self._older = 0  # bytes until everything that lay here at `since` is read

    def received(self, count: int, now: float) -> None:
        if not self.unread:
            self.since, self._older = now, count
        self.unread += count

    def was_read(self, count: int, now: float) -> None:
        self.unread = max(0, self.unread - count)
        self._older -= count
        if self._older <= 0:
            self.since, self._older = now, self.unread


class Held:
    """A count of bytes that is part of another one."""

    def __init__(self, whole: Held | None = None) -> None:
        self.bytes = 0
        self._whole = whole

    def add(self, count: int) -> None:
        self.bytes += count
        if self._whole is not None:
            self._whole.add(count)

    def set(self, count: int) -> None:
        self.add(count - self.bytes)


def to_give_up(waiting: Iterable[tuple[T, Backlog]], most: int) -> list[T]:
    """The streams that lose what they hold, the longest unread first, until there is room. Empty: there is."""
    full = [(each, backlog) for each, backlog in waiting if backlog.unread]
    held = sum(backlog.unread for _, backlog in full)
    if held <= most:
        return []
    chosen = []
    for each, backlog in sorted(full, key=lambda pair: pair[1].since):
        if held <= most - most // FREED:
            break
        held -= backlog.unread
        chosen.append(each)
    return chosen
