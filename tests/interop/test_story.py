"""The story of a pin on real peers: a Helia in Node, a real ElectrumX, the worker as a process."""

from pathlib import Path

import pytest

from tests.interop.browser import answer, ask_for_quote, join, make_art, rows
from tests.interop.helia import HeliaError, open_helia
from tests.interop.market import CONFIRMATIONS, open_market
from tests.interop.node_binary import needs_node

pytestmark = [pytest.mark.interop, needs_node]

MIB = 1_048_576
PRICE, MONTHS = 742_000, 8  # the defaults, as docs/protocol.md has them
GONE_SECONDS = 2


@pytest.mark.parametrize("over", ["tcp", "ws"])
async def test_from_new_cid_to_expiry(over: str, tmp_path: Path) -> None:
    async with open_market(tmp_path) as market, market.worker() as worker, open_helia(listen=()) as bob:
        async with open_helia(listen=()) as alice:
            addr = worker.ws_addr if over == "ws" else worker.tcp_addr
            await join(alice, worker, addr)
            art = await make_art(alice)

            quote = await ask_for_quote(alice, art.cid, worker)
            sizes = {"metadata": art.metadata.dag_bytes, "image": art.image.dag_bytes, "total": art.bytes}
            assert quote["bytes"] == sizes
            assert quote["fee"] == {
                "amount": -(-PRICE * art.bytes * MONTHS // MIB),
                "durationMonths": MONTHS,
                "paymentAddress": market.operator.address(),
            }

            txid = market.pay(quote, "art/1")
            seen = await answer(alice, "PAYMENT-SEEN", art.cid, worker)
            assert (seen["txid"], seen["confirmations"]) == (txid, 0)
            await market.mine(CONFIRMATIONS - 1)
            await answer(alice, "PAYMENT-SEEN", art.cid, worker)
            assert not alice.heard_so_far(lambda m: m.says("ADDED-CID"))
            await market.mine()
            await answer(alice, "ADDED-CID", art.cid, worker)
            pinned = await answer(alice, "CID-PINNED-WITH-NAME", art.cid, worker)
            assert pinned["nameId"] == "art/1"
            assert [row["nameId"] for row in await rows(alice, worker)] == ["art/1"]

        await join(bob, worker, addr)  # alice has left
        for file in (art.metadata, art.image):
            assert (await bob.cat(file.cid)).sha256 == file.sha256
        await bob.publish(f"NEW-CID:{art.image.cid}")  # as the collections tab does: which names hold this image?
        assert (await answer(bob, "CID-PINNED-WITH-NAME", art.image.cid, worker))["nameId"] == "art/1"
        await answer(bob, "ADDING-CID", art.image.cid, worker)  # or that quote is made in the time that comes now

        await market.move_time(pinned["remainingDays"] + 2)
        async with market.time_flies():
            assert (await answer(bob, "EXPIRED-CID", art.cid, worker))["nameId"] == "art/1"
        await bob.forget()
        with pytest.raises(HeliaError, match="cat"):
            await bob.cat(art.image.cid, deadline=GONE_SECONDS)


async def test_an_image_in_two_pins_outlives_the_first(tmp_path: Path) -> None:
    """Catches: expiry that frees a block which another paid pin still holds."""
    async with open_market(tmp_path) as market, market.worker() as worker, open_helia(listen=()) as alice:
        await join(alice, worker)
        first, second = await make_art(alice, "first"), await make_art(alice, "second")
        assert first.image == second.image
        ends = []
        for art in (first, second):
            market.pay(await ask_for_quote(alice, art.cid, worker), f"art/{art.cid[-4:]}")
            await market.mine(CONFIRMATIONS)
            ends.append((await answer(alice, "CID-PINNED-WITH-NAME", art.cid, worker))["remainingDays"])
            await market.move_time(60)
        await market.move_time(ends[0] - 2 * 60 + 2)
        async with market.time_flies():
            await answer(alice, "EXPIRED-CID", first.cid, worker)

        await alice.forget()
        assert (await alice.cat(second.cid)).sha256 == second.metadata.sha256
        assert (await alice.cat(second.image.cid)).sha256 == second.image.sha256
        with pytest.raises(HeliaError, match="cat"):
            await alice.cat(first.cid, deadline=GONE_SECONDS)
