"""What is refused, with which code, and what keeps the worker from being used up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from trio.testing import MockClock

from pinning_worker.adapters.memory.network import MemoryFetcher
from pinning_worker.domain.content.cid import DAG_PB, RAW, Cid, cid_of
from pinning_worker.domain.pin import State
from pinning_worker.ports.content import Budget, Fetched
from tests import content
from tests.stories.world import World, budget, terms


async def test_nobody_has_it(autojump_clock: MockClock) -> None:
    cid, _ = content.file(b"nowhere")
    async with World().running() as w:
        await w.say(f'{{"type":"NEW-CID","cid":"{cid}","id":"r1"}}')
        await w.later(seconds=40)
        progress, *_, error = w.hear()
        assert progress == {"status": "FETCHING-CID", "cid": str(cid), "id": "r1", "blocks": 0, "bytes": 0}
        assert (error["status"], error["code"], error["id"], error["retryAfterSeconds"]) == (
            "ERROR",
            "NOT_FOUND",
            "r1",
            60,
        )
        assert error["message"] == f"no connected peer had block {cid} within 30 s"


async def test_blocks_that_stop_coming_are_there_for_the_retry(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(2_000_000))
    first = dict(list(blocks.items())[-1:]) | dict(list(blocks.items())[:3])
    async with World().running() as w:
        w.offer(first)
        await w.say(f"NEW-CID:{cid}")
        await w.later(minutes=2)
        error = w.hear()[-1]
        assert (error["status"], error["code"]) == ("ERROR", "TIMEOUT")
        assert (await w.blocks_on_disk(), w.in_quarantine()) == (set(), set(first))
        w.fetcher.peers = {"b": {key: value for key, value in blocks.items() if key not in first}}
        await w.say(f"NEW-CID:{cid}")
        assert w.hear_statuses() == ["ADDING-CID"]


async def test_blocks_kept_for_a_retry_that_never_comes_go(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(2_000_000))
    async with World().running() as w:
        w.offer({key: blocks[key] for key in list(blocks)[-1:]})
        await w.say(f"NEW-CID:{cid}")
        await w.later(hours=2)
        assert await w.blocks_on_disk() == set()


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        (budget(max_bytes=1_000_000), "1000000 bytes"),
        (budget(max_blocks=3), "3 blocks"),
        (replace(budget(), max_depth=0), "0 depth"),
    ],
)
async def test_over_a_budget_says_which(autojump_clock: MockClock, limit: Budget, says: str) -> None:
    cid, blocks = content.file(content.noise(2_000_000))
    async with World(terms(budget=limit)).running() as w:
        w.offer(blocks)
        await w.say(f"NEW-CID:{cid}")
        [error] = w.hear()
        assert (error["code"], "retryAfterSeconds" in error) == ("TOO_LARGE", False)
        assert says in error["message"]
        assert await w.blocks_on_disk() == set()


async def test_too_large_for_the_operator_is_never_busy(autojump_clock: MockClock) -> None:
    """Catches: a client that asks again every ten minutes, for ever, because other content was staged when it asked."""
    staged, staged_blocks = content.file(content.noise(300_000, 1))
    large, large_blocks = content.file(content.noise(2_000_000, 2))
    deep = [content.add(large_blocks, DAG_PB, content.dag_pb([("", large, 1)], 1))]
    for _ in range(8):
        deep.append(content.add(large_blocks, DAG_PB, content.dag_pb([("", deep[-1], 1)], 1)))
    limits = replace(budget(max_bytes=1_900_000), max_depth=6)
    async with World(terms(budget=limits, staging_quota=2_000_000)).running() as w:
        w.offer(staged_blocks | large_blocks)
        await w.quoted(staged)
        await w.say(f"NEW-CID:{large}", peer="another")
        [error] = w.hear()
        assert (error["code"], "retryAfterSeconds" in error) == ("TOO_LARGE", False)
        size = 2_000_000 + len(large_blocks[large.multihash])
        assert error["message"] == f"over the limit of 1900000 bytes: at least {size}, {size - 1_900_000} too many"
        await w.say(f"NEW-CID:{deep[-1]}", peer="another")
        [error] = w.hear()
        assert (error["code"], error["message"]) == (
            "TOO_LARGE",
            "over the limit of 6 depth: at least 7, 1 too many",
        )


async def test_an_image_too_large_is_told_by_the_budget_of_the_closure(autojump_clock: MockClock) -> None:
    """Catches: a limit that no operator set, the rest beside the metadata or beside other staged content."""
    staged, staged_blocks = content.file(content.noise(300_000, 1))
    metadata, image, blocks = content.nft(content.noise(1_600_000, 2))
    own = len(blocks[metadata.multihash])
    size = own + 1_600_000 + len(blocks[image.multihash])
    limits = budget(max_bytes=1_500_000)
    async with World(terms(budget=limits, staging_quota=1_700_000)).running() as w:
        w.offer(staged_blocks | blocks)
        await w.say(f"NEW-CID:{metadata}", peer="another")
        [alone] = w.hear()
        await w.quoted(staged)
        await w.say(f"NEW-CID:{metadata}", peer="another")
        [beside] = w.hear()
        for error in (alone, beside):
            assert error["code"] == "TOO_LARGE"
            assert error["message"] == f"over the limit of 1500000 bytes: at least {size}, {size - 1_500_000} too many"


async def test_what_never_fits_the_whole_quota_is_too_large(autojump_clock: MockClock) -> None:
    """Catches: BUSY for content that no empty staging area would take either."""
    cid, blocks = content.file(content.noise(900_000))
    many = [content.add(blocks, RAW, bytes([n])) for n in range(200)]
    folder = content.folder({str(n): (each, 1) for n, each in enumerate(many)}, blocks)
    async with World(terms(staging_quota=500_000)).running() as w:
        w.offer(blocks)
        for asked, said in ((cid, "over the limit of 500000 bytes"), (folder, "over the limit of 122 blocks")):
            await w.say(f"NEW-CID:{asked}")
            [error] = w.hear()
            assert error["code"] == "TOO_LARGE"
            assert error["message"].startswith(said)


async def test_the_staging_quota_is_busy_not_too_large(autojump_clock: MockClock) -> None:
    first, first_blocks = content.file(content.noise(900_000, 1))
    second, second_blocks = content.file(content.noise(900_000, 2))
    async with World(terms(staging_quota=1_000_000)).running() as w:
        w.offer(first_blocks | second_blocks)
        await w.quoted(first)
        await w.say(f"NEW-CID:{second}")
        [error] = w.hear()
        assert (error["code"], error["retryAfterSeconds"]) == ("BUSY", 600)
        assert await w.blocks_on_disk() == set(first_blocks)
        await w.pay(first, 5_100_000)  # what is paid for is no longer staged
        await w.mine(3)
        w.hear()
        await w.say(f"NEW-CID:{second}")
        assert w.hear_statuses() == ["ADDING-CID"]


async def test_what_a_running_fetch_has_taken_is_not_there_for_another(autojump_clock: MockClock) -> None:
    first, first_blocks = content.file(content.noise(900_000, 1))
    second, second_blocks = content.file(content.noise(500_000, 2))
    async with World(terms(staging_quota=1_000_000)).running() as w:
        w.offer({key: first_blocks[key] for key in (first.multihash, *list(first_blocks)[:3])} | second_blocks)
        await w.say(f"NEW-CID:{first}", peer="somebody")  # waits for its last block
        await w.say(f"NEW-CID:{second}", peer="another")
        assert [(m["cid"], m["code"]) for m in w.hear()] == [(str(second), "BUSY")]


async def test_fetches_side_by_side_do_not_quote_more_than_the_quota(autojump_clock: MockClock) -> None:
    cids, blocks = zip(*(content.file(content.noise(900_000, seed)) for seed in (1, 2, 3)), strict=True)
    async with World(terms(staging_quota=1_000_000)).running() as w:
        w.fetcher.seconds_per_block = 1
        for number, (cid, own) in enumerate(zip(cids, blocks, strict=True)):
            w.offer(own)
            await w.say(f"NEW-CID:{cid}", peer=f"peer {number}")
        await w.later(minutes=1)
        said = [m.get("code", m["status"]) for m in w.hear() if m["status"] != "FETCHING-CID"]
        assert sorted(said) == ["ADDING-CID", "BUSY", "BUSY"]
        assert sum((await w.books.unpaid_room()).values()) < 1_000_000
        assert len(await w.blocks_on_disk()) == len(blocks[0])


@pytest.mark.parametrize("quoted", [900_000, 1_000_000], ids=["nearly full", "full"])
async def test_a_quota_that_is_used_up_is_told_as_what_it_is_and_not_as_a_full_disk(
    autojump_clock: MockClock, quoted: int
) -> None:
    """Catches: the operator looks at his disk, and all of it is swept for what a refused request left."""
    first, first_blocks = content.file(content.noise(quoted, 1), chunk=2_000_000)
    second, second_blocks = content.file(content.noise(900_000, 2))
    async with World(terms(staging_quota=1_000_000)).running() as w:
        w.offer(first_blocks | second_blocks)
        await w.quoted(first)
        with capture_logs() as logs:
            await w.say(f"NEW-CID:{second}")
        assert [m["code"] for m in w.hear()] == ["BUSY"]
        [told] = [line for line in logs if line["log_level"] in ("warning", "error")]
        assert (told["event"], told["raise_this"]) == ("staging.used_up", "PINNING_STAGING_QUOTA")
        assert not w.life.shelf.untidy
        assert await w.blocks_on_disk() == set(first_blocks)


async def test_what_is_paid_for_needs_no_room_in_the_quota(autojump_clock: MockClock) -> None:
    first, first_blocks = content.file(content.noise(900_000, 1))
    paid, paid_blocks = content.file(content.noise(900_000, 2))
    async with World(terms(staging_quota=1_000_000)).running() as w:
        w.offer(first_blocks | paid_blocks)
        await w.quoted(first)
        await w.pay(paid, 5_100_000)
        await w.mine(3)
        await w.later(minutes=1)
        assert (await w.pin(paid)).state is State.PINNED


async def test_a_full_disk_is_busy_and_the_next_small_request_is_served(autojump_clock: MockClock) -> None:
    large, blocks = content.file(content.noise(900_000))
    small, small_blocks = content.file(b"small")
    async with World().running() as w:
        w.blocks.capacity = 500_000
        w.offer(blocks | small_blocks)
        await w.say(f"NEW-CID:{large}")
        assert w.hear()[0]["code"] == "BUSY"
        assert await w.blocks_on_disk() == set()
        await w.say(f"NEW-CID:{small}")
        assert w.hear_statuses() == ["ADDING-CID"]


async def test_a_full_queue_is_busy_and_one_peer_cannot_fill_it(autojump_clock: MockClock) -> None:
    async with World(terms(queue_size=5, queue_size_per_peer=3)).running() as w:
        cids = [content.file(content.noise(100, seed))[0] for seed in range(20)]
        for cid in cids[:4]:
            await w.say(f"NEW-CID:{cid}", peer="greedy")
        assert [m["code"] for m in w.hear()] == ["BUSY"]
        for cid in cids[4:7]:
            await w.say(f"NEW-CID:{cid}", peer="other")
        assert [m["message"] for m in w.hear()] == ["the queue is full"]
        await w.later(minutes=5)
        w.hear()
        await w.say(f"NEW-CID:{cids[10]}", peer="greedy")
        await w.later(seconds=3)
        assert w.hear_statuses() == ["FETCHING-CID"]


async def test_peers_made_up_behind_one_connection_leave_half_of_the_queue(autojump_clock: MockClock) -> None:
    async with World(terms(queue_size=10, queue_size_per_peer=3)).running() as w:
        cids = [content.file(content.noise(100, seed))[0] for seed in range(12)]
        for number, cid in enumerate(cids[:6]):
            await w.say(f"NEW-CID:{cid}", peer=f"made up {number}", through="attacker")
        (refused,) = w.hear()
        assert refused["message"] == "too many requests that came through the same peer as yours are waiting"
        await w.say(f"NEW-CID:{cids[6]}", peer="honest")
        await w.later(seconds=3)
        assert str(cids[6]) in [m["cid"] for m in w.hear() if m["status"] == "FETCHING-CID"]


async def test_a_block_that_is_not_what_its_codec_says(autojump_clock: MockClock) -> None:
    blocks: content.Blocks = {}
    cid = content.add(blocks, DAG_PB, b"not protobuf at all \xff")
    async with World().running() as w:
        w.offer(blocks)
        await w.say(f"NEW-CID:{cid}")
        assert w.hear()[0]["code"] == "UNSUPPORTED"
        assert await w.blocks_on_disk() == set()


async def test_what_the_operator_denies(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"denied")
    async with World(terms(denied=lambda asked: asked.key == cid.key)).running() as w:
        w.offer(blocks)
        await w.say(f"NEW-CID:{cid}")
        assert w.hear()[0]["code"] == "DENIED"


async def test_what_the_operator_denies_is_kept_for_no_metadata_that_names_it(autojump_clock: MockClock) -> None:
    metadata, image, blocks = content.nft(b"denied")
    async with World(terms(denied=lambda asked: asked.key == image.key)).running() as w:
        w.offer(blocks)
        await w.say(f"NEW-CID:{metadata}")
        assert [m.get("code") for m in w.hear()] == ["DENIED"]
        assert image not in w.fetcher.fetches
        assert await w.blocks_on_disk() == set()


async def test_a_denied_file_is_kept_in_no_folder_either(autojump_clock: MockClock) -> None:
    image, blocks = content.file(b"denied")
    folder = content.folder({"innocent.png": (image, 6)}, blocks)
    async with World(terms(denied=lambda asked: asked.multihash == image.multihash)).running() as w:
        w.offer(blocks)
        await w.say(f"NEW-CID:{folder}")
        assert [m.get("code") for m in w.hear()] == ["DENIED"]
        assert await w.blocks_on_disk() == set()


async def test_what_is_no_cid_or_not_ours_to_read_is_refused_at_once(autojump_clock: MockClock) -> None:
    cbor = Cid(1, 0x71, cid_of(DAG_PB, b"x").multihash)
    async with World().running() as w:
        for text in ("undefined", str(cbor), '{"type":"NEW-CID","cid":"Qm"}'):
            await w.say(text if text.startswith("{") else f"NEW-CID:{text}")
        assert [m["code"] for m in w.hear()] == ["BAD_CID", "UNSUPPORTED", "BAD_CID"]


@pytest.mark.parametrize(
    "document",
    [
        b"null",
        b"[1,2]",
        b"<html>a page</html>",
        b'{"name":"x","image":5}',
        b'{"name":"x","image":"https://example.org/a.png"}',
        b'{"name":"x","image":"ipfs://undefined"}',
        b"\xff\xfe\x00",
        b"",
    ],
)
async def test_every_shape_of_metadata_is_quoted_and_pinnable(autojump_clock: MockClock, document: bytes) -> None:
    cid, blocks = content.file(document)
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        assert (await w.pin(cid)).state is State.PINNED


async def test_a_foreign_link_is_reported(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b'{"name":"x","image":"https://example.org/a.png"}')
    async with World().running() as w:
        w.offer(blocks)
        await w.say(f"NEW-CID:{cid}")
        assert w.hear()[0]["foreign"] == ["https://example.org/a.png"]


async def test_an_image_after_a_hundred_foreign_links_is_kept(autojump_clock: MockClock) -> None:
    elsewhere = [f"https://example.org/{number}.png" for number in range(150)]
    last, last_blocks = content.file(b"the last picture")
    metadata, image, blocks = content.nft(b"picture", images=[*elsewhere, f"ipfs://{last}"])
    async with World().running() as w:
        w.offer(blocks | last_blocks)
        await w.pinned(metadata)
        assert await w.blocks_on_disk() == {metadata.multihash, image.multihash, last.multihash}


async def test_an_image_that_nobody_has_is_not_half_sold(autojump_clock: MockClock) -> None:
    metadata, image, blocks = content.nft(b"picture")
    async with World().running() as w:
        w.offer({key: block for key, block in blocks.items() if key != image.multihash})
        await w.say(f"NEW-CID:{metadata}")
        await w.later(minutes=1)
        assert [m["status"] for m in w.hear() if m["status"] != "FETCHING-CID"] == ["ERROR"]
        w.offer(blocks)
        await w.say(f"NEW-CID:{metadata}")
        assert w.hear_statuses() == ["ADDING-CID"]


async def test_the_budget_is_for_the_closure_not_for_each_part(autojump_clock: MockClock) -> None:
    metadata, _, blocks = content.nft(content.noise(700_000), images=[])
    async with World(terms(budget=budget(max_bytes=700_100))).running() as w:
        w.offer(blocks)
        await w.say(f"NEW-CID:{metadata}")
        assert w.hear()[0]["code"] == "TOO_LARGE"


async def test_a_closure_that_lost_a_shared_block_meanwhile_is_gathered_and_measured_anew(
    autojump_clock: MockClock,
) -> None:
    picture, picture_blocks = content.file(content.noise(3_000, 2))
    metadata, image, blocks = content.nft(content.noise(9_000, 1), images=[f"ipfs://{picture}"])
    async with World(terms(quote_life=timedelta(minutes=10))).running() as w:
        w.offer(blocks | picture_blocks)
        await w.quoted(image)
        await w.later(minutes=9, seconds=45)
        await w.chain.mine(40, empty=True)  # miners' clocks may be ahead: the lapse comes by ours, at ten minutes
        w.fetcher.seconds_per_block = 10
        await w.say(f"NEW-CID:{metadata}")  # finds the image here, which lapses while it waits for the picture
        await w.later(minutes=2)
        adding = w.hear()[-1]
        assert adding["bytes"] == {
            "metadata": len(blocks[metadata.multihash]),
            "image": 12_000,
            "total": len(blocks[metadata.multihash]) + 12_000,
        }
        await w.say(f"NEW-CID:{picture}")
        assert w.fetcher.fetches.count(image) == 3
        request = await w.books.request(metadata.key)
        assert request is not None
        assert request.references == (image.key, picture.key)


@dataclass(slots=True)
class FetcherToldTheBudget(MemoryFetcher):
    budgets: list[Budget] = field(default_factory=list)

    async def fetch(self, root: Cid, *, budget: Budget, **named: Any) -> Fetched:
        self.budgets.append(budget)
        return await MemoryFetcher.fetch(self, root, budget=budget, **named)


async def test_what_the_metadata_used_up_is_not_there_for_its_images(autojump_clock: MockClock) -> None:
    metadata, _, blocks = content.nft(b"picture")
    w = World()
    w.fetcher = told = FetcherToldTheBudget(w.blocks, seconds_per_block=7)
    async with w.running():
        w.offer(blocks)
        await w.say(f"NEW-CID:{metadata}")
        await w.later(minutes=1)
        whole, rest = told.budgets
        spent = len(blocks[metadata.multihash])
        assert rest == replace(
            whole,
            max_blocks=whole.max_blocks - 1,
            max_bytes=whole.max_bytes - spent,
            fetch_time=timedelta(seconds=593),
        )


async def test_months_asked_for_are_quoted_each_and_more_than_is_sold_is_capped(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(2_000_000))
    async with World().running() as w:
        w.offer(blocks)
        for months in (1, 2, 99):
            await w.say(f'{{"type":"NEW-CID","cid":"{cid}","durationMonths":{months}}}')
            await w.later(seconds=3)
        answers = w.hear()
        assert [m["fee"]["durationMonths"] for m in answers] == [1, 2, 8]
        assert len({m["quote"]["id"] for m in answers}) == 3
        await w.pay(cid, answers[1]["fee"]["amount"])
        await w.mine(3)
        pin = await w.pin(cid)
        assert pin.starts is not None
        assert pin.ends == pin.starts.replace(year=2027, month=1)


async def test_a_long_queue_of_slow_fetches_keeps_no_payment_waiting(autojump_clock: MockClock) -> None:
    paid, blocks = content.file(b"paid for")
    async with World(terms(fetches_at_once=2, steps_at_once=4)).running() as w:
        w.offer(blocks)
        amount = await w.quoted(paid)
        for seed in range(40):
            nowhere, _ = content.file(content.noise(50, seed))
            await w.say(f"NEW-CID:{nowhere}")
        await w.pay(paid, amount)
        await w.mine(3)
        assert (await w.pin(paid)).state is State.PINNED


async def test_requests_for_what_does_not_exist_leave_the_books_again(autojump_clock: MockClock) -> None:
    async with World().running() as w:
        for seed in range(20):
            await w.say(f"NEW-CID:{content.file(content.noise(50, seed))[0]}")
        await w.later(hours=1)
        cid, _ = content.file(content.noise(50, 0))
        refused = await w.books.request(cid.key)
        assert refused is not None
        assert refused.reason.startswith("no connected peer had block")
        await w.later(days=2)
        assert await w.books.request(cid.key) is None
        assert await w.books.next_due(w.clock.now()) is None


async def test_what_is_denied_is_owed_when_paid_and_never_fetched(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"denied")
    async with World(terms(denied=lambda asked: asked.key == cid.key)).running() as w:
        w.offer(blocks)
        await w.pay(cid, 3_000_000)
        await w.mine(3)
        await w.later(days=1)
        owed = await w.pin(cid)
        assert (owed.state, owed.reason) == (State.OWED, "on the operator's denylist")
        assert w.fetcher.fetches == []
