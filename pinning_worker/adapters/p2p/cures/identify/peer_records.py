"""A peer's record of itself must be short.

The fault: one message of 1 MiB, in which a peer signs that it has 80 000 addresses, stops the whole worker for four
minutes: in the answer to identify, in an identify push and in a gossip frame. A thousand peers that name 300 000
protocols each are remembered, some gigabytes in all. Why: each address is compared with all known ones, and nothing is
counted. Where: `PeerData.add_addrs` and `.add_protocols`, `unmarshal_envelope`, `addrs_from_protobuf`,
`read_length_prefixed_protobuf`.

Half an address (`ff ff`) is kept as well, and raises in every reader: for example while the DHT looks for peers to ask.

The cure: of a peer's record we store MOST_ADDRESSES that can be read and MOST_PROTOCOLS; a message of identify has
LARGEST bytes at most and a signed record LARGEST_RECORD, or it is refused. Other implementations take 4 to 8 KiB.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from libp2p.abc import INetStream
from libp2p.host import basic_host
from libp2p.identity.identify_push import identify_push
from libp2p.peer import envelope, peer_record
from libp2p.peer.peerdata import PeerData
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.addresses import is_readable
from pinning_worker.adapters.p2p.cures.once import replace

LARGEST = 64 * 1024
LARGEST_RECORD = 16 * 1024
MOST_ADDRESSES = 64
MOST_PROTOCOLS = 256
LONGEST_PROTOCOL = 256

Reader = Callable[..., Awaitable[bytes]]


def mend() -> None:
    replace(PeerData, "add_addrs", _few_addresses)
    replace(PeerData, "add_protocols", _few_protocols)
    replace(PeerData, "set_protocols", _few_protocols)
    replace(peer_record, "addrs_from_protobuf", _few_of_a_record)
    replace(envelope, "unmarshal_envelope", _short)
    for module in (basic_host, identify_push):
        replace(module, "read_length_prefixed_protobuf", _read_the_short)


def _few_addresses(stock: Callable[[PeerData, Sequence[Multiaddr]], None]) -> Callable[..., None]:
    def mended(self: PeerData, addrs: Sequence[Multiaddr]) -> None:
        readable = [each for each in addrs[:MOST_ADDRESSES] if is_readable(each)]
        stock(self, readable[: max(0, MOST_ADDRESSES - len(self.addrs))])

    return mended


def _few_protocols(stock: Callable[[PeerData, Sequence[str]], None]) -> Callable[..., None]:
    def mended(self: PeerData, protocols: Sequence[str]) -> None:
        stock(self, [each for each in protocols[:MOST_PROTOCOLS] if len(each) <= LONGEST_PROTOCOL])
        del self.protocols[MOST_PROTOCOLS:]

    return mended


def _few_of_a_record(stock: Callable[[Sequence[Any]], list[Multiaddr]]) -> Callable[[Sequence[Any]], list[Multiaddr]]:
    def mended(addrs: Sequence[Any]) -> list[Multiaddr]:
        return stock(addrs[:MOST_ADDRESSES])

    return mended


def _short(stock: Callable[[bytes], envelope.Envelope]) -> Callable[[bytes], envelope.Envelope]:
    def mended(data: bytes) -> envelope.Envelope:
        if len(data) > LARGEST_RECORD:
            raise ValueError(f"a signed record of {len(data)} bytes, {LARGEST_RECORD} are allowed")
        return stock(data)

    return mended


def _read_the_short(stock: Reader) -> Reader:
    async def mended(stream: INetStream, use_varint_format: bool = True) -> bytes:
        return await stock(stream, use_varint_format, LARGEST)

    return mended
