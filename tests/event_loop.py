"""Says when an event loop stood still, for how long, and what the program was doing then. It reports; it fails nothing.

    with watched():         # in an `async def`: the loop that runs it
        ...

The loop stands still while it runs tasks and looks at no socket: from one wait for input to the next. A thread looks on
from outside, so that it can tell the stack of a stop that still lasts; and it sees many short steps, one after the
other, as the one stop that they are to a peer. The time at work is what the loop's own thread spent: on a
busy machine the rest was somebody else's.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import trio
from trio.abc import Instrument

WORTH_TELLING = 0.25  # seconds
STOOD_STILL = "the event loop stood still for"
LOOKS = 0.02  # seconds between two looks of the thread


class Watch(Instrument):
    """Instrument of the loop to be watched. Of all stops so far, told or not: `longest` is the longest, `most_work` the
    most time at work in one."""

    def __init__(self, worth_telling: float = WORTH_TELLING) -> None:
        self.longest = 0.0
        self.most_work = 0.0
        self.told: list[str] = []
        self._worth_telling = worth_telling
        self._thread = threading.get_ident()
        self._running_since: float | None = None
        self._own_time = 0.0
        self._stack = ""
        self._over = threading.Event()

    def after_io_wait(self, timeout: float) -> None:
        self._running_since = time.perf_counter()
        self._own_time = time.thread_time()

    def before_io_wait(self, timeout: float) -> None:
        since, self._running_since = self._running_since, None
        if since is None:
            return
        seconds, own = time.perf_counter() - since, time.thread_time() - self._own_time
        self.longest, self.most_work = max(self.longest, seconds), max(self.most_work, own)
        if seconds > self._worth_telling:
            stack, self._stack = self._stack or "the stack was not seen\n", ""
            self._tell(f"{STOOD_STILL} {seconds * 1000:.0f} ms, {own * 1000:.0f} ms of them at work:\n{stack}")

    def look_on(self) -> None:
        """The thread."""
        seen: float | None = None
        while not self._over.wait(LOOKS):
            since = self._running_since
            if since is not None and since != seen and time.perf_counter() - since > self._worth_telling:
                seen = since
                stack = _stack_of(sys._current_frames().get(self._thread))
                if self._running_since == since:
                    self._stack = stack

    def end(self) -> None:
        self._over.set()

    def _tell(self, text: str) -> None:
        self.told.append(text)
        print(text, file=sys.stderr, flush=True)


def _stack_of(frame: FrameType | None) -> str:
    return "".join(traceback.format_stack(frame)[-12:]) if frame is not None else ""


@contextmanager
def watched(worth_telling: float = WORTH_TELLING) -> Iterator[Watch]:
    """The loop that this is called in."""
    watch = Watch(worth_telling)
    thread = threading.Thread(target=watch.look_on, name="event loop watch", daemon=True)
    thread.start()
    trio.lowlevel.add_instrument(watch)
    try:
        yield watch
    finally:
        watch.before_io_wait(0)  # what stood still until now, too
        trio.lowlevel.remove_instrument(watch)
        watch.end()
        thread.join()
