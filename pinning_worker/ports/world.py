"""The world around the stories: time, crashes, the topic, and everyday trouble."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.topic.messages import Message


class Trouble(Exception):
    """Something outside failed in a way that happens any day; a later retry may succeed."""


class DiskFull(Trouble):
    """The disk (or our quota on it) has no room."""


class NeedsMending(Trouble):
    """A file is damaged, somebody else's, or unreadable for us: only the operator can mend it. The text names the file
    and the remedy. A start fails on it; a running worker continues, as with any other trouble."""


class Clock(Protocol):
    def now(self) -> datetime:
        """UTC, aware."""

    async def sleep(self, seconds: float) -> None: ...


class CrashNotes(Protocol):
    """The work under way, and the crashes of each work; both outlive the process, however it ends. Work has a name
    (`steps/crashes.py`). Not async: the note exists before the work begins, and costs microseconds."""

    def counts(self) -> Mapping[str, int]:
        """Crashes of each work since its last success."""

    def begin(self, name: str) -> None:
        """The same name may be under way more than once."""

    def end(self, name: str, *, crashed: bool = False) -> int:
        """Counts a crash, or clears all earlier ones. Returns the count now."""


class Announcer(Protocol):
    async def say(self, message: Message) -> None:
        """Publishes on the content topic, paced. Never blocks for long, never raises: gossip is lossy anyway."""


class Signer(Protocol):
    """The worker's own key."""

    @property
    def peer_id(self) -> PeerId: ...

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature, 64 bytes: the same for the same message. Not async: it costs microseconds."""
