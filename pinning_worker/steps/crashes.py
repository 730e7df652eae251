"""A fault of ours in one root's work ends that work, never the worker; after three such crashes the root is set aside.

    an exception:              the log has the whole traceback, the work is retried later, all other work goes on
    a death of the process:    each start counts a crash for all work that was under way when the last run died

A death incriminates all work that was under way, most of it innocent. So of all work that crashed twice, only one
piece runs at a time. It succeeds and is innocent, or of these the next death counts against it alone.

The name of work is its kind and the CID or transaction that it is about (`fetch bafy…`), because the fetch of a root
may crash while the reminders of its pins go well. A root is set aside as soon as one kind of its work has crashed
three times. It stays so until a new version of this program, which may have mended the fault, or until the operator
runs `pinning-worker retry`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from pinning_worker.domain.content.cid import Root, cid_text
from pinning_worker.domain.pin import PinKey
from pinning_worker.ports.world import CrashNotes, Trouble

log = structlog.get_logger()

Result = TypeVar("Result")
Key = TypeVar("Key", bound=Root | PinKey)
MOST_CRASHES = 3
SET_ASIDE = "set aside: our work on it crashed"


class Crashed(Trouble):
    """A fault of ours, already logged. Another crash of the same work counts again."""


def work_name(kind: str, about: Root | PinKey | str) -> str:
    """The name of a work. `about`: a root, a pin, or a txid."""
    if isinstance(about, PinKey):
        return f"{kind} {cid_text(about.root)} {hashlib.sha256(about.name).hexdigest()[:16]}"
    return f"{kind} {about if isinstance(about, str) else cid_text(about)}"


def subject(name: str) -> str:
    """The CID or txid in the name of a work."""
    return name.split(" ")[1]


@dataclass(slots=True)
class Crashes:
    """Counts crashes. `notes` outlive the process."""

    notes: CrashNotes
    _at_work: Counter[str] = field(default_factory=Counter)

    def is_aside(self, about: Root | str) -> bool:
        """Whether a root or a txid is set aside. Called for all waiting work at each turn: as a rule none is."""
        aside = {subject(name) for name, count in self.notes.counts().items() if count >= MOST_CRASHES}
        return bool(aside) and (about if isinstance(about, str) else cid_text(about)) in aside

    def may_begin(self, name: str) -> bool:
        """Whether this work may begin: if it crashed twice, only while no other such work is under way."""
        return not self._is_suspect(name) or not any(self._is_suspect(other) for other in self._at_work)

    def held_back(self, kind: str, waiting: Iterable[Key]) -> set[Key]:
        """The waiting keys whose work crashed twice and must wait its turn: they take no other work's place."""
        if not self.suspects:
            return set()
        suspects = [key for key in waiting if self._is_suspect(work_name(kind, key))]
        return set(suspects if any(map(self._is_suspect, self._at_work)) else suspects[1:])

    @property
    def suspects(self) -> int:
        """The number of works that crashed twice or oftener."""
        return sum(count >= MOST_CRASHES - 1 for count in self.notes.counts().values())

    def _is_suspect(self, name: str) -> bool:
        return self.notes.counts().get(name, 0) >= MOST_CRASHES - 1

    async def guard(self, kind: str, about: Root | str, work: Callable[[], Awaitable[Result]]) -> Result:
        """Does the work at once and returns its result. Raises like `watch`."""
        name = work_name(kind, about)
        self.begin(name)
        return await self.watch(name, work)

    def begin(self, name: str) -> None:
        """Notes the work as under way. `watch` must follow."""
        self.notes.begin(name)
        self._at_work[name] += 1

    async def watch(self, name: str, work: Callable[[], Awaitable[Result]]) -> Result:
        """Does the work and returns its result. Raises the work's Trouble, and Crashed. Cancelled work leaves its note:
        if the process dies of a fault, the fault may be this work's."""
        try:
            result = await work()
        except Trouble:
            self.notes.end(name)
            raise
        except Exception as fault:
            self._tell(name, fault, self.notes.end(name, crashed=True))
            raise Crashed(f"a fault of ours: {fault!r}") from fault
        else:
            self.notes.end(name)
            return result
        finally:
            self._at_work -= Counter([name])  # unlike `subtract`, it drops zeros

    def tell_aside(self) -> None:
        """Logs all work that is set aside, once in each run."""
        for name, count in self.notes.counts().items():
            if count >= MOST_CRASHES:
                _tell_aside(name, count)

    def _tell(self, name: str, fault: Exception, count: int) -> None:
        log.error("work.crashed", work=name, times=count, fault=repr(fault), exc_info=fault)
        if count == MOST_CRASHES:
            _tell_aside(name, count)


def _tell_aside(name: str, count: int) -> None:
    log.error(
        "work.set_aside", work=name, crashes=count, mend=f"report it; later `pinning-worker retry {subject(name)}`"
    )
