"""What the story needs around it, opened together: a sandbox chain with its ElectrumX, and workers that sell on it.

    async with open_market(folder) as market, market.worker() as worker, open_helia() as alice:
        …

Money goes to an operator whose wallet is not the payer's. Every worker reads the sandbox's clock, so `move_time` moves
them all. Two workers of one market differ by their name: own folder, own port, own key, own prices.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.sandbox import Sandbox, open_sandbox
from pinning_worker.sandbox.wallet import Wallet
from pinning_worker.ungroup import one_error
from tests.interop.worker import Worker, free_port, open_worker, run_command, worker_environment

CONFIRMATIONS = 6
SEES = r"\bchain\.seen\b"
HOUR, DAY = 3_600, 86_400
HOUR_SECONDS = 0.5  # of ours, for an hour of the sandbox while time flies


@dataclass
class Market:
    """A chain to pay on, and what a worker must be told to sell on it."""

    sandbox: Sandbox
    folder: Path
    operator: Wallet
    _ports: dict[str, int] = field(default_factory=dict)

    @asynccontextmanager
    async def worker(self, name: str = "worker", **settings: str) -> AsyncIterator[Worker]:
        """A worker process that sees the chain: before, it sells nothing. The same name again is the same worker: its
        data, key and port. `settings` are PINNING_… names."""
        async with self.blind_worker(name, **settings) as worker:
            await worker.logged(SEES)
            yield worker

    def blind_worker(self, name: str = "worker", **settings: str) -> AbstractAsyncContextManager[Worker]:
        """The same, as soon as it is ready: the chain may not be seen yet, or ever."""
        return open_worker(self.folder / name, self.settings(name) | settings)

    async def command(self, *arguments: str, name: str = "worker", **settings: str) -> str:
        """What another `pinning-worker` command prints about that worker's store, while it runs or not."""
        folder = self.folder / name
        environment = worker_environment(folder, self.settings(name) | settings)
        return await run_command(list(arguments), environment, folder)

    def pay(self, quote: dict[str, Any], name: str) -> str:
        """Pays an ADDING-CID message as the browser does; returns the txid, which waits in the mempool."""
        fee = quote["fee"]
        return self.sandbox.pay(fee["paymentAddress"], Swartz(fee["amount"]), name, quote["cid"])

    async def mine(self, blocks: int = 1) -> None:
        """Mines what waits, and returns when ElectrumX tells its clients."""
        self.sandbox.mine(blocks)
        await self.sandbox.indexed()

    async def move_time(self, days: int) -> None:
        """Both clocks that a worker believes: its own, and the median time of the last eleven headers."""
        self.sandbox.move_time(days * DAY)
        await self.mine(11)

    @asynccontextmanager
    async def time_flies(self) -> AsyncIterator[None]:
        """While this is open, hours pass: a worker whose two clocks disagreed a moment ago looks again by itself."""
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._fly)
                yield
                nursery.cancel_scope.cancel()

    async def _fly(self) -> None:
        while True:
            self.sandbox.move_time(HOUR)
            await trio.sleep(HOUR_SECONDS)

    def settings(self, name: str) -> dict[str, str]:
        """What that worker is told."""
        port = self._ports.setdefault(name, free_port())
        return {
            "PINNING_NETWORK": "doichain-regtest",
            "PINNING_LISTEN": f"/ip4/127.0.0.1/tcp/{port} /ip4/127.0.0.1/tcp/{port}/ws",
            "PINNING_ELECTRUM_SERVERS": self.sandbox.electrum_urls["ws"],
            "PINNING_PAYMENT_ADDRESS": self.operator.address(),
            "PINNING_CONFIRMATIONS": str(CONFIRMATIONS),
            "PINNING_CLOCK_OFFSET_FILE": str(self.sandbox.clock_offset_file),
        }


@asynccontextmanager
async def open_market(folder: Path) -> AsyncIterator[Market]:
    """A fresh chain with an ElectrumX that serves it; everything of it stands in `folder`."""
    async with open_sandbox(folder / "sandbox") as sandbox:
        yield Market(sandbox, folder, Wallet(sandbox.node, seed=b"operator"))
