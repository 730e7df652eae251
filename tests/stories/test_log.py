"""What an operator reads of a paid life: one line for each thing that happened to his business, with its figures."""

from __future__ import annotations

from structlog.testing import capture_logs
from trio.testing import MockClock

from tests import content
from tests.stories.world import World

LEVELS = ("info", "warning", "error")


async def test_a_paid_life_is_six_lines(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(600_000))
    with capture_logs() as logs:
        async with World().running() as w:
            w.offer(blocks)
            amount = await w.quoted(cid)
            txid = await w.pay(cid, amount)
            await w.mine(3)
            await w.months_later(245)
    story = [line for line in logs if line["log_level"] in LEVELS and line.get("cid") == str(cid)]
    assert [line["event"] for line in story] == [
        "request.taken",
        "quote.given",
        "payment.seen",
        "payment.proven",
        "pin.confirmed",
        "pin.kept",
        "quote.given",  # of the renewal that all reminders offer
        "pin.ended",
    ]
    taken, quoted, seen, proven, _, kept = story[:6]
    assert (taken["months"], taken["peer"]) == (8, "12D3KooWBrowser")
    assert (quoted["amount"], quoted["months"], quoted["bytes"]) == ("0.03397411 DOI", 8, 600_142)
    assert (seen["txid"], seen["amount"], seen["confirmations_needed"]) == (txid, quoted["amount"], 3)
    assert (proven["txid"], proven["height"]) == (txid, 1)
    assert (kept["name"], kept["bytes"], kept["starts"][:4], kept["ends"][:4]) == ("art/1", 600_142, "2026", "2027")


async def test_who_asks_again_is_no_new_line(autojump_clock: MockClock) -> None:
    """Catches: a stranger writes the operator's log, one line for each free message."""
    cid, blocks = content.file(content.noise(600_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.quoted(cid)
        with capture_logs() as logs:
            for _ in range(20):
                await w.say(f"NEW-CID:{cid}")
                await w.later(seconds=3)
        assert [line for line in logs if line["log_level"] in LEVELS] == []
