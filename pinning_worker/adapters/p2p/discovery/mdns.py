"""mDNS: finding, and being found by, peers in the same local network, without anybody's help.

Interoperates with Kubo and `@libp2p/mdns`. The service is `_p2p._udp.local` in a private network too: the spec has a
name of its own for those, but Kubo and js-libp2p use the common one, and strangers fail at the handshake anyway.

Records are not signed. So we dial only addresses in the very networks that we hear them on, by the rules of `Dialler`;
and a record without a usable address costs nothing but the reading. We announce our addresses in these networks, and no
others; and we answer no machine outside them.

The DNS part is zeroconf's, which runs in a thread of its own; `_Ear`, a bounded queue, leads from there to here.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import Any

import structlog
import trio
import zeroconf
from zeroconf import IPVersion, RecordUpdate, RecordUpdateListener, ServiceInfo, Zeroconf

# In its documentation, and not marked as exported.
from zeroconf import DNSOutgoing, DNSQuestion, DNSText  # type: ignore[attr-defined]  # isort: skip

from pinning_worker.adapters.p2p.discovery.blocking import within
from pinning_worker.adapters.p2p.discovery.dialler import Dialler
from pinning_worker.adapters.p2p.discovery.local_networks import Interface, is_near, local_interfaces, near_addresses
from pinning_worker.adapters.p2p.discovery.mdns_records import decode_txt, encode_txt
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.ungroup import one_error

SERVICE = "_p2p._udp.local."
QUERY, PTR, IN = 0, 12, 1
FIRST_QUERY_SECONDS = 1.0
LONGEST_QUERY_SECONDS = 60.0  # js-libp2p announces nothing: asking again finds later peers
LOOK_SECONDS = 5.0  # between two looks at the machine's networks
REGISTER_SECONDS = 20.0  # takes two, to see that the name is free
CLOSE_SECONDS = 3.0
MOST_WAITING = 64
MOST_ADDRESSES = 4  # of one peer are tried

_log = structlog.get_logger(__name__)


class LocalPeers:
    """The local peers of one host; `run` until cancelled, however often the machine's networks change."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._dialler = Dialler(host, "mDNS")
        # It logs unreadable packets, and networks that went away: strangers must not fill our disk.
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)

    async def run(self) -> None:
        told_why = ""
        while True:
            networks = local_interfaces()
            why = "this machine is in no local network"
            if any(one.version == 4 for one in networks):
                try:
                    why = await self._in(networks)
                except (OSError, zeroconf.Error, trio.TooSlowError) as error:
                    why = str(error) or type(error).__name__
            if why and why != told_why:
                _log.warning("mdns.off", reason=why, tried_again=f"every {LOOK_SECONDS:g} s")
            told_why = why
            if why:
                await trio.sleep(LOOK_SECONDS)

    async def _in(self, networks: frozenset[Interface]) -> str:
        """Announces and listens there, until the machine's networks or our addresses change."""
        told = self._addresses(networks)
        async with _open_zeroconf(networks, told) as (responder, ear):
            _log.info("mdns.on", told=told, networks=sorted(str(one.network) for one in networks))
            with one_error():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_ask_again, responder)
                    nursery.start_soon(self._dial_announced, ear, networks)
                    while (local_interfaces(), self._addresses(networks)) == (networks, told):  # noqa: ASYNC110  the kernel tells by netlink only
                        await trio.sleep(LOOK_SECONDS)
                    nursery.cancel_scope.cancel()
        return ""

    def _addresses(self, networks: Collection[Interface]) -> list[str]:
        return [f"{address}/p2p/{self._host.peer_id}" for address in near_addresses(self._host.listening, networks)]

    async def _dial_announced(self, ear: _Ear, networks: Collection[Interface]) -> None:
        while True:
            for peer, addresses in decode_txt(await ear.heard()).items():
                near = [address for address in addresses if is_near(address, networks)]
                if near and self._dialler.wants(peer):
                    await self._dialler.dial(*near[:MOST_ADDRESSES])


class _Responder(Zeroconf):
    """Zeroconf answers every direct question, from any network: it reveals our private addresses, and sends a large
    answer to a small question with a forged sender. This one answers only machines that share a network with us (RFC
    6762, section 11)."""

    def __init__(self, networks: Collection[Interface]) -> None:
        self._near = [one.network for one in networks]
        here = [str(one.ip) for one in networks if one.version == 4]
        super().__init__(here, ip_version=IPVersion.V4Only, use_asyncio=False)  # opens sockets, sends nothing

    def async_send(self, out: DNSOutgoing, addr: str | None = None, *args: Any, **kwargs: Any) -> None:
        if addr is None or any(ip_address(addr) in network for network in self._near):
            super().async_send(out, addr, *args, **kwargs)


class _Ear(RecordUpdateListener):
    """Records of peers, from zeroconf's thread to ours. When they come faster than we take them, the oldest is lost: it
    will come again."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque(maxlen=MOST_WAITING)
        self._token = trio.lowlevel.current_trio_token()
        self._news = trio.Event()

    def async_update_records(self, _zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Runs in zeroconf's thread, with all records of one packet."""
        texts = (record.new for record in records if isinstance(record.new, DNSText))
        said = b"".join(text.text for text in texts if text.key.endswith(SERVICE) and not text.is_expired(now))
        if said:
            self._waiting.append(said)
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._ring, idempotent=True)

    def async_update_records_complete(self) -> None:
        """Nothing is taken from zeroconf's cache."""

    async def heard(self) -> bytes:
        """The next TXT record, or several of one packet."""
        while not self._waiting:
            self._news = trio.Event()
            if not self._waiting:
                await self._news.wait()
        return self._waiting.popleft()

    def _ring(self) -> None:
        self._news.set()


@asynccontextmanager
async def _open_zeroconf(
    networks: Collection[Interface], told: Collection[str]
) -> AsyncGenerator[tuple[Zeroconf, _Ear], None]:
    """Listens, and announces these addresses, at our IPv4 addresses in these networks.

    Raises OSError, zeroconf.Error, trio.TooSlowError.
    """
    here = [str(one.ip) for one in networks if one.version == 4]
    responder = _Responder(networks)
    try:
        ear = _Ear()
        responder.add_listener(ear, None)
        if told:
            await within(REGISTER_SECONDS, lambda: responder.register_service(_service(told, here)))
        yield responder, ear
    finally:
        with trio.CancelScope(shield=True), suppress(trio.TooSlowError, OSError, zeroconf.Error):
            await within(CLOSE_SECONDS, responder.close)  # withdraws our record from the network


def _service(told: Collection[str], here: Collection[str]) -> ServiceInfo:
    """The record under a random name, as the spec requires; DNS requires its port and IP addresses."""
    name = secrets.token_hex(20)
    return ServiceInfo(
        SERVICE,
        f"{name}.{SERVICE}",
        port=4001,
        properties=encode_txt(told),
        server=f"{name}.local.",
        parsed_addresses=list(here),
    )


async def _ask_again(responder: Zeroconf) -> None:
    """Sends the query again and again, ever more seldom."""
    wait = FIRST_QUERY_SECONDS
    while True:
        question = DNSOutgoing(QUERY)
        question.add_question(DNSQuestion(SERVICE, PTR, IN))
        responder.send(question)
        await trio.sleep(wait)
        wait = min(wait * 2, LONGEST_QUERY_SECONDS)
