"""Exception groups stay inside: a nursery with one failing task raises that task's exception, as it was."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lone_error() -> Iterator[None]:
    """Around a nursery: a group of exactly one exception leaves as that exception, its own cause and traceback kept."""
    lone: BaseException | None = None
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) != 1:
            raise
        lone = group.exceptions[0]
    if lone is not None:
        raise lone
