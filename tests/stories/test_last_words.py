"""A worker that is stopped: what the books say was announced is announced, and a hanging announcement is given up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.domain.pin import State
from pinning_worker.domain.topic.messages import AddedCid, Message
from pinning_worker.ports.books import Change
from pinning_worker.steps.last_words import LAST_WORDS_SECONDS, LastWords
from tests import content
from tests.stories.world import World


async def stopped_while_it_announces(
    telling: Callable[[Message], Awaitable[None]], *, are_awaited: bool
) -> tuple[list[str], float]:
    """A pin is stored, `telling` takes its time over ADDED-CID, and the worker is stopped: what it said, and how many
    seconds the stop took."""
    cid, blocks = content.file(b"kept")
    async with World().running() as w:
        w.life.last_words.are_awaited = are_awaited
        w.offer(blocks)
        await w.pay(cid, await w.quoted(cid))
        w.hear()

        async def tell(message: Message) -> None:
            if isinstance(message, AddedCid):
                await telling(message)

        w.announcer.telling = tell
        await w.mine(3)
        began = trio.current_time()
    return [status for status in w.hear_statuses() if status != "PAYMENT-SEEN"], trio.current_time() - began


async def in_time(_message: Message) -> None:
    await trio.sleep(LAST_WORDS_SECONDS / 2)


async def for_an_hour(_message: Message) -> None:
    await trio.sleep(3600)


async def test_a_stop_waits_for_what_is_being_announced(autojump_clock: MockClock) -> None:
    said, seconds = await stopped_while_it_announces(in_time, are_awaited=True)
    assert said == ["ADDED-CID", "CID-PINNED-WITH-NAME"]
    assert seconds == pytest.approx(LAST_WORDS_SECONDS / 2)


async def test_an_announcement_that_hangs_holds_a_stop_until_the_deadline_and_no_longer(
    autojump_clock: MockClock,
) -> None:
    said, seconds = await stopped_while_it_announces(for_an_hour, are_awaited=True)
    assert said == ["ADDED-CID"]
    assert seconds == pytest.approx(LAST_WORDS_SECONDS)


async def test_a_stop_that_waits_for_nothing_is_at_once(autojump_clock: MockClock) -> None:
    said, seconds = await stopped_while_it_announces(for_an_hour, are_awaited=False)
    assert (said, seconds) == (["ADDED-CID"], 0)


async def test_a_change_that_begins_in_the_moment_of_the_stop_has_the_same_deadline(autojump_clock: MockClock) -> None:
    """Catches: a step that was about to run when the worker was stopped was shielded without a deadline."""
    words, began = LastWords(are_awaited=True), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(words.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()  # until it has heard of the stop
        with trio.move_on_after(60):
            async with words.told_once_stored():
                await trio.sleep(3600)
    assert trio.current_time() - began == pytest.approx(LAST_WORDS_SECONDS)


async def test_what_is_announced_in_time_is_not_cut_short_by_anything_but_a_stop(autojump_clock: MockClock) -> None:
    words, announced = LastWords(are_awaited=True), False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(words.run)
        async with words.told_once_stored():
            await trio.sleep(10 * LAST_WORDS_SECONDS)
            announced = True
        nursery.cancel_scope.cancel()
    assert announced


class HangingBooks(MemoryBooks):
    """The one writer is busy for an hour: a verdict waits, and a stop finds it before it has begun."""

    async def commit(self, change: Change) -> bool:
        if any(pin.state is State.CONFIRMED for pin in change.pins):
            await trio.sleep(3600)
        return await super().commit(change)


async def test_a_verdict_that_a_stop_finds_unstored_is_no_crash(autojump_clock: MockClock) -> None:
    """Catches: the deadline ended the commit, and the next line asked for its answer. Three such stops set the root
    aside."""
    cid, blocks = content.file(b"kept")
    async with World(books=HangingBooks()).running() as w:
        w.life.last_words.are_awaited = True
        w.offer(blocks)
        await w.pay(cid, await w.quoted(cid))
        await w.mine(3)
    assert not w.crash_notes.crashed
