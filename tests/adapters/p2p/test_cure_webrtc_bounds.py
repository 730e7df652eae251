"""The webrtc-bounds cure: how much one peer can make us hold, by each of the ways that have no bound in the library."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("aiortc", reason="the extra [webrtc] is not installed")

import trio
from aiortc.rtcsctptransport import DataChunk, tsn_plus_one
from libp2p.host.basic_host import BasicHost

from pinning_worker.adapters.p2p.cures.webrtc import bounds as webrtc_bounds
from pinning_worker.adapters.p2p.cures.webrtc import close as webrtc_close
from pinning_worker.adapters.p2p.cures.webrtc import threads as webrtc_threads
from tests.adapters.p2p.cure_rig import Scenario, outcome, play, until
from tests.adapters.p2p.webrtc_rig import address_of, connected, listener_of, sctp_of, stranger, webrtc_host

KIB, MIB = 1024, 1024 * 1024


def ice_of(host: BasicHost) -> Any:
    mux = listener_of(host)._mux
    assert mux is not None
    (protocol,) = mux._by_ufrag.values()
    return protocol.receiver  # type: ignore[attr-defined]  # aiortc has no types


async def on_the_channel_of_the_handshake() -> str:
    async with webrtc_host() as host, stranger(address_of(host)) as browser:
        sctp = sctp_of(await connected(host))
        channel = browser.pc.sctp._data_channels[0]

        async def send() -> None:
            for _ in range(100):
                channel.send(bytes(10 * KIB))
            while channel.bufferedAmount:  # noqa: ASYNC110  a test's patience
                await asyncio.sleep(0.01)

        await browser.run(send())
        await until(lambda: sctp._advertised_rwnd == MIB)
        (hears,) = sctp._data_channels[0].listeners("message")
        queue = next(cell.cell_contents for cell in hears.__closure__ if isinstance(cell.cell_contents, asyncio.Queue))
        await until(lambda: queue.qsize() > webrtc_bounds.MOST_HANDSHAKE_MESSAGES, seconds=2)
        return "few" if queue.qsize() <= webrtc_bounds.MOST_HANDSHAKE_MESSAGES else "all"


async def parts_of_a_message_without_end(host: BasicHost, sctp: Any, number: int, size: int) -> list[int]:
    """The sizes of what is held in the end, after so many came in, one after the other."""

    async def receive() -> None:
        for n in range(number):
            chunk = DataChunk()
            chunk.flags, chunk.tsn = (2 if n == 0 else 0), tsn_plus_one(sctp._last_received_tsn)
            chunk.stream_id, chunk.stream_seq, chunk.protocol, chunk.user_data = 0, 0, 53, bytes(size)
            with suppress(ConnectionError):
                await sctp._receive_data_chunk(chunk)

    bridge = listener_of(host)._bridge
    assert bridge is not None
    await bridge.run_coro(receive())
    return [len(chunk.user_data) for stream in sctp._inbound_streams.values() for chunk in stream.reassembly]


async def a_large_message_without_end() -> str:
    async with webrtc_host() as host, stranger(address_of(host)):
        sctp = sctp_of(await connected(host))
        held = await parts_of_a_message_without_end(host, sctp, 2_000, 1_100)
    return "little" if sum(held) <= MIB + webrtc_bounds.OVERDRAFT else "all"


async def a_message_of_crumbs_without_end() -> str:
    """Of one byte each: they cost hundreds of times what the window counts."""
    async with webrtc_host() as host, stranger(address_of(host)):
        sctp = sctp_of(await connected(host))
        held = await parts_of_a_message_without_end(host, sctp, 3 * webrtc_bounds.MOST_CHUNKS, 1)
    return "few" if len(held) <= 2 * webrtc_bounds.MOST_CHUNKS else "all"


async def datagrams_that_nobody_reads() -> str:
    async with webrtc_host() as host, stranger(address_of(host)):
        await connected(host)
        ice = ice_of(host)
        most = 0
        for _ in range(5_000):
            ice.data_received(bytes(1200), 1)
            most = max(most, ice._queue.qsize())  # the reader has a thread of its own, and may be quick
        return "few" if most <= webrtc_bounds.MOST_DATAGRAMS else "all"


async def checks_from_many_ports() -> str:
    async with webrtc_host() as host, stranger(address_of(host)) as browser:
        await connected(host)
        ice = ice_of(host)
        mine = browser.pc.sctp.transport.transport._connection
        (pair,) = mine._nominated.values()
        check = mine.build_request(pair, nominate=False)
        check.add_message_integrity(mine.remote_password.encode())
        mux, bridge = listener_of(host)._mux, listener_of(host)._bridge
        assert mux is not None
        assert bridge is not None

        async def receive() -> None:
            for port in range(20_000, 20_200):
                mux.datagram_received(bytes(check), ("127.0.0.1", port))

        await bridge.run_coro(receive())
        return "few" if len(ice._remote_candidates) <= webrtc_bounds.MOST_CANDIDATES else "all"


async def a_reader_that_takes_nothing() -> str:
    """It has stopped; we write to it: how much is on its way when the writer waits."""
    async with webrtc_host() as host, stranger(address_of(host)) as browser:
        muxed = await connected(host)
        stream = await muxed.open_stream()
        await stream.write(b"!")

        async def stop() -> None:
            browser.pc.sctp.transport._data_receiver = None  # what comes is not acknowledged any more

        await browser.run(stop())
        written = 0
        with trio.move_on_after(3):
            while written < 8 * MIB:
                await stream.write(bytes(16_000))
                written += 16_000
        return "it waits" if written <= 2 * MIB else "all"


async def a_reader_that_reads() -> str:
    """All arrives, in order."""
    async with webrtc_host() as host, stranger(address_of(host)) as browser:
        muxed = await connected(host)
        stream = await muxed.open_stream()
        sent = [bytes([n % 251]) * 16_000 for n in range(300)]

        async def write() -> None:
            for each in sent:
                await stream.write(each)

        got = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            while not got.startswith(sent[0][:1]):  # the library opens streams of its own, which begin otherwise
                theirs = await browser.connection.accept_stream()
                got = await theirs.read()
            while len(got) < len(sent) * 16_000:
                got += await theirs.read()
        return "as it was sent" if got == b"".join(sent) else "not as it was sent"


def test_what_is_read_arrives_whole() -> None:
    assert outcome(a_reader_that_reads, stock=False) == "as it was sent"


SCENARIOS: dict[Scenario, tuple[str, str]] = {
    on_the_channel_of_the_handshake: ("few", "all"),
    a_large_message_without_end: ("little", "all"),
    a_message_of_crumbs_without_end: ("few", "all"),
    datagrams_that_nobody_reads: ("few", "all"),
    checks_from_many_ports: ("few", "all"),
    a_reader_that_takes_nothing: ("it waits", "all"),
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_mended_there_is_a_bound(scenario: Scenario) -> None:
    assert outcome(scenario, stock=False) == SCENARIOS[scenario][0]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_in_the_stock_library_there_is_none(scenario: Scenario) -> None:
    assert outcome(scenario, stock=True) == SCENARIOS[scenario][1]


if __name__ == "__main__":
    logging.disable()
    play(globals(), webrtc_threads, webrtc_close, webrtc_bounds)
