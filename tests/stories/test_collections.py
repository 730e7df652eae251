"""What the names in the index point to is known once it was fetched: the filter `collections` follows it."""

from __future__ import annotations

from dataclasses import replace

from trio.testing import MockClock

from pinning_worker.adapters.memory.name_index import MemoryNameIndex
from pinning_worker.domain.content.cid import Cid
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.topic.listing import NameFilter
from pinning_worker.domain.topic.name_row import NameRow
from tests import content
from tests.stories.world import World


def row(position: int, name: str, cid: Cid) -> NameRow:
    value = f"ipfs://{cid}".encode()
    return NameRow(Txid(name), 1, 86_400, position, 0, Swartz(1), NameBytes(name.encode()), value)


async def test_content_that_is_no_metadata_is_no_collection(autojump_clock: MockClock) -> None:
    """Catches: pictures and pages among the collections for ever, as if nobody had looked at them yet."""
    picture, picture_blocks = content.file(content.noise(4_000_000))
    page, page_blocks = content.file(b"<!doctype html><title>no</title>")
    art, _, art_blocks = content.nft(b"picture")
    collection, _, collection_blocks = content.nft(b"cover", images=[])
    unknown, _ = content.file(b"nobody asked for it yet")
    named = {"picture": picture, "page": page, "art": art, "collection": collection, "unknown": unknown}
    index = MemoryNameIndex()
    await index.resume_from(1)
    await index.add(1, "ab" * 32, [row(at, name, cid) for at, (name, cid) in enumerate(named.items())])
    async with World().running() as w:
        w.life.fetching.near = replace(w.life.near, note_metadata=index.note_metadata)
        w.offer(picture_blocks | page_blocks | art_blocks | collection_blocks)
        assert len(await index.find(NameFilter.COLLECTIONS, None, 0, 10)) == len(named)
        for cid in (picture, page, art, collection):
            await w.quoted(cid)
        found = await index.find(NameFilter.COLLECTIONS, None, 0, 10)
        assert {each.name for each in found} == {b"collection", b"unknown"}
        assert len(await index.find(NameFilter.NFC, None, 0, 10)) == len(named)
