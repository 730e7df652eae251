"""The past of the name index over a real ElectrumX with its default cost limits, and a liar beside it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from pinning_worker.adapters.electrum.patience import Patience
from pinning_worker.adapters.electrum.watcher import PaymentWatcher
from pinning_worker.adapters.machine.clock import SystemClock
from pinning_worker.domain.chain.nameop import transaction_name_op
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST, Anchor, Network
from pinning_worker.domain.identities import NameBytes
from pinning_worker.ports.chain import BlockOfNames
from pinning_worker.sandbox.sandbox import Sandbox, open_sandbox
from tests.adapters.electrum.listening import Heard, eventually
from tests.interop.browser import answer as answer_of
from tests.interop.browser import ask_for_quote, join, make_art
from tests.interop.helia import Helia, open_helia
from tests.interop.market import CONFIRMATIONS, open_market
from tests.interop.node_binary import needs_node
from tests.interop.test_electrum import CID, P2WSH, UNSEEN, Falsify, LyingProxy, pay
from tests.interop.worker import Worker

pytestmark = pytest.mark.interop

AT_HOME = Patience(first_retry_seconds=0.05, longest_retry_seconds=0.2, first_distrust_seconds=1000.0)
NAMED_BLOCKS = 40


def live(sandbox: Sandbox) -> Network:
    """Forty blocks of names, merge-mined every second time, after the 120 of the sandbox's own past. The anchor is in
    the middle: what lies more than ten blocks below it is known by hash alone."""
    for number in range(NAMED_BLOCKS):
        for part in range(1 + number % 4):
            pay(sandbox, P2WSH, f"art/{number}/{part}")
        sandbox.mine(1, auxpow=bool(number % 2))
    anchor = sandbox.node.height - NAMED_BLOCKS // 2
    return replace(DOICHAIN_REGTEST, anchor=Anchor(anchor, sandbox.node.blocks[anchor].block_hash))


def names_in(sandbox: Sandbox, height: int) -> list[tuple[str, NameBytes | None]]:
    """An independent fold of the raw block."""
    found = [(tx.txid, transaction_name_op(tx)) for tx in sandbox.node.blocks[height].transactions]
    return [(txid, named[1].name) for txid, named in found if named is not None]


@asynccontextmanager
async def watched(network: Network, urls: Sequence[str]) -> AsyncIterator[PaymentWatcher]:
    watcher = PaymentWatcher(network, SystemClock(), urls, longest_unseen=UNSEEN, patience=AT_HOME)
    heard = Heard()
    async with trio.open_nursery() as nursery:
        await nursery.start(watcher.run, heard)
        await heard.until(lambda: heard.tip is not None)
        yield watcher
        nursery.cancel_scope.cancel()


async def read_down(watcher: PaymentWatcher, sandbox: Sandbox) -> list[BlockOfNames]:
    found: list[BlockOfNames] = []
    height, block_hash = sandbox.node.height, sandbox.node.blocks[-1].block_hash
    while blocks := await watcher.names_below(height, block_hash):
        found += blocks
        height, block_hash = blocks[-1].height, blocks[-1].hash
    return found


def require_the_chain(found: Sequence[BlockOfNames], sandbox: Sandbox) -> None:
    assert [block.height for block in found] == list(range(sandbox.node.height - 1, 0, -1))
    for block in found:
        assert block.hash == sandbox.node.blocks[block.height].block_hash
        assert [(at.txid, at.op.name) for at in block.ops] == names_in(sandbox, block.height)
    assert sum(len(block.ops) for block in found) >= NAMED_BLOCKS


@pytest.mark.parametrize("scheme", ["ws", "tcp"])
async def test_the_whole_past_is_the_chains_own(scheme: str, tmp_path: Path) -> None:
    """Some 260 units of cost, all within what ElectrumX answers at once: a client that it throttles takes minutes."""
    async with open_sandbox(tmp_path) as sandbox:
        network = live(sandbox)
        await sandbox.indexed()
        async with watched(network, [sandbox.electrum_urls[scheme]]) as watcher:
            began = trio.current_time()
            found = await read_down(watcher, sandbox)
            print(f"{len(found)} blocks by {scheme} in {trio.current_time() - began:.1f} s")
            require_the_chain(found, sandbox)
            assert watcher.servers()[0].fault == ""


def other_headers(method: str, truth: Any) -> Any:
    """The past with one bit changed; the headers of the anchor are told as they are."""
    if not (method.endswith("block.headers") and truth["count"] > 100):
        return truth
    return {**truth, "hex": truth["hex"][:100] + ("0" if truth["hex"][100] != "0" else "1") + truth["hex"][101:]}


def empty_blocks(method: str, truth: Any) -> Any:
    """Every block has its coinbase alone."""
    return {**truth, "merkle": []} if method.endswith("id_from_pos") and isinstance(truth, dict) else truth


def other_names(method: str, truth: Any) -> Any:
    return truth.replace(b"art/".hex(), b"bad/".hex()) if method.endswith("transaction.get") else truth


@pytest.mark.parametrize(
    ("falsify", "why"),
    [
        (other_headers, "do not lead to our block"),
        (empty_blocks, "not that of the block"),
        (other_names, "not the one asked for"),
    ],
)
async def test_a_liar_beside_it_is_found_out_and_changes_nothing(falsify: Falsify, why: str, tmp_path: Path) -> None:
    async with open_sandbox(tmp_path) as sandbox, trio.open_nursery() as nursery:
        network = live(sandbox)
        await sandbox.indexed()
        proxy = LyingProxy(sandbox.electrum_urls["tcp"], falsify)
        await nursery.start(proxy.serve)
        with capture_logs() as logs:
            async with watched(network, [proxy.url]) as watcher, trio.open_nursery() as reading:
                reading.start_soon(read_down, watcher, sandbox)
                await eventually(lambda: any(why in line.get("why", "") for line in logs), "the lie is found out")
                reading.cancel_scope.cancel()
        assert proxy.told > 0
        async with watched(network, [proxy.url, sandbox.electrum_urls["ws"]]) as watcher:
            require_the_chain(await read_down(watcher, sandbox), sandbox)
            assert watcher.servers()[1].fault == ""
        nursery.cancel_scope.cancel()


# --- a whole worker


async def detailed(peer: Helia, worker: Worker, **fields: object) -> dict[str, Any]:
    """The object that answers a LIST with details."""
    question = {"type": "LIST", "details": True, "id": "r1", "pageSize": 100, **fields}
    await peer.publish(json.dumps(question))
    heard = await peer.heard(
        lambda message: message.sender == worker.peer_id and '"status":"NAMES"' in message.text, deadline=30
    )
    answer: dict[str, Any] = heard.json
    return answer


@needs_node
async def test_a_new_worker_learns_the_whole_past_and_says_so(tmp_path: Path) -> None:
    async with open_market(tmp_path) as market:
        sandbox = market.sandbox
        live(sandbox)
        await sandbox.indexed()
        async with market.worker() as worker, open_helia(listen=()) as peer:
            await join(peer, worker)
            await worker.logged(r"names\.completed")
            answer = await detailed(peer, worker, media=True)
            assert (answer["id"], answer["reachesBackTo"], answer["complete"]) == ("r1", 1, True)
            listed = [row["nameId"] for row in answer["names"]]
            true = [name for height in range(sandbox.node.height, 0, -1) for _, name in names_in(sandbox, height)[::-1]]
            assert listed == [name.decode() for name in true if name is not None][:100]
            assert {json.dumps(row["media"]) for row in answer["names"]} == {f'{{"cid": "{CID}", "pinned": false}}'}
            progress = json.loads(await market.command("names", "--json"))
            assert (progress["complete"], progress["blocksLeft"]) == (True, 0)

            art = await make_art(peer)
            market.pay(await ask_for_quote(peer, art.cid, worker), "art/paid")
            await market.mine(CONFIRMATIONS)
            pinned = await answer_of(peer, "CID-PINNED-WITH-NAME", art.cid, worker)
            (row,) = (await detailed(peer, worker, media=True, pageSize=1))["names"]
            assert row["nameId"] == "art/paid"
            assert row["media"]["bytes"]["total"] == art.bytes
            assert row["media"]["until"] == pinned["expirationDate"]


@needs_node
async def test_a_payment_does_not_wait_for_the_past(tmp_path: Path) -> None:
    """Six hundred blocks cost twice what ElectrumX answers at once: the past is half read, and waits, when a customer
    comes."""
    async with open_market(tmp_path) as market:
        market.sandbox.mine(500)
        await market.sandbox.indexed()
        async with market.worker() as worker, open_helia(listen=()) as peer:
            await join(peer, worker)
            await worker.logged(r"names\.past_indexed")
            art = await make_art(peer)
            market.pay(await ask_for_quote(peer, art.cid, worker), "art/paid")
            began = trio.current_time()
            await market.mine(CONFIRMATIONS)
            await answer_of(peer, "CID-PINNED-WITH-NAME", art.cid, worker)
            print(f"from the block to the pin {trio.current_time() - began:.1f} s")
            assert trio.current_time() - began < 20
            progress = json.loads(await market.command("names", "--json"))
            assert 0 < progress["blocksLeft"] < 620
            assert progress["reachesUpTo"] == market.sandbox.node.height
            assert not any("electrum.server_lost" in line or "past_put_off" in line for line in worker.log)
