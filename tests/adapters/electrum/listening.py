"""A listener that remembers what it was told, and lets a test wait for the thing itself."""

from __future__ import annotations

from collections.abc import Callable

import trio

from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.payment import Sighting, Tip

DEADLINE_SECONDS = 60.0


class Heard:
    """What the watcher has told so far, and the story that a story would make of it."""

    def __init__(self) -> None:
        self.tip: Tip | None = None
        self.forks: list[int] = []
        self.sightings: dict[Txid, Sighting] = {}
        self.gone: list[Txid] = []
        self.transcript: list[str] = []
        self._changed = trio.Event()

    async def payment_seen(self, sighting: Sighting) -> None:
        self.sightings[sighting.txid] = sighting
        self._note(f"seen {sighting.txid} {sighting.proof.height if sighting.proof else 'unproven'}")

    async def payment_gone(self, txid: Txid) -> None:
        self.gone.append(txid)
        self.sightings.pop(txid, None)
        self._note(f"gone {txid}")

    async def tip_moved(self, tip: Tip, fork_height: int | None) -> None:
        self.tip = tip
        if fork_height is not None:
            self.forks.append(fork_height)
        self._note(f"tip {tip.height}" + (f" from {fork_height}" if fork_height is not None else ""))

    def proven_at(self, txid: Txid) -> int | None:
        sighting = self.sightings.get(txid)
        return sighting.proof.height if sighting and sighting.proof else None

    def is_unproven(self, txid: Txid) -> bool:
        return txid in self.sightings and self.sightings[txid].proof is None

    def is_at(self, block_hash: str) -> bool:
        return self.tip is not None and self.tip.hash == block_hash

    async def until(self, happened: Callable[[], bool]) -> None:
        """Returns once the watcher has told what makes it true; fails with the transcript otherwise."""
        with trio.move_on_after(DEADLINE_SECONDS):
            while not happened():
                self._changed = trio.Event()
                await self._changed.wait()
            return
        raise AssertionError("never happened; heard:\n" + "\n".join(self.transcript))

    def _note(self, line: str) -> None:
        self.transcript.append(line)
        self._changed.set()


async def eventually(happened: Callable[[], bool], what: str) -> None:
    """Returns once that is so. For what nobody tells: the state of a server, a file."""
    with trio.move_on_after(DEADLINE_SECONDS):
        while not happened():  # noqa: ASYNC110  # no event tells of it: that is what this is for
            await trio.sleep(0.005)
        return
    raise AssertionError(f"never happened: {what}")
