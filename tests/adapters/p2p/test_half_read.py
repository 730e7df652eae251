"""Messages that never end, on many streams: what they hold together is bounded, and an honest one comes through."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import pytest
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol

from pinning_worker.adapters.p2p import frames
from pinning_worker.adapters.p2p.bounds.half_read import HalfRead
from pinning_worker.adapters.p2p.cures import mend_all
from pinning_worker.adapters.p2p.frames import FrameReader, StreamGone
from pinning_worker.domain.content.cid import encode_varint
from pinning_worker.domain.identities import PeerId
from tests.adapters.p2p.cure_rig import bare_host, connect, until

HONEST = PeerId("honest")
FRAMES = TProtocol("/frames/1")
KIB = 1024
MIB = 1024 * KIB


async def test_messages_that_never_end(monkeypatch: pytest.MonkeyPatch) -> None:
    mend_all()
    monkeypatch.setattr(frames.HALF_READ, "most", 2 * MIB)
    read: list[bytes] = []
    gone: list[str] = []

    async def take(stream: INetStream) -> None:
        try:
            while (frame := await FrameReader(stream).next()) is not None:
                read.append(bytes(frame))
        except StreamGone as error:
            gone.append(str(error))
            await stream.reset()

    async with bare_host() as host, bare_host() as hoarder, bare_host() as honest:
        host.set_stream_handler(FRAMES, take)
        for peer in (hoarder, honest):
            await connect(peer, host)
        streams = []
        for _ in range(30):
            stream = await hoarder.new_stream(host.get_id(), [FRAMES])
            await stream.write(encode_varint(200 * KIB) + bytes(199 * KIB))
            streams.append(stream)
        assert await until(lambda: len(gone) > 15)
        assert set(gone) == {"too much lies here of messages that have not ended"}
        assert frames.HALF_READ.bytes <= 2 * MIB
        stream = await honest.new_stream(host.get_id(), [FRAMES])
        await stream.write(encode_varint(250 * KIB) + bytes(250 * KIB))
        assert await until(lambda: read == [bytes(250 * KIB)])
        await host.close()
    assert await until(lambda: frames.HALF_READ.bytes == 0)


def test_those_go_first_to_which_nothing_has_come_for_longest() -> None:
    gone: list[str] = []
    half_read = HalfRead(most=100)
    with (
        half_read.one(lambda: gone.append("slow line")) as slow,
        half_read.one(lambda: gone.append("stopped")) as stopped,
        half_read.one(lambda: gone.append("newest")) as newest,
    ):
        half_read.received(slow, 30, 1.0)
        half_read.received(stopped, 40, 2.0)
        half_read.received(slow, 1, 3.0)
        half_read.received(newest, 30, 4.0)
        assert gone == ["stopped"]
        assert half_read.bytes == 61
        half_read.received(stopped, 5, 5.0)  # it is still on its way out
        assert half_read.bytes == 61
    assert half_read.bytes == 0


def test_of_the_address_that_holds_most_they_go_however_young_they_are_kept() -> None:
    gone: list[str] = []
    half_read = HalfRead(most=1_000)
    with ExitStack() as stack:
        slow = stack.enter_context(half_read.one(lambda: gone.append("slow line"), HONEST, "198.51.100.1"))
        half_read.received(slow, 100, 0.0)
        hoard = []
        for number in range(10):
            name = f"hoarder {number % 2}"
            give_up = partial(gone.append, name)
            hoard.append(stack.enter_context(half_read.one(give_up, PeerId(name), "203.0.113.7")))
            half_read.received(hoard[-1], 89, 1.0)
        for each in hoard:
            half_read.received(each, 1, 2.0)
        half_read.received(hoard[0], 1, 3.0)
        assert gone == ["hoarder 0", "hoarder 1"]


def test_of_one_address_the_peer_that_holds_most() -> None:
    gone: list[str] = []
    half_read = HalfRead(most=1_000)
    with (
        half_read.one(lambda: gone.append("honest"), HONEST, "203.0.113.7") as honest,
        half_read.one(lambda: gone.append("hoarder"), PeerId("hoarder"), "203.0.113.7") as hoarder,
    ):
        half_read.received(honest, 300, 0.0)
        half_read.received(hoarder, 701, 1.0)
    assert gone == ["hoarder"]
