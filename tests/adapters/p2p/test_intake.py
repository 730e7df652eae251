"""Received messages that nobody has read yet are bounded in number and in bytes, and lost ones are counted."""

from __future__ import annotations

import trio
import trio.testing

from pinning_worker.adapters.p2p.bounds.intake import Heard
from pinning_worker.adapters.p2p.gossip.intake import Intake
from pinning_worker.domain.identities import PeerId


def heard(data: bytes) -> Heard:
    return Heard(PeerId("origin"), PeerId("forwarder"), data)


async def test_messages_come_out_in_order_and_the_newest_are_lost() -> None:
    intake = Intake(most_messages=2)
    assert [intake.put(heard(data)) for data in (b"1", b"2", b"3")] == [True, True, False]
    assert [(await intake.get()).data, (await intake.get()).data, intake.dropped] == [b"1", b"2", 1]
    assert intake.put(heard(b"4"))


async def test_large_messages_are_bounded_by_their_bytes_and_room_comes_back_with_reading() -> None:
    intake = Intake(most_bytes=10)
    assert [intake.put(heard(bytes(size))) for size in (6, 5, 4)] == [True, False, True]
    await intake.get()
    assert intake.put(heard(bytes(6)))


async def test_a_reader_waits_for_news() -> None:
    intake = Intake()
    read: list[bytes] = []

    async def reader() -> None:
        async for message in intake:
            read.append(message.data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        for data in (b"1", b"2"):
            await trio.testing.wait_all_tasks_blocked()
            intake.put(heard(data))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert read == [b"1", b"2"]


async def test_several_readers_share_what_comes_and_none_finds_it_gone() -> None:
    intake = Intake()
    read: list[bytes] = []

    async def reader() -> None:
        async for message in intake:
            read.append(message.data)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(7):
            intake.put(heard(bytes([number])))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert sorted(read) == [bytes([number]) for number in range(7)]


def of(forwarder: str, data: bytes = b"x", address: str = "") -> Heard:
    return Heard(PeerId("made up"), PeerId(forwarder), data, address)


async def test_connections_take_turns_and_so_do_addresses() -> None:
    intake = Intake()
    for forwarder, address in (("a", ""), ("a", ""), ("b", "203.0.113.7"), ("c", "203.0.113.7"), ("honest", "")):
        intake.put(of(forwarder, address=address))
    assert [(await intake.get()).forwarder for _ in range(5)] == ["a", "b", "honest", "a", "c"]


async def test_in_a_full_queue_the_newest_of_the_greediest_is_lost() -> None:
    intake = Intake(most_messages=4)
    for number in range(4):
        intake.put(of(f"connection {number}", str(number).encode(), "203.0.113.7"))
    assert intake.put(of("honest"))
    assert [(await intake.get()).data for _ in range(4)] == [b"0", b"x", b"1", b"2"]
    assert intake.dropped == 1


async def test_who_has_as_much_as_others_pushes_nothing_out() -> None:
    intake = Intake(most_messages=4)
    assert [intake.put(of(name)) for name in ("a", "a", "b", "b", "b", "a")] == [True, True, True, True, False, False]


async def test_large_messages_of_one_make_room_for_another_too() -> None:
    intake = Intake(most_bytes=10)
    assert [intake.put(of("a", bytes(5))), intake.put(of("a", bytes(5))), intake.put(of("honest", bytes(3)))] == [
        True
    ] * 3
    assert [len((await intake.get()).data) for _ in range(2)] == [5, 3]
