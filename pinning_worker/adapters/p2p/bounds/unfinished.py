"""Limits on the bytes held of frames whose end has not come: of one peer, of one address, and in all.

A frame is announced with its length, and a peer that announces 1 MiB and sends all but the last byte makes us hold it.
When a bound is passed, then of the streams that it covers the one goes that has been in the middle of a frame for
longest: an honest frame comes in a moment, so it is the last to go. STREAMS of one peer are read at most; one more, and
the oldest goes, for it is probably left over from before the peer reconnected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

MIB = 1024 * 1024

STREAMS = 4
OF_A_PEER = 2 * MIB
OF_AN_ADDRESS = 8 * MIB
IN_ALL = 32 * MIB

K = TypeVar("K", bound=Hashable)


@dataclass(eq=False, slots=True)
class Reading:
    """One stream. `address`: None when no limit by address applies to it. `give_up()` ends it."""

    peer: bytes
    address: str | None
    give_up: Callable[[], None]
    held: int = 0
    place: int = 0  # among all frames that were begun


class Unfinished:
    """All streams that are being read."""

    def __init__(self) -> None:
        self._of_peers: dict[bytes, list[Reading]] = defaultdict(list)
        self._of_addresses: dict[str | None, list[Reading]] = defaultdict(list)
        self._all: dict[Reading, None] = {}
        self._held: dict[object, int] = defaultdict(int)
        self._begun = 0

    @property
    def held(self) -> int:
        return self._held[None]

    def __len__(self) -> int:
        return len(self._all)

    def begin(self, reading: Reading) -> None:
        mine = self._of_peers[reading.peer]
        mine.append(reading)
        self._all[reading] = None
        self._of_addresses[reading.address].append(reading)
        if len(mine) > STREAMS:
            self._give_up(mine[0])

    def end(self, reading: Reading) -> None:
        if reading not in self._all:
            return
        self._set(reading, 0)
        del self._all[reading]
        _remove(self._of_peers, reading.peer, reading)
        _remove(self._of_addresses, reading.address, reading)
        for whose in (reading.peer, reading.address):
            if whose is not None and not self._held[whose]:
                del self._held[whose]

    def holds(self, reading: Reading, size: int) -> None:
        """The stream holds so many bytes of a frame that has not ended; 0: it has."""
        if reading not in self._all:
            return
        if size and not reading.held:
            self._begun += 1
            reading.place = self._begun
        self._set(reading, size)
        if self._held[reading.peer] > OF_A_PEER:
            self._give_up(_longest(self._of_peers[reading.peer]))
        if reading.address is not None and self._held[reading.address] > OF_AN_ADDRESS:
            self._give_up(_longest(self._of_addresses[reading.address]))
        if self.held > IN_ALL:
            self._give_up(_longest(self._all))

    def _set(self, reading: Reading, size: int) -> None:
        for whose in {reading.peer, reading.address, None}:
            self._held[whose] += size - reading.held
        reading.held = size

    def _give_up(self, reading: Reading) -> None:
        self.end(reading)
        reading.give_up()


def _longest(readings: Iterable[Reading]) -> Reading:
    return min((each for each in readings if each.held), key=lambda each: each.place)


def _remove(known: dict[K, list[Reading]], whose: K, reading: Reading) -> None:
    known[whose].remove(reading)
    if not known[whose]:
        del known[whose]
