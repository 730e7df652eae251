"""A fault of ours in one root's work ends that work, never the worker; after three of them the root is set aside.

    with a fault that is raised:  the traceback is logged whole, the work is taken up again later, the rest goes on
    with a death of the process:  each start counts a crash for all work that the last run was at when it died

A death names the innocent beside the guilty: all work that was under way. So work that crashed twice goes on alone
among its like. It succeeds and is innocent, or the next death names nobody else.

Work is named by its kind and the CID or transaction that it is about (`fetch bafy…`), because the fetch of a root may
crash while the reminders of its pins go well. A root is set aside as soon as one kind of its work is. It stays so
until a new version of this program may have mended the fault, or the operator says `pinning-worker retry`.
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
from pinning_worker.ports import CrashNotes, Trouble

log = structlog.get_logger()

Result = TypeVar("Result")
Key = TypeVar("Key", bound=Root | PinKey)
MOST_CRASHES = 3
SET_ASIDE = "set aside: our work on it crashed"


class Crashed(Trouble):
    """A fault of ours, logged by now. Whoever does the work again later is counted again."""


def work_name(kind: str, about: Root | PinKey | str) -> str:
    """`about`: a root, a pin, or a txid."""
    if isinstance(about, PinKey):
        return f"{kind} {cid_text(about.root)} {hashlib.sha256(about.name).hexdigest()[:16]}"
    return f"{kind} {about if isinstance(about, str) else cid_text(about)}"


def subject(name: str) -> str:
    """The CID or txid that work of this name is about."""
    return name.split(" ")[1]


@dataclass(slots=True)
class Crashes:
    """`notes`: what outlives the process."""

    notes: CrashNotes
    _at_work: Counter[str] = field(default_factory=Counter)

    def is_aside(self, about: Root | str) -> bool:
        """Of a root or a txid. Asked of all that waits, at each turn: as a rule nothing is."""
        aside = {subject(name) for name, count in self.notes.counts().items() if count >= MOST_CRASHES}
        return bool(aside) and (about if isinstance(about, str) else cid_text(about)) in aside

    def may_begin(self, name: str) -> bool:
        """Whether no work under way, of those that crashed twice, forbids it."""
        return not self._is_suspect(name) or not any(self._is_suspect(other) for other in self._at_work)

    def held_back(self, kind: str, waiting: Iterable[Key]) -> set[Key]:
        """Of what waits for such work, in its order: what goes alone, and not now. Until then it is in nobody's way."""
        if not self.suspects:
            return set()
        suspects = [key for key in waiting if self._is_suspect(work_name(kind, key))]
        return set(suspects if any(map(self._is_suspect, self._at_work)) else suspects[1:])

    @property
    def suspects(self) -> int:
        """How many pieces of work crashed twice or oftener."""
        return sum(count >= MOST_CRASHES - 1 for count in self.notes.counts().values())

    def _is_suspect(self, name: str) -> bool:
        return self.notes.counts().get(name, 0) >= MOST_CRASHES - 1

    async def guard(self, kind: str, about: Root | str, work: Callable[[], Awaitable[Result]]) -> Result:
        """Work that is done at once, and what it returns. Raises as `watch` does."""
        name = work_name(kind, about)
        self.begin(name)
        return await self.watch(name, work)

    def begin(self, name: str) -> None:
        """`watch` must follow."""
        self.notes.begin(name)
        self._at_work[name] += 1

    async def watch(self, name: str, work: Callable[[], Awaitable[Result]]) -> Result:
        """Raises Trouble as the work does, and Crashed. A cancelled work leaves its note: if the process died of a
        fault elsewhere, it may have been this work's."""
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
            self._at_work -= Counter([name])  # no zero stays

    def tell_aside(self) -> None:
        """Once in each run: what is set aside."""
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
