"""The table of states: what can happen, what cannot, and the reminders before an end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.content.cid import Root
from pinning_worker.domain.identities import PeerId
from pinning_worker.domain.pin import (
    ACTIVE,
    LIVE,
    MOST_ASKERS,
    REMINDER_DAYS,
    REQUEST_HOLDS,
    STANDING,
    TABLE,
    Asker,
    Event,
    Forbidden,
    Request,
    State,
    allows,
    drawing,
    in_other_words,
    next_reminder,
    reminders_over,
    step,
)
from tests.domain.ledger_rows import pin

END = datetime(2027, 7, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
STATES_PAGE = Path(__file__).parents[2] / "docs" / "states.md"


def reachable(start: State | None) -> set[State]:
    found: set[State] = set()
    while more := {after for (state, _), after in TABLE.items() if state is start or state in found} - found:
        found |= more
    return found


def by_name(states: Iterable[State]) -> list[State]:
    return sorted(states, key=lambda state: state.value)


REQUESTS = {step(None, Event.ASKED)} | reachable(step(None, Event.ASKED))
PINS = {step(None, Event.SEEN)} | reachable(step(None, Event.SEEN))


# ---------------------------------------------------------------- the table


def test_every_state_is_reached_from_nothing() -> None:
    assert reachable(None) == set(State)


def test_every_event_happens_to_something() -> None:
    assert {event for _, event in TABLE} == set(Event)


def test_a_request_never_becomes_a_pin_nor_a_pin_a_request() -> None:
    assert REQUESTS.isdisjoint(PINS)
    assert ACTIVE | REQUEST_HOLDS <= REQUESTS
    assert STANDING < LIVE < PINS


@pytest.mark.parametrize("state", by_name(PINS))
def test_no_state_is_a_trap_for_money(state: State) -> None:
    """Whatever became of a pin, one more payment can pin it. Row 13: a known CID could never be renewed."""
    assert State.PINNED in reachable(state)


@pytest.mark.parametrize("state", by_name(LIVE))
def test_whatever_holds_blocks_can_come_to_an_end(state: State) -> None:
    """Row 6: a paid pin never expired."""
    assert State.RELEASED in reachable(state)


def test_only_an_audit_leads_to_pinned() -> None:
    """Row 1: it announced PINNED without ever pinning."""
    assert {event for (_, event), after in TABLE.items() if after is State.PINNED} == {Event.AUDITED}
    assert [state for (state, event), _ in TABLE.items() if event is Event.AUDITED] == [State.CONFIRMED]


def test_what_is_not_in_the_table_cannot_happen() -> None:
    for state, event in product([None, *State], Event):
        if allows(state, event):
            assert step(state, event) is TABLE[state, event]
        else:
            with pytest.raises(Forbidden):
                step(state, event)


def test_a_refused_event_names_both_sides() -> None:
    with pytest.raises(Forbidden, match=r"'audited' cannot happen to 'released'"):
        pin(State.RELEASED).moved(Event.AUDITED, None)
    with pytest.raises(Forbidden, match=r"'term over' cannot happen to 'nothing'"):
        step(None, Event.ENDED)


def test_an_event_takes_along_what_it_changes_and_leaves_the_version_to_the_books() -> None:
    before = pin(State.PINNED)
    after = before.moved(Event.REMINDED, END, reminded=7)
    assert (after.state, after.due_at, after.reminded, after.version) == (State.EXPIRING, END, 7, before.version)
    assert before.state is State.PINNED


@pytest.mark.parametrize("lane", [Event.ASKED, Event.SEEN])
def test_the_drawings_in_the_docs_are_the_table(lane: Event) -> None:
    assert f"```mermaid\n{drawing(lane)}```" in STATES_PAGE.read_text("utf-8"), "run `make states`"


def test_every_arrow_is_drawn_once() -> None:
    drawn = drawing(Event.ASKED) + drawing(Event.SEEN)
    assert sum(line.count(" / ") + 1 for line in drawn.splitlines() if "-->" in line) == len(TABLE)


# ---------------------------------------------------------------- askers


def asker(number: int, peer: str = "a") -> Asker:
    return Asker("bafy", f"r{number}", 8, PeerId(peer))


def test_who_asks_twice_waits_once_and_last() -> None:
    request = Request(Root(b"r"), State.REQUESTED, None).with_asker(asker(1)).with_asker(asker(2)).with_asker(asker(1))
    assert request.askers == (asker(2), asker(1))


def test_who_asks_in_anothers_words_takes_nobodys_place_and_hears_the_same_answer() -> None:
    request = Request(Root(b"r"), State.REQUESTED, None).with_asker(asker(1)).with_asker(asker(1, "b"))
    assert request.askers == (asker(1), asker(1, "b"))
    assert in_other_words(request.askers) == [asker(1, "b")]


def test_of_too_many_askers_those_go_that_one_connection_brought() -> None:
    request = Request(Root(b"r"), State.REQUESTED, None).with_asker(asker(0, "honest"))
    for number in range(1, MOST_ASKERS + 5):
        request = request.with_asker(replace(asker(number, f"made up {number}"), through=PeerId("stranger")))
    assert len(request.askers) == MOST_ASKERS
    assert request.askers[0] == asker(0, "honest")


def test_of_too_many_askers_the_newest_are_answered() -> None:
    request = Request(Root(b"r"), State.REQUESTED, None)
    for number in range(MOST_ASKERS + 5):
        request = request.with_asker(asker(number))
    assert request.askers == tuple(asker(number) for number in range(5, MOST_ASKERS + 5))


# ---------------------------------------------------------------- reminders


@pytest.mark.parametrize(
    ("days_left", "reminded", "next_one"),
    [
        (240, None, (30, 30)),
        (30, None, (30, 30)),  # due this very moment
        (29, None, (30, 30)),  # missed by a day: still worth sending
        (29, 30, (7, 7)),
        (6, None, (7, 7)),  # of two missed ones only the last
        (0.5, None, (1, 1)),
        (0.5, 7, (1, 1)),
        (0.5, 1, None),
        (-3, 1, None),
        (-3, None, (1, 1)),  # past the end, nothing sent: the story ends it before it reminds
    ],
)
def test_thirty_seven_and_one_day_before_the_end(
    days_left: float, reminded: int | None, next_one: tuple[int, int] | None
) -> None:
    expected = (next_one[0], END - next_one[1] * DAY) if next_one else None
    assert next_reminder(END, END - days_left * DAY, reminded) == expected


@given(st.floats(-5, 300), st.sampled_from([None, *REMINDER_DAYS]))
def test_each_is_sent_at_most_once_and_never_one_of_before(days_left: float, reminded: int | None) -> None:
    now, sent = END - days_left * DAY, []
    while (entry := next_reminder(END, now, reminded)) is not None:
        reminded, now = entry[0], max(now, entry[1])
        sent.append(reminded)
    assert sent == sorted(set(sent), reverse=True)
    assert len(sent) <= len(REMINDER_DAYS)
    if sent:
        assert sent[-1] == REMINDER_DAYS[-1]


@pytest.mark.parametrize(
    ("days_left", "reminded", "next_one"),
    [
        (242, None, 30),
        (30.9, None, 30),  # a month of 31 days
        (30, None, 7),  # of 30, and pinned the moment it was mined
        (29.9, None, 7),
        (27.9, None, 7),  # February
        (6.9, None, 1),  # it took three weeks to be had
        (6.9, 30, 1),
        (0.5, None, None),
        (20, 7, 1),
    ],
)
def test_what_is_pinned_is_reminded_of_what_is_to_come(
    days_left: float, reminded: int | None, next_one: int | None
) -> None:
    now = END - days_left * DAY
    entry = next_reminder(END, now, reminders_over(END, now, reminded))
    assert (entry and entry[0]) == next_one
    assert entry is None or entry[1] > now
