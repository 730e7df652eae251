"""The cure for frames: a window is law, and what lies unread is bounded, for one connection and for all of them.

The attacker is a connection of the library's whose frames are written by hand, past its own windows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.stream_muxer.yamux.yamux import (
    DEFAULT_WINDOW_SIZE,
    FLAG_FIN,
    FLAG_RST,
    FLAG_SYN,
    TYPE_DATA,
    TYPE_WINDOW_UPDATE,
)

from pinning_worker.adapters.p2p.bounds import unread
from pinning_worker.adapters.p2p.cures import ALL, mend_all
from pinning_worker.adapters.p2p.cures.streams import yamux_frames
from tests.adapters.p2p.cure_rig import Scenario, bare_host, connect, outcome, play, until
from tests.adapters.p2p.pourer import ECHO, GONE, HELD, MIB, PIECE, Attacker, Victim, most


@asynccontextmanager
async def attacked(attackers: int = 1) -> AsyncIterator[tuple[Victim, list[Attacker]]]:
    async with AsyncExitStack() as stack:
        victim = Victim(await stack.enter_async_context(bare_host()))
        found = []
        for _ in range(attackers):
            host = await stack.enter_async_context(bare_host())
            await connect(host, victim.host)
            found.append(Attacker(host, victim))
        assert await until(lambda: len(victim.connections) == attackers)
        victim.came = victim.connections
        yield victim, found
        await victim.host.close()


async def past_the_window() -> str:
    async with attacked() as (victim, [attacker]):
        stream = await attacker.opens()
        await attacker.pours(stream.stream_id, 32 * MIB)
        await attacker.was_heard()
        return f"{most(victim.unread, DEFAULT_WINDOW_SIZE)} held, lost: {await victim.lost()}"


async def with_its_first_frame() -> str:
    """The frame that opens a stream is one more than its window."""
    async with attacked() as (victim, [attacker]):
        size = DEFAULT_WINDOW_SIZE + 1
        await attacker.sends(TYPE_DATA, FLAG_SYN, 101, size, bytes(size))
        await attacker.was_heard()
        return f"lost: {await victim.lost()}"


async def many_windows() -> str:
    """Each is kept, none is read: 100 streams of one connection, 25 MiB."""
    async with attacked() as (victim, [attacker]):
        for _ in range(100):
            await attacker.fills(await attacker.opens())
        await attacker.was_heard()
        held = most(victim.unread, unread.MOST_OF_ONE)
        return f"{held} held, it goes on: {await attacker.lives()}"


async def many_connections() -> str:
    """The honest one is read, and keeps its stream all the while."""
    async with attacked(6) as (victim, attackers), bare_host() as honest:
        await connect(honest, victim.host)
        stream = await honest.new_stream(victim.host.get_id(), [ECHO])
        for each in attackers:
            for _ in range(9):
                await each.fills(await each.opens())
            await each.was_heard()
            await stream.write(b"still?")
            assert await stream.read(6) == b"still?"
        await stream.close()
        return f"{most(victim.unread, unread.MOST_OF_ALL)} held, connections: {len(victim.connections)}"


async def after_a_reset() -> str:
    """We reset streams that hold something, and what still comes for them: nothing of it is kept."""
    async with attacked() as (victim, [attacker]):
        opened = [await attacker.opens() for _ in range(8)]
        for each in opened:
            await attacker.pours(each.stream_id, 2 * PIECE)
        await attacker.was_heard()
        for given in victim.given:
            await given.reset()
        for each in opened:
            await attacker.pours(each.stream_id, 2 * PIECE)
        return f"goes on: {await attacker.lives()}, {victim.unread} bytes held"


async def no_such_stream() -> str:
    """For streams that never were, in frames as large as any window."""
    async with attacked() as (victim, [attacker]):
        for number in (901, 902, 903):
            await attacker.sends(TYPE_DATA, 0, number, 8 * MIB, bytes(8 * MIB))
        return f"goes on: {await attacker.lives()}, {victim.unread} bytes held"


async def never_closed() -> str:
    """It opens streams of which nothing is asked any more, and never closes its side of them."""
    async with attacked() as (victim, [attacker]):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_discard_streams, attacker)
            for index in range(1500):
                await attacker.sends(TYPE_WINDOW_UPDATE, FLAG_SYN, 1001 + 2 * index, 0)
                await attacker.sends(TYPE_DATA, 0, 1001 + 2 * index, 20, b"\x13/multistream/1.0.0\n")
                if index % 100 == 0:
                    await trio.sleep(0.01)
            await attacker.was_heard()
            nursery.cancel_scope.cancel()
        few = victim.streams <= unread.MOST_STREAMS
        return f"few known: {few}"


async def _discard_streams(attacker: Attacker) -> None:
    with suppress(*GONE):
        while True:
            await attacker.muxed.accept_stream()


async def a_stream_of_ours() -> str:
    async with attacked() as (victim, [attacker]):
        await attacker.sends(TYPE_WINDOW_UPDATE, FLAG_SYN, 1000, 0)
        return f"lost: {await victim.lost()}"


async def a_read_given_up() -> str:
    """Reads that are given up at any time lose nothing."""
    message = bytes(range(256)) * 4096 * 4
    taken = bytearray()

    async def read(stream: INetStream) -> None:
        with suppress(EOFError):
            while True:
                with trio.move_on_after(0.0005):
                    taken.extend(await stream.read(10_000))

    async with attacked() as (victim, [attacker]):
        victim.host.set_stream_handler(HELD, read)
        stream = await attacker.host.new_stream(victim.host.get_id(), [HELD])
        await stream.write(message)
        await stream.close()
        await until(lambda: len(taken) >= len(message))
        return "whole" if taken == message else f"{len(taken)} bytes"


async def a_reset_while_reading() -> str:
    """A reader that waits for bytes when we reset the stream is told."""
    async with attacked() as (victim, [attacker]):
        await attacker.opens()
        await until(lambda: bool(victim.given))
        with trio.move_on_after(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(_read_to_its_end, victim.given[0]))
                await trio.sleep(0.1)
                await victim.given[0].reset()
            return "told"
    return "not told"


async def it_reads_nothing() -> str:
    """It pours into a stream that is read, and takes nothing, so it has not heard of room: none is given."""
    async with attacked() as (victim, [attacker]):
        taken = 0

        async def read(stream: INetStream) -> None:
            nonlocal taken
            while data := await stream.read(MIB):
                taken += len(data)

        victim.host.set_stream_handler(HELD, read)
        stream = await attacker.opens()
        [connection] = victim.connections
        connection.secured_conn.write = _takes_nothing
        await attacker.pours(stream.stream_id, 16 * MIB)
        await until(lambda: bool(connection.is_closed) or taken >= 16 * MIB)
        return f"{most(taken, 4 * DEFAULT_WINDOW_SIZE)} taken, lost: {await victim.lost()}"


async def _takes_nothing(_data: bytes) -> None:
    await trio.sleep_forever()


async def a_number_used_again() -> str:
    """Streams that it reset are still in our hands when it opens others under their numbers, which we read."""
    async with attacked() as (victim, [attacker]):
        reading, over = trio.Event(), trio.Event()

        async def read(stream: INetStream) -> None:
            reading.set()
            await _read_to_its_end(stream)
            over.set()

        async def close_late(stream: INetStream) -> None:
            await reading.wait()
            await stream.close()
            await attacker.muxed.secured_conn.close()

        victim.host.set_stream_handler(HELD, close_late)
        victim.host.set_stream_handler(ECHO, read)
        await attacker.sends(TYPE_DATA, FLAG_SYN | FLAG_FIN, 2001, *_asks_for(HELD))
        await until(lambda: 2001 in victim.connections[0].streams)
        await attacker.sends(TYPE_WINDOW_UPDATE, FLAG_RST, 2001, 0)
        await attacker.sends(TYPE_DATA, FLAG_SYN, 2001, *_asks_for(ECHO))
        await until(over.is_set, seconds=3)
        return f"its reader was told: {over.is_set()}"


def _asks_for(protocol: str) -> tuple[int, bytes]:
    lines = b"".join(bytes([len(line) + 1]) + line.encode() + b"\n" for line in ("/multistream/1.0.0", protocol))
    return len(lines), lines


async def thousands_in_one_message() -> str:
    """Of frames, in one message of noise: others have their turns in between."""
    async with attacked() as (victim, [attacker]):
        stream = await attacker.opens()
        await until(lambda: bool(victim.given))
        [ours] = [each for each in victim.connections[0].streams.values() if each.stream_id == stream.stream_id]
        before, at_once = ours.send_window, 0
        await attacker.sends_many(TYPE_WINDOW_UPDATE, 0, stream.stream_id, 1, times=5000)
        with trio.move_on_after(5):
            while (now := ours.send_window) < before + 5000:
                await trio.lowlevel.checkpoint()
                at_once = max(at_once, ours.send_window - now)
        return f"a few at once: {0 < at_once <= 2 * yamux_frames.AT_ONCE}"


async def _read_to_its_end(stream: INetStream) -> None:
    with suppress(*GONE, EOFError):
        while True:
            await stream.read(1)


async def mended(scenario: Scenario) -> str:
    """In this process: every cure is in place in a worker."""
    mend_all()
    return await scenario()


async def test_over_the_window_the_connection_ends() -> None:
    assert await mended(past_the_window) == "at most 256 KiB held, lost: True"
    assert await mended(with_its_first_frame) == "lost: True"


def test_the_stock_library_holds_what_comes() -> None:
    assert outcome(past_the_window, stock=True) == f"{32 * 1024} KiB held, lost: False"


async def test_many_windows_of_one_connection() -> None:
    assert await mended(many_windows) == f"at most {16 * 1024} KiB held, it goes on: True"


async def test_many_connections_and_an_honest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "MOST_OF_ONE", 2 * MIB)  # an eighth, for a quick test
    monkeypatch.setattr(unread, "MOST_OF_ALL", 8 * MIB)
    assert await mended(many_connections) == f"at most {8 * 1024} KiB held, connections: 7"


async def test_what_comes_for_a_stream_that_is_gone_is_dropped() -> None:
    assert await mended(after_a_reset) == "goes on: True, 0 bytes held"
    assert await mended(no_such_stream) == "goes on: True, 0 bytes held"


def test_the_stock_library_keeps_what_it_reset() -> None:
    assert not outcome(after_a_reset, stock=True).endswith(", 0 bytes held")


async def test_streams_that_are_never_closed() -> None:
    assert await mended(never_closed) == "few known: True"


def test_the_stock_library_knows_them_all() -> None:
    assert outcome(never_closed, stock=True) == "few known: False"


async def test_a_stream_under_a_number_of_ours_ends_the_connection() -> None:
    assert await mended(a_stream_of_ours) == "lost: True"


async def test_a_read_that_is_given_up_loses_nothing() -> None:
    assert await mended(a_read_given_up) == "whole"


async def test_a_reader_hears_of_a_reset() -> None:
    assert await mended(a_reset_while_reading) == "told"


async def test_who_reads_nothing_is_told_of_room_once() -> None:
    assert await mended(it_reads_nothing) == "at most 1024 KiB taken, lost: True"


async def test_a_number_used_again_is_another_stream() -> None:
    assert await mended(a_number_used_again) == "its reader was told: True"


async def test_thousands_of_frames_take_many_turns() -> None:
    assert await mended(thousands_in_one_message) == "a few at once: True"


if __name__ == "__main__":
    play(globals(), *ALL)
