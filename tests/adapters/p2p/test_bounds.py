"""The limits as pure arithmetic: who is read how much, told how often, and given up when."""

from __future__ import annotations

from pinning_worker.adapters.p2p.bounds.bucket import BURST_SECONDS, Bucket
from pinning_worker.adapters.p2p.bounds.gossip_budget import FRAME_BYTES, FRAMES, MIB, GossipBudget
from pinning_worker.adapters.p2p.bounds.retold import MOST_REMEMBERED, MOST_TIMES, REMEMBERED_SECONDS, Retold
from pinning_worker.adapters.p2p.bounds.unfinished import (
    IN_ALL,
    OF_A_PEER,
    OF_AN_ADDRESS,
    STREAMS,
    Reading,
    Unfinished,
)


class Held:
    """Streams by name; `gone` in the order in which they were given up."""

    def __init__(self) -> None:
        self.unfinished = Unfinished()
        self.gone: list[str] = []
        self.readings: dict[str, Reading] = {}

    def opens(self, name: str, peer: bytes, address: str | None = None) -> None:
        self.readings[name] = Reading(peer, address, lambda: self.gone.append(name))
        self.unfinished.begin(self.readings[name])

    def holds(self, name: str, size: int) -> None:
        self.unfinished.holds(self.readings[name], size)


def test_a_bucket_gives_what_it_holds_and_lends_the_rest() -> None:
    bucket = Bucket.full(10, now=0.0)
    assert bucket.take(1_000, now=0.0) == 10 * BURST_SECONDS
    assert bucket.take(1_000, now=0.5) == 5
    assert bucket.owe(20, now=0.5) == 2.0
    assert bucket.take(1, now=1.0) == 0, "nothing before that is paid back"
    assert bucket.take(1, now=2.7) == 1


def test_who_sends_more_than_its_budget_is_read_as_fast_as_that() -> None:
    frames, large = GossipBudget.full(0.0), GossipBudget.full(0.0)
    assert sum(frames.read(1, 0.0) == 0 for _ in range(20_000)) == FRAMES * BURST_SECONDS
    assert frames.read(1, 0.0) > 10.0
    assert sum(large.read(MIB, 0.0) == 0 for _ in range(100)) == FRAME_BYTES / MIB * BURST_SECONDS


def test_a_message_is_told_a_few_times_to_each_and_forgotten_with_the_cache() -> None:
    retold = Retold()
    assert sum(retold.may(b"eager", b"message", 0.0) for _ in range(1_000)) == MOST_TIMES
    assert retold.may(b"other", b"message", 0.0)
    assert retold.may(b"eager", b"other message", 0.0)
    assert retold.may(b"late", b"message", REMEMBERED_SECONDS + 1)
    assert len(retold) == 1


def test_thousands_who_want_thousands_are_not_all_remembered() -> None:
    retold = Retold()
    for number in range(MOST_REMEMBERED + 500):
        retold.may(b"peer", b"%d" % number, 0.0)
    assert len(retold) == MOST_REMEMBERED


def test_of_one_peer_the_stream_goes_that_is_in_the_middle_of_a_frame_for_longest() -> None:
    held = Held()
    for name in ("quiet", "first", "second"):
        held.opens(name, b"hoarder")
    held.opens("honest", b"honest")
    held.holds("honest", 1)
    held.holds("first", OF_A_PEER)
    held.holds("second", 1)
    assert held.gone == ["first"]
    held.holds("second", OF_A_PEER)
    assert held.gone == ["first"]
    assert held.unfinished.held == OF_A_PEER + 1


def test_a_frame_that_has_ended_counts_no_more() -> None:
    held = Held()
    held.opens("busy", b"busy")
    for _ in range(100):
        held.holds("busy", OF_A_PEER)
        held.holds("busy", 0)
    assert (held.gone, held.unfinished.held) == ([], 0)


def test_many_peers_of_one_address_share_a_bound_and_those_of_a_proxy_do_not() -> None:
    held = Held()
    for number in range(OF_AN_ADDRESS // OF_A_PEER + 1):
        for address in ("203.0.113.1", None):
            name = f"{number} of {address}"
            held.opens(name, name.encode(), address)
            held.holds(name, OF_A_PEER)
    assert held.gone == ["0 of 203.0.113.1"]


def test_all_together_hold_so_much_and_no_more() -> None:
    held = Held()
    for number in range(IN_ALL // OF_A_PEER + 3):
        held.opens(str(number), b"%d" % number)
        held.holds(str(number), OF_A_PEER)
    assert held.gone == ["0", "1", "2"]
    assert held.unfinished.held == IN_ALL


def test_of_one_peer_the_newest_streams_are_read() -> None:
    held = Held()
    for number in range(STREAMS + 2):
        held.opens(str(number), b"comes and comes")
    held.opens("honest", b"honest")
    assert held.gone == ["0", "1"]
    assert len(held.unfinished) == STREAMS + 1


def test_nothing_is_left_of_streams_that_ended() -> None:
    held = Held()
    for number in range(100):
        held.opens(str(number), b"%d" % (number % 40), f"198.51.100.{number % 7}")
        held.holds(str(number), 1_000)
    for reading in held.readings.values():
        held.unfinished.end(reading)
        held.unfinished.end(reading)  # twice is no harm
    assert held.unfinished.held == 0
    assert not held.unfinished._of_peers
    assert not held.unfinished._of_addresses
    assert held.unfinished._held.keys() <= {None}
