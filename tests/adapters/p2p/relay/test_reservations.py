"""Places at the relay, as a transcript: the peer that asks, the time, and the seconds granted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.adapters.p2p.relay.reservations import PROBATION_SECONDS, TERM_SECONDS, Reservations
from pinning_worker.domain.identities import PeerId

ANN, BOB, CID, DAN = (PeerId(name) for name in ("ann", "bob", "cid", "dan"))
OURS = frozenset({ANN, BOB, CID, DAN})
BROWSER, STRANGER, OTHER = PeerId("browser"), PeerId("stranger"), PeerId("other")
STRANGERS = [PeerId(f"stranger {number}") for number in range(4)]


def reservations(most: int = 8, ours: frozenset[PeerId] | set[PeerId] = OURS) -> Reservations:
    return Reservations(most, lambda peer: peer in ours)


def test_ours_have_a_term_and_again_when_they_renew() -> None:
    places = reservations()
    assert places.ask(ANN, 0) == TERM_SECONDS
    assert places.ask(ANN, TERM_SECONDS / 2) == TERM_SECONDS
    assert places.holds(ANN, TERM_SECONDS * 1.5 - 1)
    assert not places.holds(ANN, TERM_SECONDS * 1.5)


def test_a_newcomer_is_tried_once_each_time_it_comes() -> None:
    places = reservations()
    assert places.ask(STRANGER, 0) == PROBATION_SECONDS
    assert places.ask(STRANGER, PROBATION_SECONDS / 2) is None
    assert places.holds(STRANGER, PROBATION_SECONDS - 1)
    assert places.ask(STRANGER, PROBATION_SECONDS + 1) is None
    places.forget(STRANGER)
    assert places.ask(STRANGER, PROBATION_SECONDS + 2) == PROBATION_SECONDS


def test_a_newcomer_that_subscribes_meanwhile_is_one_of_ours() -> None:
    ours: set[PeerId] = set()
    places = reservations(most=4, ours=ours)
    assert places.ask(BROWSER, 0) == PROBATION_SECONDS
    ours.add(BROWSER)
    assert places.ask(BROWSER, PROBATION_SECONDS / 2) == TERM_SECONDS
    assert places.ask(OTHER, PROBATION_SECONDS / 2) == PROBATION_SECONDS  # the newcomer's share is free again


def test_one_of_ours_that_unsubscribes_loses_its_place() -> None:
    ours = {ANN}
    places = reservations(ours=ours)
    places.ask(ANN, 0)
    ours.clear()
    assert places.ask(ANN, 10) == PROBATION_SECONDS
    assert places.ask(ANN, 20) is None


def test_strangers_take_a_quarter_at_most_and_their_places_come_free() -> None:
    places = reservations(most=8)
    assert [places.ask(peer, 0) for peer in STRANGERS] == [PROBATION_SECONDS, PROBATION_SECONDS, None, None]
    assert [places.ask(peer, 1) for peer in sorted(OURS)] == [TERM_SECONDS] * 4
    assert places.ask(STRANGERS[2], PROBATION_SECONDS) == PROBATION_SECONDS
    places.forget(STRANGERS[2])
    assert len(places) == 4


def test_when_it_is_full_only_renewals_are_granted() -> None:
    places = reservations(most=2)
    assert [places.ask(peer, 0) for peer in (ANN, BOB, CID, ANN)] == [TERM_SECONDS, TERM_SECONDS, None, TERM_SECONDS]
    places.forget(BOB)
    assert places.ask(CID, 1) == TERM_SECONDS


def test_when_it_is_full_the_address_with_the_most_places_makes_room() -> None:
    crowd = [PeerId(name) for name in "uvwx"]
    places = reservations(most=4, ours={*OURS, *crowd})
    for moment, peer in enumerate(crowd):
        assert places.ask(peer, moment, "203.0.113.7") == TERM_SECONDS
    assert places.ask(ANN, 5, "198.51.100.1") == TERM_SECONDS
    assert [places.holds(peer, 6) for peer in crowd] == [False, True, True, True], "the oldest goes"
    assert places.ask(crowd[0], 7, "203.0.113.7") is None
    assert places.ask(BOB, 8, "198.51.100.1") == TERM_SECONDS
    assert places.ask(CID, 9, "198.51.100.1") is None, "it has as many as the other"


def test_strangers_of_one_address_leave_a_place_for_a_newcomer_from_another() -> None:
    places = reservations(most=8)
    assert [places.ask(STRANGERS[n], n, "203.0.113.7") for n in range(2)] == [PROBATION_SECONDS, PROBATION_SECONDS]
    assert places.ask(BROWSER, 3, "198.51.100.1") == PROBATION_SECONDS
    assert not places.holds(STRANGERS[0], 4)


peers = st.sampled_from([*OURS, *map(PeerId, "uvwxyz")])
asking = st.tuples(st.sampled_from(["ask", "forget"]), peers, st.floats(0, 2 * TERM_SECONDS))


@given(st.integers(1, 6), st.lists(asking, max_size=60))
def test_never_more_places_than_there_are_nor_strangers_than_their_share(
    most: int, steps: list[tuple[str, PeerId, float]]
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
    site = [PeerId(f"peer {n}") for n in range(8)]
    places = reservations(most=8, ours={*site, BROWSER})
    for n, peer in enumerate(site):
        assert places.ask(peer, n, f"2001:db8:1:{n:x}::/64") == TERM_SECONDS
    assert places.ask(BROWSER, 9, "10.0.0.1") == TERM_SECONDS
    assert not places.holds(site[0], 9)
