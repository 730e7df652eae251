"""Attempts at a step: read, decide, store only if nobody was faster, else again.

for _ in attempts("judged"):
    ...
    if await books.commit(change):
        return
"""

from __future__ import annotations

from collections.abc import Iterator

TRIES = 50


class Overtaken(RuntimeError):
    """Nobody is faster fifty times in a row, unless two workers share a database: a bug, or an operator's mistake."""


def attempts(step: str) -> Iterator[int]:
    """Raises Overtaken when others were faster every time."""
    yield from range(TRIES)
    raise Overtaken(f"{step}: others were faster {TRIES} times")
