"""Attempts at a step: read, decide, store only if no other step was faster, else again.

for _ in attempts("judged"):
    ...
    if await books.commit(change):
        return
"""

from __future__ import annotations

from collections.abc import Iterator

TRIES = 50


class Overtaken(RuntimeError):
    """Fifty lost attempts in a row: a bug, or an operator's mistake (two workers on one database)."""


def attempts(step: str) -> Iterator[int]:
    """Raises Overtaken when other steps were faster every time."""
    yield from range(TRIES)
    raise Overtaken(f"{step}: others were faster {TRIES} times")
