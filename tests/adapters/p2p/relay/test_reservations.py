"""Who gets a place at the relay, as a transcript: asked by whom, when, and granted for how long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.adapters.p2p.relay.reservations import PROBATION, TERM, Reservations

OURS = frozenset({"ann", "bob", "cid", "dan"})


def reservations(most: int = 8, ours: frozenset[str] | set[str] = OURS) -> Reservations:
    return Reservations(most, lambda peer: peer in ours)


def test_ours_have_a_term_and_again_when_they_renew() -> None:
    places = reservations()
    assert places.ask("ann", 0) == TERM
    assert places.ask("ann", TERM / 2) == TERM
    assert places.holds("ann", TERM * 1.5 - 1)
    assert not places.holds("ann", TERM * 1.5)


def test_a_newcomer_is_tried_once_each_time_it_comes() -> None:
    places = reservations()
    assert places.ask("stranger", 0) == PROBATION
    assert places.ask("stranger", PROBATION / 2) is None
    assert places.holds("stranger", PROBATION - 1)
    assert places.ask("stranger", PROBATION + 1) is None
    places.forget("stranger")
    assert places.ask("stranger", PROBATION + 2) == PROBATION


def test_a_newcomer_that_subscribes_meanwhile_is_one_of_ours() -> None:
    ours: set[str] = set()
    places = reservations(most=4, ours=ours)
    assert places.ask("browser", 0) == PROBATION
    ours.add("browser")
    assert places.ask("browser", PROBATION / 2) == TERM
    assert places.ask("other", PROBATION / 2) == PROBATION  # the newcomer's share is free again


def test_one_of_ours_that_unsubscribes_loses_its_place() -> None:
    ours = {"ann"}
    places = reservations(ours=ours)
    places.ask("ann", 0)
    ours.clear()
    assert places.ask("ann", 10) == PROBATION
    assert places.ask("ann", 20) is None


def test_strangers_take_a_quarter_at_most_and_their_places_come_free() -> None:
    places = reservations(most=8)
    assert [places.ask(f"stranger {n}", 0) for n in range(4)] == [PROBATION, PROBATION, None, None]
    assert [places.ask(peer, 1) for peer in sorted(OURS)] == [TERM] * 4
    assert places.ask("stranger 2", PROBATION) == PROBATION
    places.forget("stranger 2")
    assert len(places) == 4


def test_when_it_is_full_only_renewals_are_granted() -> None:
    places = reservations(most=2)
    assert [places.ask(peer, 0) for peer in ("ann", "bob", "cid", "ann")] == [TERM, TERM, None, TERM]
    places.forget("bob")
    assert places.ask("cid", 1) == TERM


def test_when_it_is_full_the_address_with_the_most_places_makes_room() -> None:
    places = reservations(most=4, ours={*OURS, *"uvwx"})
    for moment, peer in enumerate("uvwx"):
        assert places.ask(peer, moment, "203.0.113.7") == TERM
    assert places.ask("ann", 5, "198.51.100.1") == TERM
    assert [places.holds(peer, 6) for peer in "uvwx"] == [False, True, True, True], "the oldest goes"
    assert places.ask("u", 7, "203.0.113.7") is None
    assert places.ask("bob", 8, "198.51.100.1") == TERM
    assert places.ask("cid", 9, "198.51.100.1") is None, "it has as many as the other"


def test_strangers_of_one_address_leave_a_place_for_a_newcomer_from_another() -> None:
    places = reservations(most=8)
    assert [places.ask(f"stranger {n}", n, "203.0.113.7") for n in range(2)] == [PROBATION, PROBATION]
    assert places.ask("browser", 3, "198.51.100.1") == PROBATION
    assert not places.holds("stranger 0", 4)


asking = st.tuples(st.sampled_from(["ask", "forget"]), st.sampled_from([*OURS, *"uvwxyz"]), st.floats(0, 2 * TERM))


@given(st.integers(1, 6), st.lists(asking, max_size=60))
def test_never_more_places_than_there_are_nor_strangers_than_their_share(
    most: int, steps: list[tuple[str, str, float]]
) -> None:
    places, now = reservations(most), 0.0
    for what, peer, later in steps:
        now += later
        if what == "forget":
            places.forget(peer)
            assert not places.holds(peer, now)
        elif (seconds := places.ask(peer, now)) is not None:
            assert places.holds(peer, now + seconds - 1)
        assert len(places) <= most
        assert len(places._on_probation) <= max(1, most // 4)
        assert places._on_probation <= places._until.keys()


def test_one_sites_many_ipv6_networks_keep_no_browser_out() -> None:
    site = [f"peer {n}" for n in range(8)]
    places = reservations(most=8, ours={*site, "browser"})
    for n, peer in enumerate(site):
        assert places.ask(peer, n, f"2001:db8:1:{n:x}::/64") == TERM
    assert places.ask("browser", 9, "10.0.0.1") == TERM
    assert not places.holds("peer 0", 9)
