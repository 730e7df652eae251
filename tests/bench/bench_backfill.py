"""How fast the past of the name index is read: `python -m tests.bench.bench_backfill [BLOCKS]` (200 blocks of names).

A real ElectrumX without limits, by ws and by tcp, into an index in SQLite: transactions and blocks a second. Then the
days that the real chain takes with four servers at ElectrumX's default limits, computed: the cost of a block (as
`pace.py` counts it, after ElectrumX), and one unit a second from each server.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import trio

from pinning_worker.adapters.electrum.answers import PROTOCOL_VERSIONS
from pinning_worker.adapters.electrum.endpoint import parse_server_url
from pinning_worker.adapters.electrum.frames import open_frames
from pinning_worker.adapters.electrum.pace import COST_OF_CALL, COST_OF_METHOD, COST_PER_BYTE, Pace
from pinning_worker.adapters.electrum.patience import Patience
from pinning_worker.adapters.electrum.watcher import PaymentWatcher
from pinning_worker.adapters.electrum.wire import Wire
from pinning_worker.adapters.machine.clock import SystemClock
from pinning_worker.adapters.sql.database import Database
from pinning_worker.adapters.sql.migrate import migrate
from pinning_worker.adapters.sql.name_index import SqlNameIndex
from pinning_worker.backfill import Backfill
from pinning_worker.domain.chain.networks import DOICHAIN, DOICHAIN_REGTEST, Anchor
from pinning_worker.domain.chain.transaction import TxOutput
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.logs import configure_logs
from pinning_worker.sandbox.sandbox import Sandbox, open_sandbox
from tests.adapters.electrum.listening import Heard

PER_BLOCK = 20
TIP = 432_000  # of September 2026
SERVERS, HEADER_BYTES = 4, 1_300  # of a merge-mined header on mainnet, with its AuxPow
NO_LIMITS = {"COST_SOFT_LIMIT": "0", "COST_HARD_LIMIT": "0"}
EAGER = Patience(burst=1e9, per_second=1e9)
CID = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
PAYEE = "ncrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq8w7hxl"


def units(transactions: int) -> float:
    """The cost of a block with so many transactions of 300 bytes, its header included."""
    place = COST_OF_METHOD["blockchain.transaction.id_from_pos"] + 180 * COST_PER_BYTE
    transaction = COST_OF_CALL + (2 * 300 + 60) * COST_PER_BYTE
    header = 1 / 50 + 2 * HEADER_BYTES * COST_PER_BYTE
    return header + transactions * (place + transaction) + (place if transactions > 2 else 0)


# --- the chain, in a process of its own: its node is Python too, and is asked for every transaction


async def filled(sandbox: Sandbox, blocks: int) -> None:
    coin = TxOutput(Swartz(9_000_000), sandbox.wallet.script())
    for at in range(0, blocks * PER_BLOCK, 1_000):  # a coin for each payment, so that none waits for another
        sandbox.send(sandbox.wallet.spend([coin] * min(1_000, blocks * PER_BLOCK - at)))
    sandbox.mine(1)
    for block in range(blocks):
        for number in range(PER_BLOCK):
            sandbox.pay(PAYEE, Swartz(7_004_482), f"art/{block}/{number}", CID)
        sandbox.mine(1, auxpow=True)
    await sandbox.indexed()


async def serve(blocks: int) -> None:
    """Serves until its standard input ends; says where, and what, in one line."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_sandbox(Path(folder), electrumx_settings=NO_LIMITS) as sandbox:
            await filled(sandbox, blocks)
            told = {
                "urls": dict(sandbox.electrum_urls),
                "height": sandbox.node.height,
                "hash": sandbox.node.blocks[-1].block_hash,
                "txids": [tx.txid for block in sandbox.node.blocks[1:-1] for tx in block.transactions],
            }
            print(json.dumps(told), flush=True)
            await trio.to_thread.run_sync(sys.stdin.read)


@contextmanager
def served(blocks: int) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.bench.bench_backfill", str(blocks), "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.stdin.close()


# --- the worker's part


async def merely_requested(chain: dict[str, Any], url: str) -> float:
    """Seconds for the same transactions, whose txids are told, in the same batches, and nothing done with them."""
    async with trio.open_nursery() as nursery, open_frames(parse_server_url(url), nursery) as frames:
        wire = Wire(frames, lambda *_: None, lambda: None, Pace(burst=1e9, per_second=1e9))
        nursery.start_soon(wire.read)
        await wire.call("server.version", "bench", PROTOCOL_VERSIONS)
        begun = time.perf_counter()
        await wire.batch(("blockchain.transaction.get", (txid,)) for txid in chain["txids"])
        took = time.perf_counter() - begun
        nursery.cancel_scope.cancel()
    return took


async def backfilled(chain: dict[str, Any], url: str, folder: Path) -> float:
    """Seconds until the index reaches the first block."""
    network = replace(DOICHAIN_REGTEST, anchor=Anchor(chain["height"], chain["hash"]))
    database_url = f"sqlite:///{folder}/names.db"
    migrate(database_url)
    database = Database(database_url)
    index, heard, clock = SqlNameIndex(database), Heard(), SystemClock()
    await index.resume_from(chain["height"])
    await index.add(chain["height"], chain["hash"], [])
    watcher = PaymentWatcher(network, clock, [url], longest_unseen=timedelta(hours=2), patience=EAGER)
    async with trio.open_nursery() as nursery:
        await nursery.start(watcher.run, heard)
        await heard.until(lambda: heard.tip is not None)
        begun = time.perf_counter()
        await Backfill(network, clock, watcher, watcher, index, lambda: None).run()
        took = time.perf_counter() - begun
        nursery.cancel_scope.cancel()
    await database.close()
    return took


async def main(blocks: int) -> None:
    with tempfile.TemporaryDirectory() as folder, served(blocks) as chain:
        for scheme in ("ws", "tcp", "ws again"):
            own = Path(folder) / scheme
            own.mkdir()
            url, count = chain["urls"][scheme.split()[0]], len(chain["txids"])
            merely, began = await merely_requested(chain, url), time.process_time()
            took = await backfilled(chain, url, own)
            ours = time.process_time() - began
            print(
                f"{scheme}: {count} transactions in {chain['height'] - 1} blocks in {took:.1f} s: {count / took:.0f} a "
                f"second, {1e6 * ours / count:.0f} microseconds of our processor each; merely requested, their txids "
                f"known: {count / merely:.0f} a second, {merely / took:.2f}x"
            )
    for transactions in (1, 2, 5):
        cost = units(transactions)
        living, whole = (cost * count / SERVERS for count in (DOICHAIN.name_life, TIP))
        print(
            f"blocks of {transactions} transactions: {cost:.2f} units each; with {SERVERS} servers at default limits "
            f"the living names take {living / 3600:.1f} hours, the whole chain {whole / 86_400:.1f} days"
        )


if __name__ == "__main__":
    configure_logs("error", "text")
    trio.run(serve if "serve" in sys.argv else main, int(sys.argv[1]) if len(sys.argv) > 1 else 200)
