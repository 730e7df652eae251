"""A router that forwards ports at our request by UPnP (an Internet Gateway Device). Every call here blocks.

A router is believed as far as its answers cost only us: we ask the first device of the local network that calls itself
one. miniupnpc speaks the protocol; it raises plain `Exception`, with the router's words, and nothing else. It reads
whatever a router sends, however much and however long: a process of its own runs it (`upnp_process.py`).

    python -m pinning_worker.adapters.p2p.discovery.upnp_router
    <- {"call": "find", "with": []}               -> {"said": "192.168.1.2"}
    <- {"call": "forward", "with": ["tcp", 1, 1]}  -> {"said": null}, or {"not_mapped": why}

One JSON object a line. The process ends with its standard input.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import IO, Any, Literal

import miniupnpc

Protocol = Literal["tcp", "udp"]
ANSWER_MILLISECONDS = 2000  # for routers to answer the search
LEASE_SECONDS = 900
MOST_MEMORY = 256 * 1024 * 1024  # bytes of address space; Python and the library need less than half of it
LONGEST_REASON = 500  # characters; some of them are the router's
NAME = "pinning-worker"
_FOREVER = 0
_FOREVER_ONLY = "OnlyPermanentLeasesSupported"


class NotMapped(Exception):
    """No port is forwarded. The text says why, in words for the operator."""


@dataclass(frozen=True, slots=True)
class Router:
    """`here` is our own address in its network. Made by `find_router`."""

    _device: Any
    here: str

    def external_address(self) -> str:
        """The public IPv4 address. Raises NotMapped."""
        with _refused("the router does not say its external address"):
            said = self._device.externalipaddress()
        return public_address(str(said or ""))

    def holder(self, protocol: Protocol, external: int) -> tuple[str, int] | None:
        """The machine and port to which that external port is forwarded; None: it is not. Raises NotMapped."""
        with _refused("the router does not say what it forwards"):
            held = self._device.getspecificportmapping(external, protocol.upper())
        return None if held is None else (str(held[0]), int(held[1]))

    def forward(self, protocol: Protocol, external: int, port: int) -> None:
        """Forwards, or goes on forwarding, for LEASE_SECONDS; until `give_back` where a router knows no end.

        Raises NotMapped.
        """
        with _refused(f"the router does not forward {protocol} port {external}"):
            try:
                self._add(protocol, external, port, LEASE_SECONDS)
            except Exception as error:
                if str(error) != _FOREVER_ONLY:
                    raise
                self._add(protocol, external, port, _FOREVER)

    def give_back(self, protocol: Protocol, external: int, port: int) -> None:
        """Ends the forwarding, if it is to us. Raises NotMapped: the router refuses."""
        if self.holder(protocol, external) != (self.here, port):
            return
        with _refused(f"the router does not stop forwarding {protocol} port {external}"):
            self._device.deleteportmapping(external, protocol.upper())

    def _add(self, protocol: Protocol, external: int, port: int, seconds: int) -> None:
        self._device.addportmapping(external, protocol.upper(), self.here, port, NAME, "", seconds)


def find_router(description: str = "") -> Router:
    """`description`: the URL of its description, where that is known. Raises NotMapped: none answers."""
    device = miniupnpc.UPnP()
    device.discoverdelay = ANSWER_MILLISECONDS
    with _refused("no router answers by UPnP"):
        if description:
            device.selectigd(description)
        else:
            device.discover()
            device.selectigd()
    return Router(device, device.lanaddr)


def public_address(said: str) -> str:
    """The external address in a router's answer, if it is public. Raises NotMapped."""
    if not said:
        raise NotMapped("the router has no external address, or one that is not public (another router before it?)")
    try:
        found = IPv4Address(said)
    except ValueError as error:
        raise NotMapped(f"the router says that its external address is {said!r}, which is none") from error
    if not found.is_global:
        raise NotMapped(
            f"the router's external address, {found}, is not public: there is another router before it, "
            "and what this one forwards reaches nobody (double NAT)"
        )
    return str(found)


@contextmanager
def _refused(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        why = str(error)
        # The library reports silence so: the C library's errno, where there was no error.
        raise NotMapped(what if why in ("", "Success") else f"{what}: {why}") from error


def main() -> None:
    """The process: calls by line, answers by line."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the library's own prints are no answer
    for each in (signal.SIGTERM, signal.SIGINT):  # they go to the whole worker, which gives its ports back by us
        signal.signal(each, signal.SIG_IGN)
    with suppress(OSError, ValueError):  # a sandbox may forbid it: then only the deadlines of our parent bound us
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    serve(sys.stdin, answers)


def serve(calls: IO[str], answers: IO[str]) -> None:
    """Answers calls until there are no more. The first one is `find`."""
    router: Router | None = None
    for line in calls:
        call = json.loads(line)
        try:
            if call["call"] == "find":
                router = find_router(*call["with"])
                said: object = router.here
            else:
                said = getattr(router, call["call"])(*call["with"])
            answer = {"said": said}
        except NotMapped as error:
            answer = {"not_mapped": str(error)[:LONGEST_REASON]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
