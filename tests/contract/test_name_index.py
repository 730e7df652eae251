"""One suite over every NameIndex: what the twin does, SQL does, row for row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from pinning_worker.adapters.memory.name_index import MemoryNameIndex
from pinning_worker.adapters.sql.database import Database, engine_of
from pinning_worker.adapters.sql.name_index import SqlNameIndex, page
from pinning_worker.adapters.sql.name_tables import SELECTED_BY
from pinning_worker.adapters.sql.schema import metadata
from pinning_worker.domain.content.cid import RAW, cid_of
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.topic.listing import NameFilter
from pinning_worker.domain.topic.name_row import NameRow
from pinning_worker.ports.names import IndexedBlock, NameIndex

ART = cid_of(RAW, b"art")
ROW = NameRow(Txid("aa" * 32), 10, 1_000, 1, 0, Swartz(1_000_000), NameBytes(b"art/1"), f"ipfs://{ART}".encode(), "N1")


@pytest.fixture
async def index(database: Database | None) -> NameIndex:
    return SqlNameIndex(database) if database else MemoryNameIndex()


def new_database(path: Path) -> Database:
    url = f"sqlite:///{path}"
    engine = engine_of(url)
    metadata.create_all(engine)
    engine.dispose()
    return Database(url)


async def fill(index: NameIndex, *blocks: list[NameRow], start: int = 10) -> None:
    await index.resume_from(start)
    for height, rows in enumerate(blocks, start):
        await index.add(height, f"hash {height}", rows)


async def listed(
    index: NameIndex, wanted: NameFilter = NameFilter.ALL, times: range | None = None, offset: int = 0, limit: int = 100
) -> list[bytes]:
    return [row.name for row in await index.find(wanted, times, offset, limit)]


async def test_it_begins_knowing_nothing(index: NameIndex) -> None:
    assert await index.next_height() is None
    assert await index.hash_at(0) is None
    assert await listed(index) == []


async def test_the_start_is_remembered_before_any_block_is(index: NameIndex) -> None:
    await index.resume_from(500_001)
    assert await index.next_height() == 500_001


async def test_a_row_comes_back_as_it_went_in(index: NameIndex) -> None:
    rows = [
        replace(ROW, value_swartz=Swartz(2**62), blocktime=2**32 - 1, n=7),
        replace(ROW, position=2, name=NameBytes(bytes(range(255))), value=b"\x00\xff" * 511, address=""),
    ]
    await fill(index, rows)
    assert list(await index.find(NameFilter.ALL, None, 0, 10)) == rows[::-1]


async def test_pages_follow_height_and_position_downwards(index: NameIndex) -> None:
    names = [b"a", b"b", b"c", b"d", b"e"]
    rows = [
        replace(ROW, name=NameBytes(name), height=10 + at // 2, position=7 - at % 2 * 5)
        for at, name in enumerate(names)
    ]
    await fill(index, rows[:2], rows[2:4], rows[4:])
    assert await listed(index) == [b"e", b"c", b"d", b"a", b"b"]
    assert await listed(index, offset=1, limit=2) == [b"c", b"d"]
    assert await listed(index, offset=5) == []
    assert await listed(index, offset=2**31 - 1) == []


async def test_only_the_next_block_is_taken(index: NameIndex) -> None:
    with pytest.raises(ValueError, match="next"):
        await index.add(10, "x", [ROW])
    await fill(index, [ROW])
    for height in (9, 10, 12):
        with pytest.raises(ValueError, match="next"):
            await index.add(height, "x", [replace(ROW, height=height, name=NameBytes(b"stray"))])
    assert await index.next_height() == 11
    assert await index.hash_at(10) == "hash 10"
    assert await listed(index) == [b"art/1"]


async def test_what_is_forgotten_can_be_added_again(index: NameIndex) -> None:
    await fill(
        index,
        [ROW],
        [replace(ROW, height=11, name=NameBytes(b"orphan"))],
        [replace(ROW, height=12, name=NameBytes(b"orphan too"))],
    )
    await index.resume_from(11)
    assert await index.next_height() == 11
    assert [await index.hash_at(height) for height in (10, 11, 12)] == ["hash 10", None, None]
    assert await listed(index) == [b"art/1"]
    await index.add(11, "other", [replace(ROW, height=11, name=NameBytes(b"new"))])
    assert await index.hash_at(11) == "other"
    assert await listed(index) == [b"new", b"art/1"]


def below(*heights: int) -> list[IndexedBlock]:
    """Blocks with one name each, called after its height."""
    return [
        IndexedBlock(height, f"hash {height}", (replace(ROW, height=height, name=NameBytes(b"%d" % height)),))
        for height in heights
    ]


async def test_the_lowest_block_is_known_once_one_is_indexed(index: NameIndex) -> None:
    assert await index.lowest() is None
    await index.resume_from(10)
    assert await index.lowest() is None
    await fill(index, [ROW], [])
    assert await index.lowest() == (10, "hash 10")


async def test_the_past_is_added_below_and_listed_last(index: NameIndex) -> None:
    await fill(index, [ROW])
    assert await index.add_below(10, "hash 10", [*below(9), IndexedBlock(8, "hash 8", ()), *below(7)])
    assert await index.lowest() == (7, "hash 7")
    assert [await index.hash_at(height) for height in (6, 7, 8, 9, 10)] == [None, *(f"hash {h}" for h in range(7, 11))]
    assert await index.next_height() == 11
    assert await index.add_below(7, "hash 7", below(6))
    assert await listed(index) == [b"art/1", b"9", b"7", b"6"]
    assert await index.add_below(6, "hash 6", [])
    assert await index.lowest() == (6, "hash 6")


async def test_below_another_lowest_block_nothing_is_added(index: NameIndex) -> None:
    """A reorg below the first start came while the past was read."""
    assert not await index.add_below(10, "hash 10", below(9))
    await fill(index, [ROW])
    assert not await index.add_below(10, "other", below(9))
    assert not await index.add_below(9, "hash 9", below(8))
    assert await index.lowest() == (10, "hash 10")
    assert await listed(index) == [b"art/1"]


@pytest.mark.parametrize("heights", [(8,), (10,), (9, 7), (8, 9), (9, 9)])
async def test_the_past_has_no_gap_either(heights: tuple[int, ...], index: NameIndex) -> None:
    await fill(index, [ROW])
    with pytest.raises(ValueError, match="below"):
        await index.add_below(10, "hash 10", below(*heights))
    assert await index.lowest() == (10, "hash 10")
    assert await listed(index) == [b"art/1"]


async def test_a_reorg_deep_in_the_past_drops_what_stands_on_it(index: NameIndex) -> None:
    await fill(index, [ROW])
    assert await index.add_below(10, "hash 10", below(9, 8))
    await index.resume_from(9)
    assert (await index.lowest(), await index.next_height()) == ((8, "hash 8"), 9)
    assert await listed(index) == [b"8"]
    await index.resume_from(5)
    assert (await index.lowest(), await index.next_height()) == (None, 5)


async def test_what_is_known_of_a_content_counts_for_the_past_too(index: NameIndex) -> None:
    await fill(index, [])
    await index.note_metadata(ART.key, False)
    assert await index.add_below(10, "hash 10", below(9))
    assert await listed(index, NameFilter.NFC) == [b"9"]
    assert await listed(index, NameFilter.COLLECTIONS) == []


async def test_a_block_of_many_names_is_added_below(index: NameIndex) -> None:
    """Catches: a statement with more parameters than the database takes."""
    await fill(index, [])
    rows = tuple(
        replace(ROW, height=9, position=at, value=f"ipfs://{cid_of(RAW, b'%d' % at)}".encode()) for at in range(2_500)
    )
    assert await index.add_below(10, "hash 10", [IndexedBlock(9, "hash 9", rows)])
    assert len(await index.find(NameFilter.NFC, None, 0, 3_000)) == 2_500


async def test_a_search_finds_bytes_in_names_and_values(index: NameIndex) -> None:
    rows = [
        replace(ROW, position=1, name=NameBytes(b"art/100%"), value=b"x"),
        replace(ROW, position=2, name=NameBytes(b"other"), value=b"ART\x00\xff/art/"),
        replace(ROW, position=3, name=NameBytes(b"Art/"), value=b"100"),
    ]
    await fill(index, rows)
    found = {text: [row.position for row in await index.search(text, 10)] for text in (b"art/", b"%", b"\xff", b"_")}
    assert found == {b"art/": [2, 1], b"%": [1], b"\xff": [2], b"_": []}
    assert [row.position for row in await index.search(b"art/", 1)] == [2]
    assert [row.position for row in await index.search(b"", 10)] == [3, 2, 1]


async def test_a_day_is_from_its_first_second_to_before_the_next(index: NameIndex) -> None:
    times = [86_399, 86_400, 172_799, 172_800]
    blocks = [
        [replace(ROW, height=10 + at, blocktime=time, name=NameBytes(b"%d" % at))] for at, time in enumerate(times)
    ]
    await fill(index, *blocks)
    assert await listed(index, times=range(86_400, 172_800)) == [b"2", b"1"]


async def test_a_block_whose_time_is_before_that_of_the_one_below_counts_for_its_own_day(index: NameIndex) -> None:
    times = [86_400, 86_399, 86_401, 172_800, 172_799]
    blocks = [
        [replace(ROW, height=10 + at, blocktime=time, name=NameBytes(b"%d" % at))] for at, time in enumerate(times)
    ]
    await fill(index, *blocks)
    assert await listed(index, times=range(86_400, 172_800)) == [b"4", b"2", b"0"]
    assert await listed(index, times=range(86_400)) == [b"1"]


async def test_collections_are_those_with_images_and_those_not_yet_known(index: NameIndex) -> None:
    await fill(
        index,
        [
            ROW,
            replace(ROW, position=2, name=NameBytes(b"with path"), value=f"ipfs://{ART}/metadata.json".encode()),
            replace(ROW, position=3, name=NameBytes(b"names nothing"), value=b"ipfs://undefined"),
            replace(ROW, position=4, name=NameBytes(b"no ipfs"), value=b"hello"),
        ],
    )
    everything = [b"names nothing", b"with path", b"art/1"]
    assert await listed(index, NameFilter.COLLECTIONS) == everything
    await index.note_metadata(ART.key, False)
    assert await listed(index, NameFilter.COLLECTIONS) == [b"names nothing"]
    await index.note_metadata(ART.key, True)
    assert await listed(index, NameFilter.COLLECTIONS) == everything


async def test_what_sorts_just_beside_a_prefix_does_not_have_it(index: NameIndex) -> None:
    names = [b"e", b"e.", b"e/", b"e/\xff", b"e0"]
    await fill(index, [replace(ROW, position=at, name=NameBytes(name), value=b"x") for at, name in enumerate(names)])
    assert await listed(index, NameFilter.E) == [b"e/\xff", b"e/"]


_bytes = st.builds(
    lambda start, rest: start + rest,
    st.sampled_from(
        [b"", b"e", b"e/", b"pe/", b"poe/", b"bp/", b"nft/", b"e0", b"ipfs:/", b"ipfs://", b"ipfs:0", b"empty"]
    ),
    st.binary(max_size=2) | st.just(b" "),
)
_drawn = st.lists(st.tuples(_bytes, _bytes, st.integers(0, 3)), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(drawn=_drawn, offset=st.integers(0, 3), limit=st.integers(1, 5), days=st.none() | st.just(range(1, 3)))
def test_sql_selects_exactly_what_matches_says(
    drawn: list[tuple[bytes, bytes, int]], offset: int, limit: int, days: range | None, tmp_path: Path
) -> None:
    blocks = [
        [replace(ROW, height=10 + at, name=NameBytes(name), value=value, blocktime=time)]
        for at, (name, value, time) in enumerate(drawn)
    ]

    async def compare() -> None:
        database = new_database(tmp_path / "names.db")  # filled anew: `fill` forgets what it held
        sql, memory = SqlNameIndex(database), MemoryNameIndex()
        await fill(sql, *blocks)
        await fill(memory, *blocks)
        for wanted in NameFilter:
            in_sql = await sql.find(wanted, days, offset, limit)
            assert list(in_sql) == list(await memory.find(wanted, days, offset, limit)), wanted
        await database.close()

    trio.run(compare)


@pytest.mark.parametrize("day", [None, range(86_400, 172_800)])
@pytest.mark.parametrize("wanted", NameFilter)
async def test_every_question_walks_the_index_of_its_filter_and_reads_the_rows_of_its_page_alone(
    wanted: NameFilter, day: range | None, tmp_path: Path
) -> None:
    """The predecessor parsed the whole table for each request; a filter without an index still read most of it."""
    database = new_database(tmp_path / "names.db")

    def plan(connection: Connection) -> list[str]:
        heights = day and range(10, 20)
        query = page(wanted, day, heights, 50_000, 10).compile(connection, compile_kwargs={"literal_binds": True})
        return [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]

    walked = next(step for step in await database.read(plan) if "name_ops" in step)
    if wanted is NameFilter.ALL:
        assert "USING COVERING INDEX" in walked or "(height>? AND height<?)" in walked, walked
    else:
        assert f"INDEX ix_name_ops_{SELECTED_BY[wanted]}" in walked
    await database.close()
