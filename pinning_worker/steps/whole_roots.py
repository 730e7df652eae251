"""The roots that this run has found whole: every block was there, and their sizes add up."""

from __future__ import annotations

from dataclasses import dataclass, field

from pinning_worker.domain.content.cid import Root


@dataclass(slots=True)
class WholeRoots:
    _roots: set[Root] = field(default_factory=set)

    def __contains__(self, root: Root) -> bool:
        return root in self._roots

    def note_whole(self, root: Root) -> None:
        """The root has just been audited or compared."""
        self._roots.add(root)

    def note_damaged(self, root: Root) -> None:
        """The root must be compared again once its blocks are back."""
        self._roots.discard(root)

    def forget_all(self) -> None:
        self._roots.clear()
