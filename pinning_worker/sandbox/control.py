"""The sandbox as a process of its own, controlled from other processes.

`serve_sandbox` opens a sandbox, prints where it is, and adds five methods to the node's JSON-RPC; `SandboxControl`
calls them. The URL to call, password included, is in the file `control-url` of the sandbox's directory while it runs,
readable by its owner only.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import trio

from pinning_worker.domain.chain.address import BadAddress
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.directory import CONTROL_URL_FILE, WORKER, hold_directory
from pinning_worker.sandbox.electrumx import Certificate
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.sandbox.rpc import Method
from pinning_worker.sandbox.rpc_client import call
from pinning_worker.sandbox.sandbox import Sandbox, open_sandbox
from pinning_worker.sandbox.wallet import Kind, Wallet

MOST_BLOCKS_AT_ONCE = 1000
FIRST_PORT = 4001


@dataclass(frozen=True)
class SandboxInfo:
    """The state of a running sandbox: its Electrum servers by scheme, an address at which a worker receives payments,
    the wallet's spendable balance, the height of the chain, and how far its clock is ahead (seconds).

    The address is not the wallet's own: a payer's change would count as part of its payment.
    """

    electrum_urls: dict[str, str]
    address: str
    balance: Swartz
    height: int
    clock_offset: int
    clock_offset_file: str


class SandboxControl:
    """A running sandbox, seen from another process. Every call raises Rejected if the sandbox refuses it, and
    SandboxUnreachable if nobody answers."""

    def __init__(self, url: str) -> None:
        self._url = url

    @classmethod
    def in_directory(cls, directory: Path) -> SandboxControl:
        """The sandbox that runs in this directory. Raises FileNotFoundError if none does."""
        return cls((directory / CONTROL_URL_FILE).read_text().strip())

    async def info(self) -> SandboxInfo:
        said = await call(self._url, "sandbox.info")
        return SandboxInfo(**said | {"balance": Swartz(said["balance"])})

    async def mine(self, blocks: int = 1, *, auxpow: bool = False) -> list[str]:
        """Returns the hashes of the new blocks; the first holds the transactions of the mempool."""
        return cast("list[str]", await call(self._url, "sandbox.mine", blocks, auxpow))

    async def reorg(self, depth: int, *, confirm: bool = False) -> list[str]:
        """Replaces the last `depth` blocks, and returns the new hashes; `confirm` mines their transactions again."""
        return cast("list[str]", await call(self._url, "sandbox.reorg", depth, confirm))

    async def pay(self, address: str, amount: Swartz, name: str, cid: str, kind: Kind = "p2wpkh") -> Txid:
        """Pays as the deployed browser does, and returns the txid."""
        return Txid(str(await call(self._url, "sandbox.pay", address, amount.amount, name, cid, kind)))

    async def move_time(self, seconds: int) -> int:
        """Moves the sandbox's clock, and returns its offset since the start. The median time follows in six blocks."""
        return int(await call(self._url, "sandbox.move_time", seconds))


async def serve_sandbox(directory: Path, say: Callable[[str], None], *, certificate: Certificate | None = None) -> None:
    """Runs until SIGINT or SIGTERM; `say` takes the lines to show.

    Raises ElectrumXFailed, DirectoryRefused, OSError.
    """
    with hold_directory(directory), trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_sandbox(directory, certificate=certificate) as sandbox:
            sandbox.rpc.methods.update(control_methods(sandbox))
            control_file = directory / CONTROL_URL_FILE
            _write_private(control_file, f"{sandbox.node_url}\n")
            try:
                for line in _introduction(sandbox):
                    say(line)
                await anext(aiter(signals))
            finally:
                control_file.unlink()


def control_methods(sandbox: Sandbox) -> dict[str, Method]:
    """The methods that `SandboxControl` calls, for the node's JSON-RPC."""

    def mine(blocks: int, auxpow: bool) -> list[str]:
        if not 0 < blocks <= MOST_BLOCKS_AT_ONCE:
            raise Rejected(f"1 to {MOST_BLOCKS_AT_ONCE} blocks at once")
        return sandbox.mine(blocks, auxpow=auxpow)

    def reorg(depth: int, confirm: bool) -> list[str]:
        return sandbox.reorg(depth, confirm=confirm)

    def pay(address: str, amount: int, name: str, cid: str, kind: str) -> Txid:
        if kind not in ("p2wpkh", "p2pkh"):
            raise Rejected("the wallet has p2wpkh and p2pkh coins")
        try:
            return sandbox.pay(address, Swartz(amount), name, cid, cast("Kind", kind))
        except BadAddress as error:
            raise Rejected(str(error)) from error

    def move_time(seconds: int) -> int:
        return sandbox.move_time(seconds)

    return {
        "sandbox.info": lambda: _info(sandbox),
        "sandbox.mine": mine,
        "sandbox.reorg": reorg,
        "sandbox.pay": pay,
        "sandbox.move_time": move_time,
    }


def _info(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "electrum_urls": dict(sandbox.electrum_urls),
        "address": _operator(sandbox).address(),
        "balance": sandbox.wallet.balance().amount,
        "height": sandbox.node.height,
        "clock_offset": sandbox.node.clock_offset,
        "clock_offset_file": str(sandbox.clock_offset_file.absolute()),
    }


def _introduction(sandbox: Sandbox) -> list[str]:
    """The settings with which a worker on this machine sells on the sandbox: every line of its `.env`, the rest as
    comments.

    The data directory is a new one each time: the chain that a former one knows is gone. The clock's file comes last.
    """
    port, began = _port(), datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return [
        f"# a sandbox on {sandbox.network.name}, with {sandbox.wallet.balance()} to pay from; until Ctrl-C",
        *(f"# electrum at {url}" for url in sandbox.electrum_urls.values()),
        "# a worker that sells on it has these lines in its .env:",
        f"PINNING_NETWORK={sandbox.network.name}",
        f"PINNING_DATA_DIR={sandbox.directory.absolute() / f'{WORKER}{began}'}",
        f"PINNING_LISTEN=/ip4/127.0.0.1/tcp/{port},/ip4/127.0.0.1/tcp/{port}/ws",
        f"PINNING_ELECTRUM_SERVERS={sandbox.electrum_urls['ws']}",
        f"PINNING_PAYMENT_ADDRESS={_operator(sandbox).address()}",
        f"PINNING_CLOCK_OFFSET_FILE={sandbox.clock_offset_file.absolute()}",
    ]


def _port() -> int:
    """The first free port from 4001 on: Kubo, or a worker that earns, may hold 4001."""
    for port in range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return FIRST_PORT  # taken: `run` reports it


def _operator(sandbox: Sandbox) -> Wallet:
    return Wallet(sandbox.node, seed=b"operator")


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
