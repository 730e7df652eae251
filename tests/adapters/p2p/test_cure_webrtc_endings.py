"""The webrtc-endings cure: who leaves gives the place free."""

from __future__ import annotations

import inspect
from typing import Any, cast

import pytest

pytest.importorskip("aiortc", reason="the extra [webrtc] is not installed")

from pinning_worker.adapters.p2p.cures import deafness, webrtc_endings
from tests.adapters.p2p.cure_rig import outcome, play, until
from tests.adapters.p2p.webrtc_rig import address_of, stranger, webrtc_host


async def one_that_leaves() -> str:
    async with webrtc_host() as host:
        async with stranger(address_of(host)):
            came = await until(lambda: len(host.get_connected_peers()) == 1)
        gone = await until(lambda: not host.get_connected_peers(), seconds=5)
    return f"came: {came}, {'gone' if gone else 'counted for good'}"


async def one_that_ends_sctp_and_nothing_else() -> str:
    """What js-libp2p does on Node when it hangs up: from below it answers on, or has gone without a word."""
    async with webrtc_host() as host, stranger(address_of(host)) as browser:
        came = await until(lambda: len(host.get_connected_peers()) == 1)
        await browser.run(browser.pc.sctp._abort())
        gone = await until(lambda: not host.get_connected_peers(), seconds=5)
    return f"came: {came}, {'gone' if gone else 'counted for good'}"


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


def test_who_leaves_is_gone() -> None:
    assert outcome(one_that_leaves, stock=False) == "came: True, gone"


def test_in_the_stock_library_it_stays() -> None:
    assert outcome(one_that_leaves, stock=True) == "came: True, counted for good"


def test_who_ends_sctp_is_gone() -> None:
    assert outcome(one_that_ends_sctp_and_nothing_else, stock=False) == "came: True, gone"


def test_in_the_stock_library_it_stays_too() -> None:
    assert outcome(one_that_ends_sctp_and_nothing_else, stock=True) == "came: True, counted for good"


def test_a_channel_that_was_closed_is_forgotten() -> None:
    assert outcome(one_whose_channels_come_and_go, stock=False) == "gone"


def test_in_the_stock_library_it_is_kept() -> None:
    assert outcome(one_whose_channels_come_and_go, stock=True) == "kept for good"


if __name__ == "__main__":
    play(globals(), deafness, webrtc_endings)
