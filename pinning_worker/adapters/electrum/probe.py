"""One look at one Electrum server, for an operator: which chain it follows, how fresh it is, how fast it answers.

The introduction is the worker's own (`introduction.py`), then the histories of the payment scripts follow; no header is
verified. A server that passes may still turn out to lie. One that fails is of no use to the worker either.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from statistics import median_low as median

import trio

from pinning_worker.adapters.electrum.endpoint import Endpoint
from pinning_worker.adapters.electrum.faults import ElectrumTrouble, RequestRefused, Unreachable
from pinning_worker.adapters.electrum.frames import open_frames
from pinning_worker.adapters.electrum.introduction import introduce
from pinning_worker.adapters.electrum.pace import Pace
from pinning_worker.adapters.electrum.patience import Patience
from pinning_worker.adapters.electrum.sight import HISTORY_MEND, STALE_MEND, readable
from pinning_worker.adapters.electrum.wire import Wire
from pinning_worker.domain.chain.address import scripthash
from pinning_worker.domain.chain.headerchain import MOST_AHEAD_SECONDS
from pinning_worker.domain.chain.networks import Network
from pinning_worker.domain.identities import Script
from pinning_worker.ports.world import Clock

A_LITTLE_AHEAD = timedelta(minutes=5)  # a miner's clock is no better than ours
LONG_WITHOUT_A_BLOCK = timedelta(hours=1)  # one in four hundred blocks takes longer
_HISTORY = "blockchain.scripthash.get_history"


@dataclass(frozen=True, slots=True)
class Probe:
    """The findings of one look. `fault` is empty if the server is in order; `mend` says what to do about it."""

    url: str
    height: int | None = None  # of the tip that it shows
    age: timedelta | None = None  # of that tip's header, by our clock; below zero: ahead of it
    round_trip: float | None = None  # seconds, of one small request
    fault: str = ""
    mend: str = ""


def about_the_clock(probes: Collection[Probe]) -> str:
    """Compares this machine's clock with the chain's newest blocks; empty if they agree.

    The median of all servers counts: a single server that is cut off, or lies, says nothing about our clock.
    """
    ages = [probe.age for probe in probes if probe.age is not None]
    if not ages:
        return ""
    age = median(ages)
    if age < -A_LITTLE_AHEAD:
        return (
            f"this machine's clock is behind: the newest blocks were made {readable(-age)} after it (the middle of "
            f"{len(ages)} servers). Set the clock (NTP)"
        )
    if age > LONG_WITHOUT_A_BLOCK:
        return (
            f"the newest blocks are {readable(age)} old by this machine's clock (the middle of {len(ages)} servers), "
            "and there is one every 10 minutes: if explorers show newer ones, the servers are behind; if not, see "
            "whether this machine's clock is ahead (`timedatectl`)"
        )
    return ""


@dataclass(frozen=True, slots=True)
class Prober:
    """The settings that every probe shares."""

    network: Network
    clock: Clock
    longest_unseen: timedelta
    patience: Patience
    scripts: Collection[Script] = ()  # payment scripts whose history the server must list

    async def probe_all(self, endpoints: Sequence[Endpoint]) -> list[Probe]:
        """Probes all servers at the same time; returns the findings in the order of `endpoints`."""
        found: dict[Endpoint, Probe] = {}

        async def look(endpoint: Endpoint) -> None:
            found[endpoint] = await self._probe(endpoint)

        async with trio.open_nursery() as nursery:
            for endpoint in dict.fromkeys(endpoints):
                nursery.start_soon(look, endpoint)
        return [found[endpoint] for endpoint in dict.fromkeys(endpoints)]

    async def _probe(self, endpoint: Endpoint) -> Probe:
        seconds = self.patience.connect_seconds + self.patience.answer_seconds
        found = Probe(endpoint.url, fault=f"no introduction within {seconds:g} s", mend=Unreachable.mend)
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                found = await self._converse(endpoint, nursery)
                nursery.cancel_scope.cancel()
        return found

    async def _converse(self, endpoint: Endpoint, nursery: trio.Nursery) -> Probe:
        try:
            async with open_frames(endpoint, nursery) as frames:
                wire = Wire(frames, lambda _method, _params: None, lambda: None, Pace(), self.patience.answer_seconds)
                nursery.start_soon(wire.read)
                tip = await introduce(wire, self.network)
                asked_at = trio.current_time()
                await wire.call("server.ping")
                round_trip = trio.current_time() - asked_at
                histories = await wire.batch((_HISTORY, (scripthash(script),)) for script in self.scripts)
        except ElectrumTrouble as fault:
            return Probe(endpoint.url, fault=str(fault), mend=fault.mend)
        age = timedelta(seconds=round(self.clock.now().timestamp()) - tip.header.time)
        found = Probe(endpoint.url, tip.height, age, round_trip)
        refusal = next((answer for answer in histories if isinstance(answer, RequestRefused)), None)
        if refusal is not None:
            silent = f"it does not tell the history of a payment address: {refusal}"
            return replace(found, fault=silent, mend=HISTORY_MEND)
        return self._judged(found, age)

    def _judged(self, found: Probe, age: timedelta) -> Probe:
        if age.total_seconds() < -MOST_AHEAD_SECONDS:
            fault = f"its tip is {readable(-age)} ahead of this machine's clock"
            return replace(found, fault=fault, mend="set the clock (NTP)")
        if age > self.longest_unseen and not self.network.blocks_on_demand:
            return replace(found, fault=f"its newest block is {readable(age)} old", mend=STALE_MEND)
        return found
