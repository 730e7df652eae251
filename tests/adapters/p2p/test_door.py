"""The connections that the door lets in, by address."""

from __future__ import annotations

from functools import partial

from pinning_worker.adapters.p2p.bounds.door import Arrival, Door, DoorRules


def come(door: Door, *ips: str) -> list[bool]:
    return [door.let_in(Arrival(ip)) for ip in ips]


def finish(door: Door) -> None:
    for arrival in list(door.arriving):
        arrival.finish()
        door.handshake_over(arrival)


def test_one_more_from_an_address_pushes_out_its_own_oldest_handshake() -> None:
    door = Door(DoorRules(max_connections_per_address=2))
    ended = list[int]()
    assert all(door.let_in(Arrival("10.0.0.1", partial(ended.append, number))) for number in range(3))
    assert ended == [0]


def test_an_address_with_all_its_connections_gets_no_more_until_one_goes() -> None:
    door = Door(DoorRules(max_connections_per_address=2))
    staying, going = Arrival("10.0.0.1"), Arrival("10.0.0.1")
    assert door.let_in(staying)
    assert door.let_in(going)
    finish(door)
    assert come(door, "10.0.0.1", "10.0.0.2") == [False, True]
    door.leave(going)
    assert come(door, "10.0.0.1") == [True]


def test_behind_a_proxy_come_many() -> None:
    door = Door(DoorRules(max_connections_per_address=1, proxies=frozenset({"10.0.0.9"})))
    for ip, let_in in (("10.0.0.9", True), ("10.0.0.9", True), ("127.0.0.1", True), ("127.0.0.1", False)):
        assert come(door, ip) == [let_in]
        finish(door)


def test_an_ipv6_network_is_one_address_and_a_mapped_ipv4_is_itself() -> None:
    door = Door(DoorRules(max_connections_per_address=1, proxies=frozenset()))
    for ip, let_in in (
        ("2001:db8::1", True),
        ("2001:db8::ffff", False),
        ("2001:db8:0:1::1", True),
        ("::ffff:10.0.0.1", True),
        ("10.0.0.1", False),
    ):
        assert come(door, ip) == [let_in], ip
        finish(door)
