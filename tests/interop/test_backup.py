"""docs/operating.md, "Back-up", followed to the letter: copied from a worker that runs, put back, and all is there.

While it is copied for the first time somebody asks and pays: what had been announced before is in the backup, what
comes meanwhile may be in it or not. Then it is copied again, the worker's disk burns, and each of the two is put back.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.interop.browser import answer, ask_for_quote, join
from tests.interop.helia import Added, Helia, open_helia
from tests.interop.market import CONFIRMATIONS, Market, open_market
from tests.interop.node_binary import needs_node
from tests.interop.operating_page import RUN, commands, replaced, run_in_shell
from tests.interop.worker import Worker, worker_environment

needs_tools = pytest.mark.skipif(
    shutil.which("rsync") is None or shutil.which("sqlite3") is None,
    reason="no rsync or sqlite3 (Debian: apt-get install rsync sqlite3)",
)
pytestmark = [pytest.mark.interop, needs_node, needs_tools]

DATA = "/var/lib/pinning-worker"
BEFORE = ("before/1", "before/2")
MEANWHILE = ("meanwhile/1", "meanwhile/2", "meanwhile/3")


async def pin(market: Market, peer: Helia, worker: Worker, name: str) -> Added:
    """A file that is paid for and announced."""
    file = await peer.add_file(300_000, seed=name)
    market.pay(await ask_for_quote(peer, file.cid, worker), name)
    await market.mine(CONFIRMATIONS)
    await answer(peer, "CID-PINNED-WITH-NAME", file.cid, worker)
    return file


async def states(market: Market, name: str) -> dict[str, str]:
    pins: list[dict[str, Any]] = json.loads(await market.command("pins", "--json", name=name))["pins"]
    return {pin["name"]: pin["state"] for pin in pins}


@dataclass
class Page:
    """The commands of one of the two ways, and the places where we follow them."""

    copy: str
    put_back: str
    backup: str
    market: Market

    @classmethod
    def by(cls, way: str, market: Market) -> Page:
        if way == "hand":
            copy, put_back = commands("By hand")
            return cls(copy, put_back, "/srv/by-hand", market)
        (copy,), (put_back,) = commands("Back-up"), commands("Restore")
        return cls(copy, put_back, "/srv/backup", market)

    async def copies(self, name: str, backup: Path) -> None:
        await self._follow(self.copy, name, backup)

    async def puts_back(self, name: str, backup: Path) -> None:
        """All but the last line, which is the worker itself."""
        assert self.put_back.endswith(RUN)
        await self._follow(self.put_back.removesuffix(RUN), name, backup)

    async def _follow(self, block: str, name: str, backup: Path) -> None:
        folder = self.market.folder / name
        environment = worker_environment(folder, self.market.settings(name))
        await run_in_shell(replaced(block, {DATA: folder / "data", self.backup: backup}), environment, folder)


@pytest.mark.parametrize("way", ["command", "hand"])
async def test_the_page_is_true_to_the_letter(way: str, tmp_path: Path) -> None:
    async with open_market(tmp_path) as market:
        page, backup = Page.by(way, market), tmp_path / "backup"
        async with market.worker() as worker, open_helia(listen=()) as alice:
            await join(alice, worker)
            files = {name: await pin(market, alice, worker, name) for name in BEFORE}
            async with trio.open_nursery() as nursery:
                nursery.start_soon(page.copies, "worker", backup)
                files |= {name: await pin(market, alice, worker, name) for name in MEANWHILE}
            shutil.copytree(backup, tmp_path / "first-backup")
            await page.copies("worker", backup)
            assert await worker.stop() == 0
        shutil.rmtree(tmp_path / "worker")  # it burned

        await page.puts_back("first", tmp_path / "first-backup")
        kept = await what_is_kept(market, "first", worker.peer_id, files)
        assert kept.items() >= dict.fromkeys(BEFORE, "pinned").items()

        await page.puts_back("second", backup)
        kept = await what_is_kept(market, "second", worker.peer_id, files)
        assert kept == dict.fromkeys([*BEFORE, *MEANWHILE], "pinned")


async def what_is_kept(market: Market, name: str, peer_id: str, files: dict[str, Added]) -> dict[str, str]:
    """The state of each pin of a worker that was put back; a stranger reads all that is called pinned from it."""
    async with market.worker(name) as worker, open_helia(listen=()) as stranger:
        assert worker.peer_id == peer_id
        found = await states(market, name)
        await join(stranger, worker)
        for pinned in (pinned for pinned, state in found.items() if state == "pinned"):
            assert (await stranger.cat(files[pinned].cid)).sha256 == files[pinned].sha256
        return found
