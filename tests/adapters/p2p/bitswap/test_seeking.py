"""Providers are looked for when the asker does not give, and not before; those that are not there cost nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import trio.testing

from pinning_worker.adapters.memory.blocks import MemoryBlocks
from pinning_worker.adapters.p2p.bitswap import seeking
from pinning_worker.adapters.p2p.dht.contacts import Contact
from pinning_worker.adapters.p2p.errors import CannotConnect
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.host.identity import new_key, peer_id_of
from pinning_worker.ports.content import NotFound
from tests.adapters.p2p.bitswap.rig import BUDGET, MIB, Node, add_file, chunks, open_node


class Directory:
    """A directory that says what it was told to, and dials whom it names."""

    def __init__(self, host: Host, *known: Contact) -> None:
        self.asked: list[bytes] = []
        self.visited: list[str] = []
        self.visiting = 0
        self._host = host
        self._known = known

    async def find(self, key: bytes, tell: Callable[[Contact], None]) -> None:
        self.asked.append(key)
        for contact in self._known:
            tell(contact)

    @asynccontextmanager
    async def visit(self, contact: Contact) -> AsyncGenerator[None, None]:
        self.visited.append(contact.peer)
        if not contact.addresses:
            raise CannotConnect("nowhere")
        await self._host.connect(f"{contact.addresses[0]}/p2p/{contact.peer}", 10)
        self.visiting += 1
        try:
            yield
        finally:
            self.visiting -= 1


def contact_of(node: Node) -> Contact:
    return Contact(node.id, (node.address.split("/p2p/")[0],))


def ghosts(count: int) -> list[Contact]:
    return [Contact(peer_id_of(new_key())) for _ in range(count)]


def look_into(node: Node, directory: Directory) -> Directory:
    node.engine._providers = directory
    return directory


async def test_a_provider_is_asked_when_nobody_else_gives_and_let_go_after() -> None:
    async with open_node() as node, open_node() as asker, open_node() as provider:
        await node.connect(asker)
        root = await add_file(provider.blocks, *chunks(3, MIB))
        directory = look_into(node, Directory(node.host, *ghosts(10), contact_of(provider)))
        fetched = await node.fetch(root, asker.id)
        assert fetched.bytes > 3 * MIB
        assert directory.asked == [root.multihash]
        await trio.testing.wait_all_tasks_blocked()
        assert directory.visiting == 0


async def test_nobody_is_told_what_the_asker_gives() -> None:
    async with open_node() as node, open_node() as asker:
        await node.connect(asker)
        root = await add_file(asker.blocks, *chunks(3, MIB))
        directory = look_into(node, Directory(node.host))
        await node.fetch(root, asker.id)
        assert directory.asked == []


async def test_who_goes_away_in_the_middle_is_replaced() -> None:
    async with open_node() as node, open_node() as asker, open_node() as provider:
        await node.connect(asker)
        pieces = chunks(3, MIB)
        root = await add_file(provider.blocks, *pieces)
        await asker.blocks.put(root.multihash, await provider.blocks.get(root.multihash) or b"")  # and nothing below it
        look_into(node, Directory(node.host, contact_of(provider)))
        assert (await node.fetch(root, asker.id)).bytes > 3 * MIB


async def test_a_directory_full_of_ghosts_ends_with_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeking, "SEEK_AFTER_SECONDS", 0.0)
    async with open_node() as node:
        directory = look_into(node, Directory(node.host, *ghosts(1_000)))
        root = await add_file(MemoryBlocks(), *chunks(2, 1000))
        with pytest.raises(NotFound):
            await node.fetch(root, budget=replace(BUDGET, first_block_time=timedelta(seconds=3)))
        assert len(directory.visited) == seeking.MOST_TRIED


async def test_origins_are_dialled_beside_the_directory() -> None:
    """A NEW-CID with `origins` on a worker with a DHT: two tasks entered one cancel scope, which ended the process."""
    async with open_node() as node, open_node() as giver:
        root = await add_file(giver.blocks, *chunks(3, MIB))
        look_into(node, Directory(node.host, *ghosts(3)))
        assert (await node.fetch(root, origins=[giver.address])).bytes > 3 * MIB


async def test_a_fetch_that_ends_ends_its_dials_and_its_look_into_the_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seeking, "SEEK_AFTER_SECONDS", 0.0)
    async with open_node() as node, open_node() as provider:
        directory = look_into(node, Directory(node.host, contact_of(provider)))
        root = await add_file(MemoryBlocks(), *chunks(2, 1000))
        with pytest.raises(NotFound):
            await node.fetch(
                root, origins=[provider.address], budget=replace(BUDGET, first_block_time=timedelta(seconds=2))
            )
        await trio.testing.wait_all_tasks_blocked()
        assert (directory.visited, directory.visiting) == ([provider.id], 0)
