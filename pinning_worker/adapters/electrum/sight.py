"""Whether we see the chain: whether the worker would soon notice a payment made now.

    seen        our headers have reached a server's tip in this run, and within `longest_unseen` a connected server that
                lists our payments showed a fresh tip of our chain: its header is no older than `longest_unseen` either
    not seen    before that, and after it. The reason is logged server by server, every ten minutes: first when the
                sight is lost; after a start when every server has been heard, or after a quarter of a minute

On a network whose blocks come on demand (regtest) every tip is fresh: there a connected server is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
import trio

from pinning_worker.adapters.electrum.server import Server, ServerState
from pinning_worker.adapters.electrum.view import ChainView
from pinning_worker.domain.chain.headerchain import MOST_AHEAD_SECONDS

FIRST_COMPLAINT_SECONDS = 15.0  # after the start: connecting and verifying take a moment
COMPLAIN_EVERY_SECONDS = 600.0
MOST_AHEAD = timedelta(seconds=MOST_AHEAD_SECONDS)
_LOOK_EVERY_SECONDS = 5.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Blindness:
    """Why the chain is not seen: a sentence for each server, with a remedy."""

    servers: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.servers)


class Sight:
    """`changed` is called with None when the chain comes into sight, and with the reason at every complaint."""

    def __init__(self, view: ChainView, servers: Sequence[Server], longest_unseen: timedelta) -> None:
        self._view, self._servers, self._longest_unseen = view, servers, longest_unseen
        self._fresh_at: float | None = None
        self._is_seen = False
        self._is_starting = True  # nothing has been reported yet
        self._complain_at = float("inf")
        self.changed: Callable[[Blindness | None], None] = lambda _reason: None

    def is_seen(self) -> bool:
        """Looks now, and reports a change before it returns."""
        self.look()
        return self._is_seen

    def look(self) -> None:
        now = trio.current_time()
        if any(self.is_fresh(server) for server in self._servers):
            self._fresh_at = now
        if self._is_starting and all(server.is_heard for server in self._servers):
            self._complain_at = now
        unseen_for = None if self._fresh_at is None else now - self._fresh_at
        is_seen = (
            self._view.tip() is not None
            and unseen_for is not None
            and (unseen_for <= self._longest_unseen.total_seconds())
        )
        if is_seen and not self._is_seen:
            self._is_seen, self._is_starting, self._complain_at = True, False, float("inf")
            _log.info("chain.seen", tip=self._height())
            self.changed(None)
        elif not is_seen and (self._is_seen or now >= self._complain_at):
            self._is_seen, self._is_starting, self._complain_at = False, False, now + COMPLAIN_EVERY_SECONDS
            self._complain()

    async def run(self) -> None:
        """Looks again and again, until cancelled."""
        self._complain_at = trio.current_time() + FIRST_COMPLAINT_SECONDS
        while True:
            self.look()
            await trio.sleep(_LOOK_EVERY_SECONDS)

    def reasons(self) -> Blindness:
        return Blindness(tuple(f"{state.url}: {self._reason(state)}" for state in map(Server.state, self._servers)))

    def _complain(self) -> None:
        reason = self.reasons()
        _log.error(
            "chain.not_seen",
            nothing_is_sold=True,
            tip=self._height(),
            **{f"server_{number}": sentence for number, sentence in enumerate(reason.servers, start=1)},
        )
        self.changed(reason)

    def is_fresh(self, server: Server) -> bool:
        shown = server.session.shown_tip if server.session is not None else None
        chain = self._view.chain
        if shown is None or server.session is None or not server.session.tells_payments:
            return False
        if chain is None or chain.hash_at(shown.height) != shown.header.block_hash:
            return False
        age = self._age(shown.header.time)
        return self._view.network.blocks_on_demand or -MOST_AHEAD <= age <= self._longest_unseen

    def _age(self, header_time: int) -> timedelta:
        return timedelta(seconds=self._view.clock.now().timestamp() - header_time)

    def _height(self) -> int | None:
        return self._view.chain.tip_height if self._view.chain is not None else None

    def _reason(self, state: ServerState) -> str:
        if not state.connected:
            return f"{state.fault or 'not connected yet'} ({state.mend})" if state.mend else "not connected yet"
        if state.waits_for:
            return f"{state.waits_for}, far ahead of this machine's clock (if others say the same, set the clock)"
        if state.height is None or state.tip_time is None:
            return "connected, and has not introduced itself yet" + (f" (before: {state.fault})" if state.fault else "")
        chain = self._view.chain
        if chain is None or chain.tip_height < state.height:
            return f"its headers are being verified, {self._height()} of {state.height} so far (wait)"
        if chain.hash_at(state.height) != state.tip_hash:
            return "it shows another chain than ours, with less work (wait, or take it out of the list)"
        age = self._age(state.tip_time)
        if age > self._longest_unseen and not self._view.network.blocks_on_demand:
            return f"its newest block {state.height} is {readable(age)} old ({STALE_MEND})"
        if age < -MOST_AHEAD:
            return f"its newest block {state.height} is {readable(-age)} ahead of this machine's clock (set the clock)"
        if not state.tells_payments:
            return f"it does not tell the history of a payment address ({HISTORY_MEND})"
        return "no fault is known of it"


HISTORY_MEND = "wait; if it stays, name another server, or put a new address first in PINNING_PAYMENT_ADDRESS"
STALE_MEND = (
    "its node may be cut off: name another server; if all say the same, the chain stands still, or this machine's "
    "clock is ahead"
)


def readable(age: timedelta) -> str:
    """`45 s`, `12 min`, `3.2 h`, `5.0 days`."""
    seconds = age.total_seconds()
    for unit, size in (("days", 86400.0), ("h", 3600.0)):
        if seconds >= 2 * size or (unit == "h" and seconds >= size):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
