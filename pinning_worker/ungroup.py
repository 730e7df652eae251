"""How one error leaves a nursery: exception groups end here, wherever this program opens a nursery that may fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


@contextmanager
def one_error() -> Iterator[None]:
    """Exception groups end here: the first real error leaves as itself, with the others in its notes.

    A group of nothing but cancellations leaves as one cancellation, which the scope that caused it can catch.
    """
    error: BaseException | None = None
    try:
        yield
    except BaseExceptionGroup as group:
        error = _foremost(group)
    if error is not None:
        raise error


def _foremost(group: BaseExceptionGroup[BaseException]) -> BaseException:
    leaves = list(_leaves(group))
    real = [leaf for leaf in leaves if not isinstance(leaf, trio.Cancelled)]
    if not real:
        return leaves[0]
    for other in real[1:]:
        real[0].add_note(f"at the same time: {other!r}")
    return real[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
