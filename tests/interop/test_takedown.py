"""The operator takes a CID down while the worker runs: nobody is served it, until the list is mended."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import trio

from tests.interop.browser import answer, ask_for_quote, join
from tests.interop.helia import HeliaError, open_helia
from tests.interop.market import CONFIRMATIONS, Market, open_market
from tests.interop.node_binary import needs_node
from tests.interop.worker import Worker

pytestmark = [pytest.mark.interop, needs_node]


async def states(market: Market, denylist: Path) -> list[str]:
    told = await market.command("pins", "--json", PINNING_DENYLIST_FILE=str(denylist))
    return [pin["state"] for pin in json.loads(told)["pins"]]


async def applied(worker: Worker, times: int, event: str = "denylist.applied") -> None:
    with trio.fail_after(60):
        while sum(event in line for line in worker.log) < times:
            await worker.news()


async def test_a_cid_is_taken_down_and_stands_again(tmp_path: Path) -> None:
    denylist = tmp_path / "denied"
    denylist.write_text("# nothing yet\n")
    async with (
        open_market(tmp_path) as market,
        market.worker(PINNING_DENYLIST_FILE=str(denylist)) as worker,
        open_helia(listen=()) as alice,
        open_helia(listen=()) as bob,
    ):
        await join(alice, worker)
        cid = (await alice.add_file(700_000, seed="taken down", chunk_size=262_144)).cid
        market.pay(await ask_for_quote(alice, cid, worker), "art/1")
        await market.mine(CONFIRMATIONS)
        await answer(alice, "CID-PINNED-WITH-NAME", cid, worker)
        await alice.forget()

        denylist.write_text(f"{cid}  # a court said so\n")
        await applied(worker, 1)
        assert await states(market, denylist) == ["blocked"]
        await join(bob, worker)
        await bob.publish(f"NEW-CID:{cid}")
        assert (await answer(bob, "ERROR", cid, worker))["code"] == "DENIED"
        with pytest.raises(HeliaError):
            await bob.cat(cid, deadline=5)

        denylist.write_text("no CID at all\n")
        await applied(worker, 1, "denylist.not_read")
        assert "line 1 is not a CID" in await worker.logged(r"denylist\.not_read")
        await bob.publish(f"NEW-CID:{cid}")
        assert (await answer(bob, "ERROR", cid, worker))["code"] == "DENIED", "the last good list stays in force"

        denylist.write_text("")
        worker.process.send_signal(signal.SIGHUP)
        await applied(worker, 2)
        assert await states(market, denylist) == ["pinned"]
        await bob.publish(f"NEW-CID:{cid}")
        await answer(bob, "CID-PINNED-WITH-NAME", cid, worker)
        assert (await bob.cat(cid)).bytes == 700_000
