"""Which connection leaves when too many are on their way in by datagrams."""

from __future__ import annotations

from pinning_worker.adapters.p2p.bounds.datagram_door import DatagramDoor
from pinning_worker.adapters.p2p.bounds.door import Arrival, Door, DoorRules


class Beginner:
    def __init__(self, ip: str) -> None:
        self.arrival = Arrival(ip)
        self.ended = False

    def end(self) -> None:
        self.ended = True


class Doorway:
    """A door, and those that come to it."""

    def __init__(self, rules: DoorRules) -> None:
        self.door = DatagramDoor(Door(rules), lambda _network, _now: True, lambda _now: True)

    def come(self, *ips: str) -> list[Beginner]:
        came = [Beginner(ip) for ip in ips]
        for each in came:
            self.door.let_in(each)
        return came


def test_one_more_ends_the_oldest_of_the_address_that_has_the_most() -> None:
    doorway = Doorway(DoorRules(max_half_open=4))
    came = doorway.come("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.2", "10.0.0.4")
    assert [each.ended for each in came] == [False, True, False, False, False]


def test_one_address_has_its_share_and_a_proxy_has_none() -> None:
    doorway = Doorway(DoorRules(max_connections_per_address=2, proxies=frozenset({"10.0.0.9"})))
    assert [each.ended for each in doorway.come(*["10.0.0.1"] * 4)] == [True, True, False, False]
    assert not any(each.ended for each in doorway.come(*["10.0.0.9"] * 4))


def test_one_whose_time_is_over_ends_and_one_that_has_finished_does_not() -> None:
    doorway = Doorway(DoorRules())
    slow, done = doorway.come("10.0.0.1", "10.0.0.2")
    assert doorway.door.over(done)
    for each in (slow, done):
        doorway.door.expire(each)
    assert (slow.ended, done.ended) == (True, False)
