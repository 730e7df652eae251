"""What a LIST with media says of a name's content: kept is what NEW-CID would call kept, and nothing else."""

from __future__ import annotations

from datetime import timedelta

from trio.testing import MockClock

from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.topic.name_row import KeptMedia
from tests import content
from tests.stories.world import World, terms


async def test_a_pin_is_shown_with_its_sizes_and_the_latest_end(autojump_clock: MockClock) -> None:
    cid, image, blocks = content.nft(content.noise(300_000))
    async with World().running() as w:
        w.offer(blocks)
        assert await w.life.media.kept(cid.key) is None, "nothing is known of it"
        amount = await w.quoted(cid)
        assert await w.life.media.kept(cid.key) is None, "quoted is not paid"
        await w.pay(cid, amount, "art/1")
        await w.mine(3)
        w.hear()
        first = await w.pin(cid, "art/1")
        await w.later(days=10)
        await w.pinned(cid, "art/2")
        second = await w.pin(cid, "art/2")
        assert first.ends is not None
        assert second.ends is not None
        assert second.ends - first.ends > timedelta(days=9)
        request = await w.books.request(cid.key)
        assert request is not None
        assert request.sizes is not None
        assert await w.life.media.kept(cid.key) == KeptMedia(second.ends, request.sizes, request.blocks)
        assert request.sizes.total == sum(map(len, blocks.values()))
        assert await w.life.media.kept(image.key) == KeptMedia(second.ends), "a part of what is kept"


async def test_what_is_owed_or_taken_down_is_not_shown_as_kept(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(content.noise(600_000))
    denied: set[bytes] = set()
    world = World(terms=terms(blocked=lambda root: root in denied))
    async with world.running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        assert await w.life.media.kept(cid.key) is not None
        denied.add(cid.key)
        assert await w.life.media.kept(cid.key) is None
        denied.clear()
        w.lose(next(m for m in blocks if m != cid.multihash))
        w.fetcher.peers.clear()
    async with world.running() as w:
        assert await w.life.media.kept(cid.key) is None, "compared with the disk before the first word"


async def test_a_term_that_is_over_is_not_shown(autojump_clock: MockClock) -> None:
    cid, blocks = content.file(b"art")
    async with World().running() as w:
        w.offer(blocks)
        await w.pinned(cid)
        ends = (await w.pin(cid)).ends
        assert ends is not None
        await w.months_later((ends - w.clock.now()).days - 1)
        assert await w.life.media.kept(cid.key) == KeptMedia(ends, Sizes(3, 0, 3), 1)
        await w.months_later(3)
        assert await w.life.media.kept(cid.key) is None
