"""The world around the stories: time, crashes, the topic, and trouble of every day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from pinning_worker.domain.topic.messages import Message


class Trouble(Exception):
    """Something outside failed in a way that happens any day; trying again later is the cure."""


class DiskFull(Trouble):
    """The disk (or our quota on it) has no room."""


class NeedsMending(Trouble):
    """A file is damaged, somebody else's, or not ours to use: only the operator can cure it. The text names the file,
    and says what to do. No start on it; a worker that runs already goes on, as with any other trouble."""


class Clock(Protocol):
    def now(self) -> datetime:
        """UTC, aware."""

    async def sleep(self, seconds: float) -> None: ...


class CrashNotes(Protocol):
    """The work under way, and how often work ended in a crash; both outlive the process, however it ends. Work has a
    name (`steps/crashes.py`). Not async: the note is there before the work begins, and costs microseconds."""

    def counts(self) -> Mapping[str, int]:
        """Of all work that has crashed and not been forgiven since."""

    def begin(self, name: str) -> None:
        """The same name may be under way more than once."""

    def end(self, name: str, *, crashed: bool = False) -> int:
        """Counts a crash, or forgives all earlier ones. Returns the count now."""


class Announcer(Protocol):
    async def say(self, message: Message) -> None:
        """Broadcast on the content topic, paced. Never blocks for long, never raises: gossip is lossy anyway."""
