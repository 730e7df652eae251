"""Counts of events that are too frequent for a log line each; one line for each minute in which something happened.

    minute  requests=40 answered_ADDING_CID=38 refused_BUSY=2 blocks_served=512 bytes_served=… peers_now=7

The names are few: kinds of requests, kinds of our own messages, codes of our own errors. No peer can add one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import ParamSpec

import structlog
import trio

from pinning_worker.domain.topic.messages import Error, Message

MINUTE_SECONDS = 60.0
Given = ParamSpec("Given")

log = structlog.get_logger(__name__)


class Tally:
    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._told: dict[str, int] = {}

    def note_said(self, message: Message) -> None:
        if isinstance(message, Error):
            self._counts[f"refused_{message.code.value}"] += 1
        else:
            self._counts[f"said_{type(message).__name__}"] += 1

    def counting(self, name: str, work: Callable[Given, Awaitable[None]]) -> Callable[Given, Awaitable[None]]:
        """Wraps `work` so that each call counts under `name`."""

        async def counted(*args: Given.args, **kwargs: Given.kwargs) -> None:
            self._counts[name] += 1
            await work(*args, **kwargs)

        return counted

    def take(self, totals: Mapping[str, int]) -> dict[str, int]:
        """The counts since the last call, and the growth of `totals`. Values whose name ends in `_now` come unchanged,
        and only beside a count."""
        growing = {name: total for name, total in totals.items() if not name.endswith("_now")}
        grown = {name: total - self._told.get(name, 0) for name, total in growing.items()}
        self._told = growing
        counted, self._counts = {**self._counts, **{name: more for name, more in grown.items() if more}}, Counter()
        return {**counted, **{name: total for name, total in totals.items() if name not in growing}} if counted else {}

    async def run(self, totals: Callable[[], Mapping[str, int]]) -> None:
        """Logs the counts every minute, until cancelled."""
        while True:
            await trio.sleep(MINUTE_SECONDS)
            counted = self.take(totals())
            if counted:
                log.info("minute", **counted)
