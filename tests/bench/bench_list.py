"""What a page of LIST costs: `python -m tests.bench.bench_list [NAMES]` (100 000 NameOps; the aim is for a million).

The dearest question of each filter (any day and one day, the first page and the last), for names that are spread over
years and for names that were all written on one day. Beside it the plain walk of the whole table, as a filter without
an index does it; and the 99th percentile of what clients ask: any filter, any day or a random one, the pages that a
person scrolls through.
"""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
import time
from pathlib import Path

import trio

from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.adapters.sql.name_index import SqlNameIndex
from pinning_worker.domain.content.cid import RAW, cid_of
from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.topic.listing import NameFilter
from pinning_worker.domain.topic.name_row import NameRow
from pinning_worker.ports.names import IndexedBlock

A_DAY, PER_BLOCK, ROUNDS = 86_400, 50, 5
AT_ONCE, USUAL = 200, 1_000
WALK = "SELECT sum(length(name)) FROM name_ops"
NAMES = (b"e/%d", b"pe/%d", b"bp/%d", b"art/%d", b"nft/%d")


def row(number: int, seconds_apart: int) -> NameRow:
    height, position = divmod(number, PER_BLOCK)
    value = f"ipfs://{cid_of(RAW, b'%d' % number)}".encode() if number % 3 else b""
    name, txid = NAMES[number % len(NAMES)] % number, Txid(hashlib.sha256(b"%d" % number).hexdigest())
    return NameRow(txid, height, height * seconds_apart, position, 0, Swartz(1_000_000), NameBytes(name), value)


async def filled(folder: str, count: int, seconds_apart: int) -> Database:
    url = f"sqlite:///{Path(folder) / f'{seconds_apart}.db'}"
    migrate(url)
    database = Database(url)
    index = SqlNameIndex(database)
    top = count // PER_BLOCK
    await index.resume_from(top)
    await index.add(top, f"hash {top}", [])
    while top > 0:  # as the past is added
        blocks = [block(height, seconds_apart) for height in range(top - 1, max(-1, top - 1 - AT_ONCE), -1)]
        await index.add_below(top, f"hash {top}", blocks)
        top = blocks[-1].height
    return database


def block(height: int, seconds_apart: int) -> IndexedBlock:
    numbers = range(height * PER_BLOCK, (height + 1) * PER_BLOCK)
    return IndexedBlock(height, f"hash {height}", tuple(row(number, seconds_apart) for number in numbers))


async def usual_pages(index: SqlNameIndex, days: int) -> list[float]:
    """Milliseconds of each of USUAL questions, sorted."""
    chance, took = random.Random(7), []
    for _ in range(USUAL):
        wanted = chance.choice(list(NameFilter))
        start = chance.randrange(days) * A_DAY
        day = range(start, start + A_DAY) if chance.random() < 0.2 else None
        offset = 10 * min(int(chance.expovariate(1 / 20)), 500)
        begun = time.perf_counter()
        await index.find(wanted, day, offset, 10)
        took.append((time.perf_counter() - begun) * 1_000)
    return sorted(took)


async def page_took(index: SqlNameIndex, wanted: NameFilter, day: range | None, offset: int) -> float:
    """Milliseconds of the median round."""
    took = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        await index.find(wanted, day, offset, 10)
        took.append((time.perf_counter() - begun) * 1_000)
    return sorted(took)[ROUNDS // 2]


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for spread, apart in (("over years", 600 * PER_BLOCK), ("on one day", 1)):
            database = await filled(folder, count, apart)
            index, worst = SqlNameIndex(database), 0.0
            for wanted in NameFilter:
                for day in (None, range(A_DAY)):
                    costs = [await page_took(index, wanted, day, offset) for offset in (0, count // 10, count)]
                    worst = max(worst, *costs)
                    told = " / ".join(f"{cost:5.1f}" for cost in costs)
                    print(f"{spread}, {wanted.value:<11} {'a day' if day else 'all  '}: {told} ms (first, tenth, last)")
            begun = time.perf_counter()
            await database.read(lambda connection: connection.exec_driver_sql(WALK).all())
            walk = (time.perf_counter() - begun) * 1_000
            print(f"{spread}: the dearest page {worst:.1f} ms; a walk of the table {walk:.1f} ms")
            usual = await usual_pages(index, max(1, count // PER_BLOCK * apart // A_DAY))
            median, p99 = usual[USUAL // 2], usual[USUAL * 99 // 100]
            print(f"{spread}: what clients ask: median {median:.1f} ms, 99 of 100 within {p99:.1f} ms")
            await database.close()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
