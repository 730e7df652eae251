"""Defects of the predecessor that no other story tells; the list of all is in this package's docstring."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trio.testing import MockClock

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.memory.network import MemoryFetcher
from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.pin import State
from pinning_worker.ports import Fetched, Trouble
from tests import content, stories
from tests.stories.world import World


async def test_row_9_one_payment_pays_for_what_it_names_and_for_nothing_else(autojump_clock: MockClock) -> None:
    metadata, image, blocks = content.nft(content.noise(3_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.quoted(image)
        await w.pinned(metadata)
        assert [(pin.root, pin.state) for pin in await w.books.all_pins()] == [(metadata.key, State.PINNED)]


async def test_row_12_a_second_payer_overwrites_nothing(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"two owners")
    async with World().running() as w:
        w.offer(blocks)
        first = await w.pinned(cid, "mine")
        before = await w.pin(cid, "mine")
        await w.later(hours=1)
        second = await w.pinned(cid, "yours")
        assert await w.pin(cid, "mine") == before
        assert {(receipt.name_id, receipt.txid) for receipt in await w.receipts.all()} == {
            ("mine", first),
            ("yours", second),
        }


async def test_row_13_what_has_expired_can_be_had_again(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"back again")
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        await w.months_later(250)
        first = await w.pin(cid)
        assert first.state is State.RELEASED
        w.hear()
        await w.pinned(cid)
        second = await w.pin(cid)
        assert second.state is State.PINNED
        assert second.starts is not None
        assert first.ends is not None
        assert second.starts > first.ends


async def test_row_22_text_is_decoded_whole_wherever_its_chunks_are_cut(autojump_clock: MockClock) -> None:
    image, blocks = content.file(b"picture")
    document = f'{{"name":"äöü🐈","image":"ipfs://{image}"}}'.encode()
    for size in (1, 2, 3, 11):
        cid, own = content.file(document, chunk=size)
        async with World().running() as w:
            w.offer(blocks | own)
            await w.pinned(cid)
            assert [receipt.file_name for receipt in await w.receipts.all()] == ["äöü🐈"]
            assert image.multihash in await w.blocks_on_disk()


@dataclass(slots=True)
class FetcherWithABug(MemoryFetcher):
    unlucky: Cid | None = None

    async def fetch(self, root: Cid, **named: Any) -> Fetched:
        if root == self.unlucky:
            raise KeyError("a detail that is nobody's business")
        return await MemoryFetcher.fetch(self, root, **named)


async def test_row_35_a_fault_of_ours_costs_one_request_and_not_the_worker(autojump_clock: MockClock) -> None:
    unlucky, unlucky_blocks = content.file(b"the one with the bug")
    next_one, next_blocks = content.file(b"the next one")
    w = World(may_crash=True)
    w.fetcher = FetcherWithABug(w.blocks, unlucky=unlucky)
    async with w.running():
        w.offer(unlucky_blocks | next_blocks)
        await w.say(f"NEW-CID:{unlucky}")
        [error] = w.hear()
        assert (error["code"], error["message"]) == ("INTERNAL", "reference q1")
        await w.pinned(next_one)
        assert (await w.pin(next_one)).state is State.PINNED


class SulkyBlocks(MemoryBlocks):
    troubles = 3

    async def audit(self, multihashes: Sequence[Multihash]) -> set[Multihash]:
        if self.troubles:
            self.troubles -= 1
            raise Trouble("the disk does not answer")
        return await MemoryBlocks.audit(self, multihashes)


async def test_row_25_trouble_is_tried_again_and_nothing_skipped(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"a disk with a bad minute")
    async with World(blocks=SulkyBlocks()).running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        assert (await w.pin(cid)).state is State.CONFIRMED
        await w.later(minutes=2)
        assert w.hear_statuses() == ["ADDED-CID", "CID-PINNED-WITH-NAME"]


def test_the_list_of_defects_names_tests_that_there_are() -> None:
    tests = Path(__file__).parents[1]
    named = re.findall(r"^    ([\w/]+)(?:::(\w+))?", str(stories.__doc__), re.MULTILINE)
    assert len(named) > 40
    for file, name in named:
        text = (tests / (f"{file}.py" if "/" in file else f"stories/test_{file}.py")).read_text("utf-8")
        assert f"{name}(" in text, f"{file}::{name}"
