"""A worker's writer as a process to kill: commits numbered pins with their blocks, says each number once it is stored.

`python -m tests.adapters.sql.writer URL FIRST`
"""

from __future__ import annotations

import sys

import trio

from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database
from pinning_worker.domain.content.cid import Root
from pinning_worker.ports import Change
from tests.contract.samples import block_name, pin

BLOCKS = 300


def root_of(number: int) -> Root:
    return Root(b"\x01\x55" + block_name(number))


def change(number: int) -> Change:
    root = root_of(number)
    return Change(pins=(pin(root),), hold=((root, tuple(block_name(number * BLOCKS + n) for n in range(BLOCKS))),))


async def write(url: str, number: int) -> None:
    books = SqlBooks(Database(url))
    while True:
        assert await books.commit(change(number))
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    trio.run(write, sys.argv[1], int(sys.argv[2]))
