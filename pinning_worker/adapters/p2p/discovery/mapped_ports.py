"""UPnP: the ports that we listen on, forwarded by the router in front of us, and announced to peers while that holds.

Mapped are the tcp and udp ports on which we listen for the router's network; the same port outside where it is free,
else another. The mapping is renewed long before its end, and each renewal reads the external address again: home
connections get a new one at night. A failed call is repeated, ever more patiently; the log names the mapped addresses,
or the reason for none. At the end we give the ports back, within a few seconds or not at all: then the lease ends by
itself. A router that sends without end, or nothing, costs the process that asks it (upnp_process.py).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import structlog
import trio
from multiaddr import Multiaddr
from multiaddr.protocols import P_P2P

from pinning_worker.adapters.p2p.addresses import is_wss
from pinning_worker.adapters.p2p.discovery.upnp_process import Router, find_router
from pinning_worker.adapters.p2p.discovery.upnp_router import LEASE_SECONDS, NotMapped, Protocol
from pinning_worker.adapters.p2p.host.host import Host

FIND_SECONDS = 30.0
ASK_SECONDS = 30.0
CLOSE_SECONDS = 3.0
RENEW_SECONDS = LEASE_SECONDS / 3
FIRST_WAIT_SECONDS = 15.0
LONGEST_WAIT_SECONDS = 1800.0
OTHER_PORTS = range(49152, 65536)
OTHER_PORTS_TRIED = 3

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Port:
    """A port that we listen on."""

    protocol: Protocol
    number: int


class MappedPorts:
    """The mapped ports of one host, from its making; `run` until cancelled."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._router: Router | None = None  # while something is mapped
        self._asking: Router | None = None  # the last one found
        self._outside = ""
        self._mapped: dict[Port, int] = {}
        self._asked: set[tuple[Port, int]] = set()  # possibly forwarded, whether or not the router confirmed it
        host.also_at.append(self._addresses)

    async def run(self) -> None:
        failures, told_why = 0, ""
        try:
            while True:
                try:
                    await self._renew()
                    failures, told_why = 0, ""
                    wait = RENEW_SECONDS
                except NotMapped as error:
                    self._router, self._mapped = None, {}
                    failures += 1
                    wait = min(FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 16), LONGEST_WAIT_SECONDS)
                    tell = _log.warning if str(error) != told_why else _log.debug
                    tell("upnp.not_mapped", reason=str(error), tried_again=f"in {wait:g} s")
                    told_why = str(error)
                await trio.sleep(wait)
        finally:
            with trio.CancelScope(shield=True):
                await self._give_back()
                await self._leave_router()

    async def _renew(self) -> None:
        """Maps every port that it can. Raises NotMapped: none is."""
        router = self._router
        if router is None:
            await self._leave_router()
            with _within(FIND_SECONDS):
                router = self._asking = await find_router()
        wanted = self._wanted(router)
        if not wanted:
            raise NotMapped(f"nothing is listened on at {router.here}, which the router would forward to")
        with _within(ASK_SECONDS):
            outside, mapped, refused = await self._ask(router, wanted)
        if (router, outside, mapped) != (self._router, self._outside, self._mapped):
            self._router, self._outside, self._mapped = router, outside, mapped
            _log.info("upnp.mapped", to=router.here, addresses=[str(address) for address in self._addresses()])
            for reason in refused:
                _log.warning("upnp.port_refused", reason=reason)

    async def _ask(self, router: Router, wanted: list[Port]) -> tuple[str, dict[Port, int], list[str]]:
        """The external address, the external port of each mapped one, and the reasons why others are not."""
        outside = await router.external_address()
        mapped: dict[Port, int] = {}
        refused: list[str] = []
        for port in wanted:
            try:
                mapped[port] = await self._forward(router, port)
            except NotMapped as error:
                refused.append(str(error))
        if not mapped:
            raise NotMapped("; ".join(refused))
        return outside, mapped, refused

    async def _forward(self, router: Router, port: Port) -> int:
        """The external port. Raises NotMapped, with the router's answer for the first one tried."""
        others = random.sample(OTHER_PORTS, OTHER_PORTS_TRIED)
        refusal: NotMapped | None = None
        for external in dict.fromkeys([self._mapped.get(port, port.number), port.number, *others]):
            try:
                return await self._forward_at(router, port, external)
            except NotMapped as error:
                refusal = refusal or error
        assert refusal is not None
        raise refusal

    async def _forward_at(self, router: Router, port: Port, external: int) -> int:
        if await router.holder(port.protocol, external) not in (None, (router.here, port.number)):
            raise NotMapped(f"the router forwards {port.protocol} port {external} to somebody else")
        self._asked.add((port, external))
        await router.forward(port.protocol, external, port.number)
        return external

    def _wanted(self, router: Router) -> list[Port]:
        return list(dict.fromkeys(port for address in self._host.listening if (port := _port_of(address, router.here))))

    def _addresses(self) -> list[Multiaddr]:
        """Our addresses from outside. None of /tls/ws: a certificate is for a name, which the operator knows."""
        if self._router is None:
            return []
        found = []
        for address in self._host.listening:
            external = self._mapped.get(_port_of(address, self._router.here) or Port("tcp", 0))
            if external is not None and not is_wss(address):
                _, _, _, protocol, _, *tail = str(address.decapsulate_code(P_P2P)).split("/")
                found.append(Multiaddr("/".join(["", "ip4", self._outside, protocol, str(external), *tail])))
        return found

    async def _give_back(self) -> None:
        asked, self._router, self._mapped = sorted(self._asked, key=str), None, {}
        if not asked:
            return
        try:
            with _within(CLOSE_SECONDS):
                await _give_all_back(asked, self._asking)
            _log.info("upnp.given_back", ports=sorted({external for _, external in asked}))
        except NotMapped as error:
            _log.warning("upnp.not_given_back", reason=str(error), lease_seconds=LEASE_SECONDS)

    async def _leave_router(self) -> None:
        if self._asking is not None:
            await self._asking.aclose()
            self._asking = None


async def _give_all_back(asked: list[tuple[Port, int]], router: Router | None) -> None:
    if router is None:
        raise NotMapped("the router was not found again")
    for port, external in asked:
        await router.give_back(port.protocol, external, port.number)


def _port_of(address: Multiaddr, here: str) -> Port | None:
    """None: a peer that comes through the router does not reach it."""
    _, kind, ip, protocol, port, *_ = str(address).split("/")
    if kind != "ip4" or ip not in ("0.0.0.0", here):  # noqa: S104  read, not bound
        return None
    return Port(cast("Protocol", protocol), int(port))


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raises NotMapped, after `seconds` too."""
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError as error:
        raise NotMapped(f"the router did not answer within {seconds:g} s") from error
