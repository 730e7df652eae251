"""What every Blocks must do."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta

import trio

from pinning_worker.domain.content.multihash import Multihash, sha2_256
from pinning_worker.ports import Blocks


def name_of(data: bytes) -> Multihash:
    return sha2_256(data)


SMALL, EMPTY, BIG = b"a block", b"", bytes(range(256)) * 8192
ALL = {name_of(data): data for data in (SMALL, EMPTY, BIG)}
NEVER = name_of(b"never put")
DAY = date(2026, 11, 29)


async def put_all(blocks: Blocks) -> None:
    for name, data in ALL.items():
        await blocks.put(name, data)


async def everything(blocks: Blocks) -> list[bytes]:
    return sorted([name async for piece in blocks.all() for name in piece])


async def test_a_block_comes_back_as_it_went_in(blocks: Blocks) -> None:
    """Catches: an empty block taken for a missing one."""
    await put_all(blocks)
    for name, data in ALL.items():
        assert await blocks.get(name) == data
        assert await blocks.size(name) == len(data)


async def test_what_was_never_put_is_none(blocks: Blocks) -> None:
    assert (await blocks.get(NEVER), await blocks.size(NEVER)) == (None, None)


async def test_putting_a_block_again_changes_nothing(blocks: Blocks) -> None:
    await put_all(blocks)
    await put_all(blocks)
    assert await everything(blocks) == sorted(ALL)


async def test_the_same_block_put_by_many_at_once_is_one(blocks: Blocks) -> None:
    """Catches: two writers of one temporary file."""
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(blocks.put, name_of(BIG), BIG)
    assert await blocks.get(name_of(BIG)) == BIG
    assert await everything(blocks) == [name_of(BIG)]


async def test_freeing_leaves_the_others_and_minds_nothing_missing(blocks: Blocks) -> None:
    await put_all(blocks)
    await blocks.free((name_of(SMALL), NEVER), DAY, was_paid=True)
    await blocks.free((), DAY, was_paid=True)
    assert await everything(blocks) == sorted((name_of(EMPTY), name_of(BIG)))


async def test_an_audit_finds_what_is_missing(blocks: Blocks) -> None:
    await put_all(blocks)
    assert await blocks.audit((*ALL, NEVER)) == {NEVER}
    assert await blocks.audit(()) == set()


async def test_an_audit_vouches_for_no_hash_that_it_cannot_check(blocks: Blocks) -> None:
    """Catches: an unknown hash function taken on trust."""
    sha1_name = Multihash(b"\x11\x14" + hashlib.sha1(SMALL, usedforsecurity=False).digest())
    await blocks.put(sha1_name, SMALL)
    assert await blocks.audit((sha1_name,)) == {sha1_name}
    assert await blocks.get(sha1_name) is None


async def test_all_comes_in_pieces_of_bounded_size(blocks: Blocks) -> None:
    names = [name_of(number.to_bytes(2, "big")) for number in range(2_500)]
    for number, name in enumerate(names):
        await blocks.put(name, number.to_bytes(2, "big"))
    pieces = [piece async for piece in blocks.all()]
    assert max(map(len, pieces)) <= 1_000
    assert sorted(name for piece in pieces for name in piece) == sorted(names)


async def test_blocks_may_go_while_all_is_listed(blocks: Blocks) -> None:
    """Catches: a sweep that trips over its own deletions."""
    await put_all(blocks)
    async for piece in blocks.all():
        await blocks.free(piece, DAY, was_paid=True)
    assert await everything(blocks) == []


async def test_sync_takes_few_or_many_and_minds_nothing_missing(blocks: Blocks) -> None:
    many = [name_of(number.to_bytes(2, "big")) for number in range(40)]
    for number, name in enumerate(many):
        await blocks.put(name, number.to_bytes(2, "big"))
    await blocks.sync(many)
    await blocks.sync((many[0], NEVER))
    await blocks.sync(())
    assert await blocks.audit(many) == set()


# ---------------------------------------------------------------- quarantine


async def test_what_is_freed_is_not_here_until_it_is_recalled(blocks: Blocks) -> None:
    """Catches: a freed block that is served, counted or audited as kept."""
    await put_all(blocks)
    await blocks.free(tuple(ALL), DAY, was_paid=True)
    for name in ALL:
        assert (await blocks.get(name), await blocks.size(name)) == (None, None)
    assert await blocks.sizes(tuple(ALL)) == {}
    assert await blocks.audit(tuple(ALL)) == set(ALL)
    assert await everything(blocks) == []
    assert await blocks.recall((name_of(BIG), NEVER)) == {name_of(BIG)}
    assert await blocks.recall((name_of(BIG), NEVER)) == set(), "what is here does not come back"
    assert await blocks.get(name_of(BIG)) == BIG
    assert await everything(blocks) == [name_of(BIG)]


async def test_quarantine_is_told_by_day_and_by_whether_it_was_paid(blocks: Blocks) -> None:
    await put_all(blocks)
    await blocks.free((name_of(SMALL), name_of(EMPTY)), DAY, was_paid=True)
    await blocks.free((name_of(BIG),), DAY + timedelta(1), was_paid=False)
    told = [(each.day, each.was_paid, each.blocks, each.bytes) for each in await blocks.quarantined()]
    assert told == [(DAY, True, 2, len(SMALL)), (DAY + timedelta(1), False, 1, len(BIG))]


async def test_a_purge_takes_the_days_before_and_no_other(blocks: Blocks) -> None:
    await put_all(blocks)
    await blocks.free((name_of(SMALL),), DAY, was_paid=True)
    await blocks.free((name_of(BIG),), DAY + timedelta(1), was_paid=False)
    await blocks.purge(DAY)
    assert len(await blocks.quarantined()) == 2
    await blocks.purge(DAY + timedelta(1))
    await blocks.recall(tuple(ALL))
    assert await everything(blocks) == sorted((name_of(EMPTY), name_of(BIG)))


async def test_what_was_recalled_outlives_the_purge_of_its_day(blocks: Blocks) -> None:
    await put_all(blocks)
    await blocks.free((name_of(SMALL),), DAY, was_paid=True)
    await blocks.recall((name_of(SMALL),))
    await blocks.purge(DAY + timedelta(1))
    assert await blocks.get(name_of(SMALL)) == SMALL


async def test_a_block_freed_again_waits_from_its_second_day_on(blocks: Blocks) -> None:
    """Catches: it goes with its first day, because a copy stayed there when it was recalled."""
    await put_all(blocks)
    for day in (DAY, DAY + timedelta(5)):
        await blocks.recall((name_of(SMALL),))
        await blocks.free((name_of(SMALL),), day, was_paid=True)
    await blocks.purge(DAY + timedelta(5))
    await blocks.recall((name_of(SMALL),))
    assert await blocks.get(name_of(SMALL)) == SMALL


async def test_a_block_freed_and_recalled_and_freed_on_one_day_is_freed(blocks: Blocks) -> None:
    """Catches: a rename of one hard link onto another, which does nothing: the block stays on the shelf for ever."""
    await put_all(blocks)
    await blocks.free((name_of(SMALL),), DAY, was_paid=True)
    await blocks.recall((name_of(SMALL),))
    await blocks.free((name_of(SMALL),), DAY, was_paid=True)
    assert await blocks.size(name_of(SMALL)) is None
    await blocks.recall((name_of(SMALL),))
    assert await blocks.get(name_of(SMALL)) == SMALL


async def test_a_put_of_what_is_in_quarantine_is_a_put(blocks: Blocks) -> None:
    await put_all(blocks)
    await blocks.free((name_of(SMALL),), DAY, was_paid=True)
    await blocks.put(name_of(SMALL), SMALL)
    assert await blocks.get(name_of(SMALL)) == SMALL


async def test_what_is_remembered_stays_here_and_is_among_the_paid_whoever_frees_it(blocks: Blocks) -> None:
    """Catches: paid blocks that a stranger's quote held for a day longer wait among those that were never paid for."""
    await put_all(blocks)
    await blocks.remember((name_of(SMALL), NEVER), DAY)
    await blocks.remember((name_of(SMALL),), DAY)
    assert await blocks.get(name_of(SMALL)) == SMALL
    await blocks.free((name_of(SMALL),), DAY, was_paid=False)
    told = {each.was_paid: each.blocks for each in await blocks.quarantined()}
    assert told == {True: 1, False: 1}
    await blocks.recall((name_of(SMALL),))
    assert await blocks.get(name_of(SMALL)) == SMALL
