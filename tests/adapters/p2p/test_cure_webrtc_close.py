"""The webrtc-close cure: a browser that leaves gives its place back."""

from __future__ import annotations

import inspect
from typing import Any, cast

import pytest

pytest.importorskip("aiortc", reason="the extra [webrtc] is not installed")

import asyncio

import trio
from libp2p.transport.webrtc.exceptions import WebRTCStreamError

from pinning_worker.adapters.p2p.cures.connections import deafness
from pinning_worker.adapters.p2p.cures.webrtc import close as webrtc_close
from tests.adapters.p2p.cure_rig import Scenario, outcome, play, until
from tests.adapters.p2p.webrtc_rig import address_of, connected, sctp_of, stranger, webrtc_host


async def one_that_leaves() -> str:
    async with webrtc_host() as host:
        async with stranger(address_of(host)):
            came = await until(lambda: len(host.get_connected_peers()) == 1)
        gone = await until(lambda: not host.get_connected_peers(), seconds=5)
    return f"came: {came}, {'gone' if gone else 'counted for good'}"


async def one_that_ends_sctp_and_nothing_else() -> str:
    """The hang-up of js-libp2p on Node: the layers below still answer, or have gone without a word."""
    async with webrtc_host() as host, stranger(address_of(host)) as browser:
        came = await until(lambda: len(host.get_connected_peers()) == 1)
        await browser.run(browser.pc.sctp._abort())
        gone = await until(lambda: not host.get_connected_peers(), seconds=5)
    return f"came: {came}, {'gone' if gone else 'counted for good'}"


async def one_that_leaves_while_a_stream_is_opened() -> str:
    async with webrtc_host() as host, stranger(address_of(host)) as browser:
        muxed = await connected(host)
        sctp, create, begun = sctp_of(muxed), muxed._create_channel_cb, trio.Event()
        token = trio.lowlevel.current_trio_token()

        async def create_slowly(number: int, label: str) -> None:
            await create(number, label)
            token.run_sync_soon(begun.set)
            while sctp.state != "closed":  # noqa: ASYNC110  there is no event
                await asyncio.sleep(0.01)

        async def leave() -> None:
            await begun.wait()
            await browser.run(browser.pc.sctp._abort())

        muxed._create_channel_cb = create_slowly
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave)
            return await told_of_the_end(muxed)


async def one_that_has_just_left() -> str:
    async with webrtc_host() as host, stranger(address_of(host)) as browser:
        muxed = await connected(host)
        await browser.run(browser.pc.sctp._abort())
        await until(lambda: sctp_of(muxed).state == "closed")
        return await told_of_the_end(muxed)


async def told_of_the_end(muxed: Any) -> str:
    with trio.move_on_after(5):
        try:
            await (await muxed.open_stream()).read(1)
        except WebRTCStreamError:
            return "told"
    return "waits in vain"


async def one_whose_channels_come_and_go() -> str:
    """Twenty data channels, opened and closed: what is left of them while the connection lives."""
    async with webrtc_host() as host, stranger(address_of(host)) as browser:
        await until(lambda: len(host.get_connected_peers()) == 1)
        (connection,) = host.get_network().get_connections()
        send = cast("Any", connection.muxed_conn)._send_on_channel_cb
        kept = inspect.getclosurevars(send).nonlocals["channels"]

        for _ in range(20):
            await (await browser.connection.open_stream()).write(b"\x13")
        assert await until(lambda: len(kept) >= 20)

        async def go() -> None:
            for each in list(browser.pc.sctp._data_channels.values()):
                each.close()

        await browser.run(go())
        gone = await until(lambda: len(kept) < 20, seconds=5)
    return "gone" if gone else "kept for good"


def test_a_browser_that_leaves_is_gone() -> None:
    assert outcome(one_that_leaves, stock=False) == "came: True, gone"


def test_in_the_stock_library_it_stays() -> None:
    assert outcome(one_that_leaves, stock=True) == "came: True, counted for good"


def test_who_ends_sctp_is_gone() -> None:
    assert outcome(one_that_ends_sctp_and_nothing_else, stock=False) == "came: True, gone"


def test_in_the_stock_library_it_stays_too() -> None:
    assert outcome(one_that_ends_sctp_and_nothing_else, stock=True) == "came: True, counted for good"


@pytest.mark.parametrize("scenario", [one_that_leaves_while_a_stream_is_opened, one_that_has_just_left])
def test_who_opens_a_stream_to_one_that_leaves_is_told(scenario: Scenario) -> None:
    assert outcome(scenario, stock=False) == "told"


@pytest.mark.parametrize("scenario", [one_that_leaves_while_a_stream_is_opened, one_that_has_just_left])
def test_in_the_stock_library_it_waits(scenario: Scenario) -> None:
    assert outcome(scenario, stock=True) == "waits in vain"


def test_a_channel_that_was_closed_is_forgotten() -> None:
    assert outcome(one_whose_channels_come_and_go, stock=False) == "gone"


def test_in_the_stock_library_it_is_kept() -> None:
    assert outcome(one_whose_channels_come_and_go, stock=True) == "kept for good"


if __name__ == "__main__":
    play(globals(), deafness, webrtc_close)
