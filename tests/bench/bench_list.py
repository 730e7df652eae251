"""What a page of LIST costs: `python -m tests.bench.bench_list [NAMES]` (100 000 NameOps).

The dearest question of each filter (any day and one day, the first page and the last), for names that are spread over
years and for names that were all written on one day. Beside it the plain walk of the whole table, as a filter without
an index does it.
"""

from __future__ import annotations

import hashlib
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

A_DAY, PER_BLOCK, ROUNDS = 86_400, 50, 5
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
    await index.resume_from(0)
    for height in range(count // PER_BLOCK):
        rows = [row(number, seconds_apart) for number in range(height * PER_BLOCK, (height + 1) * PER_BLOCK)]
        await index.add(height, f"hash {height}", rows)
    return database


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
            await database.close()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
