"""One look at one Electrum server, for an operator: which chain it follows, how fresh it is, how fast it answers.

The same introduction as the worker's (`introduction.py`), and nothing after it: no header is verified. A server that is
in order here may still turn out to lie; one that is not in order here is of no use to the worker either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import trio

from pinning_worker.adapters.electrum.endpoint import Endpoint
from pinning_worker.adapters.electrum.faults import ElectrumTrouble, Unreachable
from pinning_worker.adapters.electrum.frames import open_frames
from pinning_worker.adapters.electrum.introduction import introduce
from pinning_worker.adapters.electrum.pace import Pace
from pinning_worker.adapters.electrum.patience import Patience
from pinning_worker.adapters.electrum.sight import STALE_MEND, readable
from pinning_worker.adapters.electrum.wire import Wire
from pinning_worker.domain.chain import Network
from pinning_worker.domain.headerchain import MOST_AHEAD_SECONDS
from pinning_worker.ports import Clock


@dataclass(frozen=True, slots=True)
class Probe:
    """What one look found. `fault` is empty where the server is in order; `mend` says what to do about it."""

    url: str
    height: int | None = None  # of the tip that it shows
    age: timedelta | None = None  # of that tip's header, by our clock; below zero: ahead of it
    round_trip: float | None = None  # seconds, of one small question
    fault: str = ""
    mend: str = ""


async def probe_all(
    endpoints: Sequence[Endpoint], network: Network, clock: Clock, longest_unseen: timedelta, patience: Patience
) -> list[Probe]:
    """One look at each, all at the same time, in the order in which they are named."""
    found: dict[int, Probe] = {}

    async def look(place: int, endpoint: Endpoint) -> None:
        found[place] = await _probe(endpoint, network, clock, longest_unseen, patience)

    async with trio.open_nursery() as nursery:
        for place, endpoint in enumerate(endpoints):
            nursery.start_soon(look, place, endpoint)
    return [found[place] for place in range(len(endpoints))]


async def _probe(
    endpoint: Endpoint, network: Network, clock: Clock, longest_unseen: timedelta, patience: Patience
) -> Probe:
    found = Probe(endpoint.url)
    try:
        with trio.fail_after(patience.connect + patience.answer):
            found = await _look(endpoint, network, clock, patience)
    except ElectrumTrouble as fault:
        return replace(found, fault=str(fault), mend=fault.mend)
    except trio.TooSlowError:
        seconds = patience.connect + patience.answer
        return replace(found, fault=f"no introduction within {seconds:g} s", mend=Unreachable.mend)
    return _judged(found, network, longest_unseen)


async def _look(endpoint: Endpoint, network: Network, clock: Clock, patience: Patience) -> Probe:
    """Raises ElectrumTrouble."""
    async with trio.open_nursery() as nursery:
        try:
            async with open_frames(endpoint, nursery) as frames:
                wire = Wire(frames, lambda _method, _params: None, lambda: None, Pace(), patience.answer)
                nursery.start_soon(wire.read)
                tip = await introduce(wire, network)
                asked_at = trio.current_time()
                await wire.call("server.ping")
                round_trip = trio.current_time() - asked_at
        except ElectrumTrouble as fault:
            trouble: ElectrumTrouble | None = fault
        else:
            trouble = None
        nursery.cancel_scope.cancel()
    if trouble is not None:
        raise trouble
    age = timedelta(seconds=round(clock.now().timestamp()) - tip.header.time)
    return Probe(endpoint.url, tip.height, age, round_trip)


def _judged(found: Probe, network: Network, longest_unseen: timedelta) -> Probe:
    assert found.age is not None
    if found.age.total_seconds() < -MOST_AHEAD_SECONDS:
        ahead = readable(-found.age)
        return replace(found, fault=f"its tip is {ahead} ahead of this machine's clock", mend="set the clock (NTP)")
    if found.age > longest_unseen and not network.blocks_on_demand:
        return replace(found, fault=f"its newest block is {readable(found.age)} old", mend=STALE_MEND)
    return found
