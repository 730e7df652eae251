"""The webrtc-window cure: who reads late reads everything, and who never reads does not hold up the other streams."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing, suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("aiortc", reason="the extra [webrtc] is not installed")

import trio
from libp2p.transport.webrtc.exceptions import WebRTCStreamError
from libp2p.transport.webrtc.stream import WebRTCStream
from trio.testing import MockClock

from pinning_worker.adapters.p2p.bounds import unread
from pinning_worker.adapters.p2p.cures.webrtc import bounds as webrtc_bounds
from pinning_worker.adapters.p2p.cures.webrtc import close as webrtc_close
from pinning_worker.adapters.p2p.cures.webrtc import threads as webrtc_threads
from pinning_worker.adapters.p2p.cures.webrtc import window as webrtc_window
from tests.adapters.p2p.cure_rig import outcome, play, until
from tests.adapters.p2p.webrtc_rig import Stranger, address_of, connected, sctp_of, stranger, webrtc_host

FRAME = 16_000
SENT = [bytes([n % 251]) * FRAME for n in range(200)]  # 3 MiB: three windows, and three of the library's queues


async def write(stream: WebRTCStream) -> None:
    for each in SENT:
        await stream.write(each)
    await stream.close()


async def write_until_reset(stream: WebRTCStream) -> None:
    with suppress(WebRTCStreamError):
        await write(stream)


async def stream_that_begins_with(first: bytes, browser: Stranger) -> tuple[WebRTCStream, bytes]:
    """The library opens streams of its own, which begin otherwise."""
    while True:
        theirs = await browser.connection.accept_stream()
        assert isinstance(theirs, WebRTCStream)
        with trio.move_on_after(5):
            if (got := await theirs.read()).startswith(first):
                return theirs, got


async def one_that_reads_late() -> str:
    """It begins when nothing more comes: all is sent, or the sender waits for room."""
    async with webrtc_host() as host, stranger(address_of(host)) as browser, trio.open_nursery() as nursery:
        muxed = await connected(host)
        sender, receiver = sctp_of(muxed), browser.pc.sctp
        stream = await muxed.open_stream()
        nursery.start_soon(write, stream)
        theirs, got = await stream_that_begins_with(SENT[0][:1], browser)
        await until(lambda: receiver._advertised_rwnd < FRAME or stream._write_closed)
        if stream._write_closed:
            await until(lambda: not any(each.bufferedAmount for each in sender._data_channels.values()))
        try:
            with trio.fail_after(30):
                while len(got) <= len(SENT) * FRAME:
                    got += await theirs.read()
        except WebRTCStreamError:
            end = "then the end"
        except trio.TooSlowError:
            end = "no end"
        nursery.cancel_scope.cancel()
        return f"{'whole' if got == b''.join(SENT) else 'a part'}, {end}"


async def one_that_never_reads() -> str:
    """And another stream of the same connection."""
    webrtc_window.PATIENCE_SECONDS = 1.0
    async with webrtc_host() as host, stranger(address_of(host)) as browser, trio.open_nursery() as nursery:
        muxed = await connected(host)
        stream = await muxed.open_stream()
        nursery.start_soon(write_until_reset, stream)
        theirs, _ = await stream_that_begins_with(SENT[0][:1], browser)
        assert await until(lambda: browser.pc.sctp._advertised_rwnd < FRAME)
        other = await muxed.open_stream()
        await other.write(b"?")
        await stream_that_begins_with(b"?", browser)
        nursery.cancel_scope.cancel()
        try:
            return repr(await theirs.read())
        except WebRTCStreamError as error:
            return f"the other one is heard; {error}"


async def one_that_is_reset_unread() -> str:
    """Its sender thinks better of it; what nobody will read must not be counted for good."""
    async with webrtc_host() as host, stranger(address_of(host)) as browser:
        muxed = await connected(host)
        stream = await muxed.open_stream()
        receiver = browser.pc.sctp
        for each in SENT[:20]:
            await stream.write(each)
        await stream_that_begins_with(SENT[0][:1], browser)
        counted = await until(lambda: receiver._advertised_rwnd < 1024 * 1024 - 18 * FRAME)
        await stream.reset()
        free = await until(lambda: receiver._advertised_rwnd == 1024 * 1024)
        return f"counted: {counted}, free again: {free}"


async def one_that_ends_many_times() -> str:
    """4000 ends in one message, on a stream that nobody reads: how many answers, how many are kept."""
    async with webrtc_host() as host, stranger(address_of(host)) as browser:
        muxed = await connected(host)
        stream = await muxed.open_stream()
        await stream.write(b"first")
        theirs, _ = await stream_that_begins_with(b"first", browser)
        answers = 0
        bridge = cast("Any", browser.connection)._bridge
        answer = bridge.schedule_fire_and_forget

        def counted(coroutine: Any) -> None:
            nonlocal answers
            answers += 1
            answer(coroutine)

        bridge.schedule_fire_and_forget = counted
        await muxed._bridge.run_coro(muxed._send_on_channel_cb(stream.channel_id, b"\x02\x08\x00" * 4000))
        assert await until(lambda: theirs._read_closed)
        await trio.sleep(0.5)
        queue = cast("Any", theirs._read_recv)
        kept = getattr(queue, "_receive", queue).statistics().current_buffer_used
        return f"answered {answers}, kept {kept}"


def test_who_reads_late_reads_everything() -> None:
    assert outcome(one_that_reads_late, stock=False) == "whole, then the end"


def test_in_the_stock_library_a_part_is_lost() -> None:
    assert outcome(one_that_reads_late, stock=True).startswith("a part, ")


def test_a_stream_that_is_never_read_is_reset() -> None:
    assert outcome(one_that_never_reads, stock=False) == "the other one is heard; Stream was reset"


def test_a_stream_that_was_reset_is_not_counted() -> None:
    assert outcome(one_that_is_reset_unread, stock=False) == "counted: True, free again: True"


def test_a_stream_ends_once() -> None:
    assert outcome(one_that_ends_many_times, stock=False) == "answered 1, kept 1"


def test_in_the_stock_library_it_ends_as_often_as_its_sender_likes() -> None:
    assert outcome(one_that_ends_many_times, stock=True) == "answered 4000, kept 64"


class Held:
    """A stream with something unread, on a connection whose SCTP has so much room."""

    def __init__(self, room: int) -> None:
        self.muxed_conn = SimpleNamespace(peer_id="a peer")
        self.sctp = SimpleNamespace(_advertised_rwnd=room, transport=SimpleNamespace(state="connected"))
        self.was_reset = False
        self.window: webrtc_window.Window | None = None

    def _reset_on_trio_thread(self) -> None:
        self.was_reset = True
        if self.window is not None:
            self.window.release_all(cast("WebRTCStream", self))


async def test_room_that_goes_after_the_last_whole_frame_is_noticed(autojump_clock: MockClock) -> None:
    """Frames of which a piece was lost take room and are never whole, and a shut window refuses the missing piece."""
    held = Held(room=1024 * 1024)
    with closing(asyncio.new_event_loop()) as loop:
        window = webrtc_window.Window(held.sctp, loop)
        window.charge(cast("WebRTCStream", held), 700_000)
        await trio.sleep(60)
        assert not held.was_reset, "there is room: it may be read whenever its reader likes"
        held.sctp._advertised_rwnd = 1_000
        await trio.sleep(60)
        assert held.was_reset
        held.sctp.transport.state = "closed"  # ends the looking
        await trio.sleep(1)


async def test_all_connections_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fills its window a little; over the bound of all, those are reset that have waited longest."""
    monkeypatch.setattr(unread, "MOST_OF_ALL", 100_000)
    streams = [Held(room=1024 * 1024) for _ in range(5)]
    with closing(asyncio.new_event_loop()) as loop:
        windows = []
        for each in streams:
            each.window = webrtc_window.Window(each.sctp, loop)
            windows.append(each.window)
            each.window.charge(cast("WebRTCStream", each), 24_000)
        assert [each.was_reset for each in streams] == [True, True, False, False, False]
        windows[4].release_all(cast("WebRTCStream", streams[4]))
        windows[4].charge(cast("WebRTCStream", streams[4]), 1_000)
        assert [each.was_reset for each in streams] == [True, True, False, False, False]


if __name__ == "__main__":
    logging.disable()
    play(globals(), webrtc_threads, webrtc_close, webrtc_bounds, webrtc_window)
