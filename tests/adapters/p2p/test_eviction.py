"""Eviction, told as the connections that are there, the newcomer, and the one that is closed."""

from __future__ import annotations

from pinning_worker.adapters.p2p.bounds.eviction import GRACE_SECONDS, IDLE_SECONDS, Guest, evicted

NOW = 10_000.0
OLD = NOW - GRACE_SECONDS


def test_the_useless_of_the_address_that_has_the_most_the_oldest_first() -> None:
    honest = Guest("a", OLD - 9)
    young, old, useful = Guest("b", OLD), Guest("b", OLD - 1), Guest("b", OLD - 5, used_at=NOW)
    assert evicted([honest, young, old, useful], "c", NOW) is old


def test_one_that_is_silent_alone_leaves_for_somebody_who_is_not_there_yet() -> None:
    alone = Guest("a", OLD)
    assert evicted([alone], "b", NOW) is alone
    assert evicted([alone, Guest("b", OLD, used_at=NOW)], "b", NOW) is None


def test_one_that_is_of_use_leaves_only_if_its_address_has_more_all_the_same() -> None:
    two = [Guest("a", OLD, used_at=NOW - 2), Guest("a", OLD, used_at=NOW - 1)]
    assert evicted(two[:1], "b", NOW) is None
    assert evicted(two, "b", NOW) is two[0]


def test_who_has_just_come_may_say_what_it_wants() -> None:
    assert evicted([Guest("a", OLD + 1)] * 9, "b", NOW) is None


def test_what_was_of_use_long_ago_is_useless() -> None:
    idle = Guest("a", OLD - IDLE_SECONDS, used_at=NOW - IDLE_SECONDS - 1)
    assert evicted([idle], "b", NOW) is idle


def test_one_sites_many_ipv6_networks_lock_nobody_out() -> None:
    """Any customer gets a /48 on request, and with it an address for every place that there is."""
    site = [Guest(f"2001:db8:1:{n:x}::/64", OLD + n / 100, used_at=NOW - 1) for n in range(9)]
    honest = Guest("10.0.0.1", OLD - 9, used_at=NOW - 99)
    for newcomer in ("10.0.0.2", "2001:db8:2:1::/64"):
        assert evicted([honest, *site], newcomer, NOW) is site[0]
    assert evicted([honest, *site], "2001:db8:1:ff::/64", NOW) is None, "one more of the same"


def test_within_a_site_each_network_is_an_address_of_its_own() -> None:
    many = [Guest("2001:db8:1:1::/64", OLD, used_at=NOW - n) for n in range(3)]
    other = Guest("2001:db8:1:2::/64", OLD - 1, used_at=NOW - 9)
    assert evicted([other, *many], "10.0.0.1", NOW) is many[2]
    assert evicted([other, *many], "2001:db8:1:3::/64", NOW) is many[2]
