"""The minute's line: what happened too often for a line each."""

from __future__ import annotations

from pinning_worker.domain.errors import ErrorCode
from pinning_worker.domain.topic.messages import AddedCid, Error
from pinning_worker.tally import Tally


async def test_a_minute_tells_what_was_asked_said_refused_and_served() -> None:
    tally = Tally()

    async def asked(text: str) -> None:
        assert text == "a CID"

    counted = tally.counting("requests", asked)
    for _ in range(3):
        await counted("a CID")
    tally.note_said(AddedCid("bafy"))
    tally.note_said(Error("bafy", ErrorCode.BUSY, "the queue is full", None))
    expected = {"requests": 3, "said_AddedCid": 1, "refused_BUSY": 1, "bytes_served": 500, "peers_now": 2}
    assert tally.take({"bytes_served": 500, "peers_now": 2}) == expected


async def test_a_minute_in_which_nothing_happened_is_not_told_and_nothing_is_told_twice() -> None:
    tally = Tally()
    tally.note_said(AddedCid("bafy"))
    assert tally.take({"bytes_served": 500, "peers_now": 2})
    assert tally.take({"bytes_served": 500, "peers_now": 9}) == {}
    assert tally.take({"bytes_served": 700, "peers_now": 9}) == {"bytes_served": 200, "peers_now": 9}
