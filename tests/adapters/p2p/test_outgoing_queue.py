"""Messages for a peer that takes nothing: the order in which they leave, the lost ones, and the bytes they may hold."""

from __future__ import annotations

from pinning_worker.adapters.p2p.bounds.outgoing_queue import (
    LANES,
    MIB,
    MOST_OF_ALL,
    PER_MESSAGE,
    PER_PLACE,
    STUCK_SECONDS,
    Lane,
    OutgoingQueue,
    Together,
)


def new_queue() -> OutgoingQueue:
    return OutgoingQueue(Together())


def say(queue: OutgoingQueue, *texts: bytes, lane: Lane = Lane.OURS, now: float = 0.0) -> list[bool]:
    return [queue.push(text, lane, now) for text in texts]


def all_of(queue: OutgoingQueue, now: float = 0.0) -> list[bytes]:
    """The messages in it, in the order in which they leave."""
    texts: list[bytes] = []
    while (wire := queue.pop(now)) is not None:
        texts.append(wire)
    return texts


def numbered(count: int, size: int = 0) -> list[bytes]:
    return [b"%d " % number + bytes(size) for number in range(count)]


def test_messages_leave_in_their_order_whoever_said_them_and_control_before_them() -> None:
    queue = new_queue()
    say(queue, b"1")
    say(queue, b"2", lane=Lane.OTHERS)
    say(queue, b"3")
    say(queue, b"control", lane=Lane.GOSSIP)
    say(queue, b"mesh", lane=Lane.MESH)
    assert len(queue) == 5
    assert all_of(queue) == [b"mesh", b"control", b"1", b"2", b"3"]
    assert not len(queue)


def test_ours_are_kept_and_refused_when_they_are_too_many_and_those_of_others_lose_their_oldest() -> None:
    queue = new_queue()
    theirs = numbered(LANES[Lane.OTHERS].messages + 10)
    assert all(say(queue, *theirs, lane=Lane.OTHERS))
    ours = numbered(LANES[Lane.OURS].bytes // MIB * 8 + 1, MIB // 8)
    taken = sum(say(queue, *ours))
    assert 0 < taken < len(ours)
    assert all_of(queue) == theirs[10:] + ours[:taken]


def test_the_largest_message_fits_when_nothing_waits() -> None:
    queue = new_queue()
    assert say(queue, bytes(MIB), lane=Lane.OTHERS) == [True]
    assert say(queue, bytes(MIB), lane=Lane.OTHERS) == [True]
    assert len(queue) == 1


def test_mesh_control_is_refused_when_there_is_too_much_of_it_so_that_the_library_tries_again() -> None:
    most = LANES[Lane.MESH].messages
    assert say(new_queue(), *[b"graft"] * (most + 1), lane=Lane.MESH) == [True] * most + [False]


def test_what_is_said_to_a_thousand_who_take_nothing_is_kept_once() -> None:
    together = Together()
    queues = [OutgoingQueue(together) for _ in range(1_000)]
    for text in numbered(100, 1_000):
        for queue in queues:
            assert say(queue, text) == [True]
    assert together.bytes < 100 * (1_100 + PER_MESSAGE + 1_000 * PER_PLACE)
    for queue in queues:
        queue.clear()
    assert (together.bytes, len(together.moved)) == (0, 0)


def test_a_thousand_who_take_nothing_hold_no_more_than_all_may() -> None:
    """Each has something else to hear. A peer that takes what it is told loses nothing."""
    dropped = list[int]()
    together = Together(dropped.append)
    honest, stuck = OutgoingQueue(together), [OutgoingQueue(together) for _ in range(1_000)]
    heard = []
    for number, queue in enumerate(stuck):
        say(honest, b"%d" % number)
        say(queue, b"the first %d" % number, bytes(100_000) + b"%d" % number)
        assert together.bytes <= MOST_OF_ALL
        heard += all_of(honest)
    assert heard == [b"%d" % number for number in range(1_000)]
    assert not len(stuck[0]), "the peer that is stuck for longest loses first"
    assert len(stuck[-1]) == 2
    assert sum(dropped) == sum(2 - len(queue) for queue in stuck)


def test_a_peer_that_is_stuck_for_long_loses_what_waits_and_is_told_what_comes_after() -> None:
    together = Together()
    stuck, slow, other = (OutgoingQueue(together) for _ in range(3))
    say(stuck, b"old")
    say(slow, *numbered(10))
    for third in range(1, 5):
        now = third * STUCK_SECONDS / 3
        slow.pop(now)
        say(other, b"something", now=now)
    assert (len(stuck), len(slow)) == (0, 6)
    say(stuck, b"new", now=now)
    assert all_of(stuck, now) == [b"new"]
    assert together.bytes
