"""While a name is dialled, it leads where our own look-up led.

ws and wss are dialled by name: it goes into the Host header, and the certificate must be for it. So the name is looked
up once more when the socket is opened; and the server that answers for a stranger's name could give another address by
then, and lead us into our own network after all ("DNS rebinding"). Within `leading_to`, therefore, every look-up
returns the earlier result. It uses trio's own hook; outside, names are looked up as ever.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio


@dataclass
class _Pin:
    """`holds`: tasks that the dial began (a connection's) inherit it, and outlive it."""

    numbers: Sequence[str]
    holds: bool = True


_pin: ContextVar[_Pin | None] = ContextVar("_pin", default=None)


@contextmanager
def leading_to(numbers: Sequence[str]) -> Iterator[None]:
    """Every name that is looked up in this block has these IP addresses, and no other."""
    _answer_by_pins()
    pin = _Pin(numbers)
    token = _pin.set(pin)
    try:
        yield
    finally:
        pin.holds = False
        _pin.reset(token)


def _answer_by_pins() -> None:
    """Takes effect in this run of trio. The resolver that was there before still answers where nothing is pinned."""
    before = trio.socket.set_custom_hostname_resolver(None)
    after = before if isinstance(before, _Resolver) else _Resolver(before)
    trio.socket.set_custom_hostname_resolver(after)


class _Resolver(trio.abc.HostnameResolver):
    def __init__(self, usual: trio.abc.HostnameResolver | None) -> None:
        self._usual = usual

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        pin = _pin.get()
        if pin is not None and pin.holds:
            numeric = partial(socket.getaddrinfo, type=type, proto=proto, flags=flags | socket.AI_NUMERICHOST)
            return [found for number in pin.numbers for found in numeric(number, port)]
        if self._usual is not None:
            return await self._usual.getaddrinfo(host, port, family, type, proto, flags)
        look_up = partial(socket.getaddrinfo, host, port, family, type, proto, flags)
        return await trio.to_thread.run_sync(
            look_up,
            abandon_on_cancel=True,  # type: ignore[call-arg]  # the stubs found here are of an older trio
        )

    async def getnameinfo(self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int) -> tuple[str, str]:
        if self._usual is not None:
            return await self._usual.getnameinfo(sockaddr, flags)
        return await trio.to_thread.run_sync(
            partial(socket.getnameinfo, sockaddr, flags),
            abandon_on_cancel=True,  # type: ignore[call-arg]  # the stubs found here are of an older trio
        )
