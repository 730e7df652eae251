"""The doorbell of the loop, and the list of pins whose payments may have changed.

A chapter that changes the books rings; it never calls another chapter. The truth is in the books, so a ring that is
lost with the process loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from pinning_worker.domain.pin import PinKey


@dataclass(slots=True)
class Bell:
    nudged: dict[PinKey, None] = field(default_factory=dict)  # in the order of their first nudge
    _rung: trio.Event = field(default_factory=trio.Event)

    def ring(self) -> None:
        """Something in the books has changed: the loop looks for due rows."""
        self._rung.set()

    def nudge(self, key: PinKey) -> None:
        """This pin's payments, or the blocks held for it, may have changed: the loop judges it."""
        self.nudged[key] = None
        self.ring()

    def reset(self) -> None:
        """Call it before a look at the books, so that a ring during the look is not lost."""
        self._rung = trio.Event()

    async def wait(self) -> None:
        await self._rung.wait()
