"""Media: what the worker keeps of the content that a name points to, for a LIST that asks.

It is called kept only as NEW-CID would be told so: a pin stands, the operator does not withhold it, and its blocks were
compared with the books in this run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.pin import Pin
from pinning_worker.domain.topic.name_row import KeptMedia
from pinning_worker.ports.books import Dossier
from pinning_worker.steps.checking import Checking
from pinning_worker.steps.neighbours import Chapter

MOST_PINS = 10  # that are looked at, the latest end first


@dataclass(slots=True)
class KeptContent(Chapter):
    """The port `Media`."""

    checking: Checking

    async def kept(self, root: Root) -> KeptMedia | None:
        if self.terms.blocked(root):
            return None
        known = await self.books.dossier(root, MOST_PINS)
        whole = [pin for pin in self._shown(known) if await self.checking.is_kept(pin.root)]
        ends = [pin.ends for pin in whole if pin.ends is not None]
        if not ends:
            return None
        request = known.request
        if request is None or request.sizes is None or all(pin.root != root for pin in whole):
            return KeptMedia(max(ends))
        return KeptMedia(max(ends), request.sizes, request.blocks)

    def _shown(self, known: Dossier) -> Sequence[Pin]:
        return [pin for pin in known.naming if not self.terms.blocked(pin.root)]
