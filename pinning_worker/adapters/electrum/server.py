"""One Electrum server, for as long as the worker runs: visited, lost, visited again.

    lost (closed, silent, stale, unreachable)   again after 0.5 s, 1 s, 2 s … 1 min; all that it showed still stands
    misbehaved (broke the protocol, lied)       again after 5 min … 1 h; all that it alone showed unproven is withdrawn

A visit that lasts longer than the longest wait resets the count of failures. No behaviour of a server ends `run`; only
a bug of ours does.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
import trio

from pinning_worker.adapters.electrum.endpoint import Endpoint
from pinning_worker.adapters.electrum.faults import ElectrumTrouble, ServerMisbehaved, Unreachable
from pinning_worker.adapters.electrum.frames import open_frames
from pinning_worker.adapters.electrum.pace import Pace
from pinning_worker.adapters.electrum.patience import Patience
from pinning_worker.adapters.electrum.session import Session
from pinning_worker.adapters.electrum.view import ChainView

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServerState:
    """The state of one server, for logs, metrics and health checks."""

    url: str
    connected: bool
    height: int | None  # of the tip that it shows
    tip_hash: str | None  # of that tip, hex in display order
    tip_time: int | None  # of that tip's header, seconds since 1970
    tells_payments: bool  # we subscribe to every payment script, and the server lists the history of each
    waits_for: str  # the header that is too far ahead of our clock; empty if there is none
    fault: str  # the reason why the last conversation ended; empty before the first end
    mend: str  # an operator's remedy for that


class Server:
    """`session` is the current conversation, if any; `fault` ended the last one."""

    def __init__(self, endpoint: Endpoint, view: ChainView, patience: Patience) -> None:
        self.endpoint = endpoint
        self.pace = Pace(patience.burst, patience.per_second)
        self.session: Session | None = None
        self.fault: ElectrumTrouble | None = None
        self._view, self._patience = view, patience
        self._failures = self._offences = 0

    @property
    def name(self) -> str:
        return self.endpoint.url

    @property
    def is_heard(self) -> bool:
        """True once the server has been read in full, or a visit has failed."""
        return self.fault is not None or (self.session is not None and self.session.has_looked)

    @property
    def refuses_history(self) -> bool:
        """True if the connected server does not list the history of a script."""
        return self.session is not None and self.session.refuses_history

    def state(self) -> ServerState:
        shown = self.session.shown_tip if self.session else None
        return ServerState(
            url=self.name,
            connected=self.session is not None,
            height=shown.height if shown else None,
            tip_hash=shown.header.block_hash if shown else None,
            tip_time=shown.header.time if shown else None,
            tells_payments=self.session is not None and self.session.tells_payments,
            waits_for=str(self.session.waits_for or "") if self.session else "",
            fault=str(self.fault or ""),
            mend=self.fault.mend if self.fault else "",
        )

    async def run(self) -> None:
        """Never returns, and raises nothing that a server can cause."""
        while True:
            began, before = trio.current_time(), self.fault
            self.fault = await self._visit()
            lasted = trio.current_time() - began
            if lasted > self._patience.longest_retry_seconds:
                self._failures = 0
            if lasted > self._patience.longest_distrust_seconds:
                self._offences = 0
            await trio.sleep(self._wait_after(self.fault, is_new=str(before) != str(self.fault)))

    def _wait_after(self, fault: ElectrumTrouble, *, is_new: bool) -> float:
        if isinstance(fault, ServerMisbehaved):
            self._offences += 1
            seconds = self._patience.trust_again_after(self._offences)
            log = _log.warning if is_new else _log.debug  # one line is enough for a fault that repeats at each visit
            log(
                "electrum.server_misbehaved", server=self.name, why=str(fault), mend=fault.mend, again_in=round(seconds)
            )
        else:
            self._failures += 1
            seconds = self._patience.retry_after(self._failures)
            log = _log.info if is_new else _log.debug  # a server that stays away is no news
            log("electrum.server_lost", server=self.name, why=str(fault), again_in=round(seconds, 1))
        return seconds

    async def _visit(self) -> ElectrumTrouble:
        """Connects and converses until that fails. Returns the reason."""
        async with trio.open_nursery() as nursery:
            fault = await self._converse(nursery)
            if isinstance(fault, ServerMisbehaved):
                self._view.withdraw(self.name)
            nursery.cancel_scope.cancel()
        return fault

    async def _converse(self, nursery: trio.Nursery) -> ElectrumTrouble:
        connecting = trio.CancelScope(deadline=trio.current_time() + self._patience.connect_seconds)
        try:
            with connecting:
                async with open_frames(self.endpoint, nursery) as frames:
                    connecting.deadline = float("inf")
                    self.session = session = Session(self.name, frames, self._view, self.pace, self._patience)
                    nursery.start_soon(session.wire.read)
                    await session.converse()
        except ElectrumTrouble as fault:
            return fault
        finally:
            self.session = None
        return Unreachable(f"cannot connect within {self._patience.connect_seconds:g} s")
