"""How a cure takes a method's place: once, and findable in a traceback."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_MARK = "_mended_by"
_replaced: dict[tuple[Any, str], list[str]] = {}


def replace(owner: Any, name: str, build: Callable[[Any], Any]) -> None:
    """Puts `build(stock)` in the place of `owner.name`, unless the same cure has done so already.

    `stock` is the object found there; `build` may use it or not. `owner` is a class or a module of the library. Several
    cures may replace the same method, each one the result of the cure before it.
    """
    stock = getattr(owner, name)
    marks: frozenset[str] = getattr(stock, _MARK, frozenset())
    if build.__module__ in marks:
        return
    mended = functools.wraps(stock)(build(stock))
    setattr(mended, _MARK, marks | {build.__module__})
    setattr(owner, name, mended)
    _replaced.setdefault((owner, name), []).append(build.__module__)


def replaced() -> dict[tuple[Any, str], list[str]]:
    """(owner, name) -> the modules of the cures that replaced it, the first one innermost."""
    return {place: list(modules) for place, modules in _replaced.items()}
