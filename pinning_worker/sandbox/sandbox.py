"""The sandbox: node, wallet and a real ElectrumX, open for as long as the context lasts.

    async with open_sandbox(directory) as sandbox:
        quote_address = sandbox.wallet.address()
        txid = sandbox.pay(quote_address, Swartz(7_004_482), "art/1", cid)
        sandbox.mine(6)
        await sandbox.indexed()

Doichain regtest only, loopback only, and the node's RPC requires a random password: nothing here can be reached from,
or mistaken for, a network where coins are worth something. The chain lives in memory and begins anew each time.

It writes only into `directory`:

    clock-offset    how many seconds the sandbox's clock is ahead, decimal; a worker reads it on doichain-regtest only
    electrumx/      ElectrumX's database and its log
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST, Network
from pinning_worker.domain.chain.transaction import Transaction
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.directory import CLOCK_OFFSET_FILE
from pinning_worker.sandbox.electrumx import Certificate, ElectrumX
from pinning_worker.sandbox.node import Node
from pinning_worker.sandbox.node_rpc import node_methods
from pinning_worker.sandbox.psbt import parse_psbt
from pinning_worker.sandbox.rpc import RpcServer
from pinning_worker.sandbox.transaction_rules import COINBASE_MATURITY
from pinning_worker.sandbox.wallet import Kind, Payment, Wallet, browser_payment, sign
from pinning_worker.ungroup import one_error

FIRST_COINS = 10

_RPC_USER = "sandbox"
_BURNT = Script(b"\x6a")


class Sandbox:
    """The actions of a test or a person on the chain. Only the async methods wait for ElectrumX."""

    def __init__(self, directory: Path, node: Node, wallet: Wallet, rpc: RpcServer, electrumx: ElectrumX) -> None:
        self.directory = directory
        self.network: Network = DOICHAIN_REGTEST
        self.node = node
        self.wallet = wallet
        self.rpc = rpc
        self.electrumx = electrumx

    @property
    def electrum_urls(self) -> Mapping[str, str]:
        """By scheme: tcp and ws, with a certificate ssl and wss."""
        return self.electrumx.urls

    @property
    def node_url(self) -> str:
        """The node's JSON-RPC, password included."""
        return self.electrumx.node_url

    @property
    def clock_offset_file(self) -> Path:
        return self.directory / CLOCK_OFFSET_FILE

    def mine(self, blocks: int = 1, *, auxpow: bool = False, transactions: Collection[Txid] | None = None) -> list[str]:
        """Mines blocks and returns their hashes. The first holds the mempool's transactions, or only these txids of it.
        The wallet gets the rewards. Raises Rejected if the chosen transactions depend on others."""
        script = self.wallet.script
        kinds: list[Kind] = ["p2wpkh", "p2pkh"]
        return [self.node.mine(script(kinds[self.node.height % 2]), transactions, auxpow=auxpow) for _ in range(blocks)]

    def pay(self, address: str, amount: Swartz, name: str, cid: str, kind: Kind = "p2wpkh") -> Txid:
        """Puts a payment into the mempool as the deployed browser makes it, and returns the txid. A further payment
        under that name has to wait for its block. Raises BadAddress, Rejected."""
        return self.send(self.wallet.pay(browser_payment(address, amount, name, cid), kind))

    def pay_as(self, payment: Payment, kind: Kind = "p2wpkh") -> Txid:
        """Puts any payment into the mempool, and returns the txid. Raises Rejected."""
        return self.send(self.wallet.pay(payment, kind))

    def pay_psbt(self, psbt: bytes) -> Txid:
        """Signs a PSBT over the wallet's coins (binary), puts it into the mempool, returns the txid.

        Raises BadPsbt, Rejected.
        """
        asked = parse_psbt(psbt)
        return self.send(sign(asked.unsigned, asked.spent, self.wallet.key))

    def send(self, transaction: Transaction) -> Txid:
        """Puts a transaction into the mempool, and returns its txid. Raises Rejected."""
        return self.broadcast(transaction.serialise())

    def broadcast(self, raw: bytes) -> Txid:
        """Puts these bytes into the mempool, and returns the txid. Raises Rejected."""
        return self.node.broadcast(raw)

    def double_spend(self, txid: Txid) -> Txid:
        """Replaces a transaction in the mempool by one that returns its coins to the wallet, and returns that txid."""
        _, transaction = self.node.transaction(txid)
        conflicting = self.wallet.double_spend(transaction)
        self.node.evict(txid)
        return self.send(conflicting)

    def reorg(self, depth: int, *, confirm: bool = False, auxpow: bool = False) -> list[str]:
        """Replaces the last `depth` blocks by a branch that is one block longer, and returns its hashes. The replaced
        transactions return to the mempool, or the new branch confirms them again. Raises Rejected."""
        self.node.invalidate(self.node.height - depth + 1)
        return self.mine(depth + 1, auxpow=auxpow, transactions=None if confirm else ())

    def move_time(self, seconds: int) -> int:
        """Moves the clock by `seconds`, and returns the offset since the start. Blocks mined from now on carry it: six
        of them move the median time. Times of headers never go back."""
        self.node.clock_offset += seconds
        _write_whole(self.clock_offset_file, f"{self.node.clock_offset}\n")
        return self.node.clock_offset

    async def indexed(self) -> None:
        """Returns once ElectrumX shows the node's tip to its clients. Raises ElectrumXFailed."""
        await self.electrumx.until_indexed(self.node.blocks[-1].header)

    async def stop_electrumx(self) -> None:
        await self.electrumx.stop()

    async def start_electrumx(self) -> None:
        """Starts it on the same ports, and returns when it has caught up. Raises ElectrumXFailed."""
        await self.electrumx.start(self.node.blocks[-1].header)


@asynccontextmanager
async def open_sandbox(
    directory: Path,
    *,
    certificate: Certificate | None = None,
    electrumx_settings: Mapping[str, str] | None = None,
    seed: bytes = b"sandbox",
) -> AsyncIterator[Sandbox]:
    """A sandbox whose wallet has mature coins of both kinds and whose ElectrumX serves. Raises ElectrumXFailed."""
    node = Node()
    wallet = Wallet(node, seed)
    rpc = RpcServer(dict(node_methods(node)), _RPC_USER, secrets.token_urlsafe(24))
    with one_error():
        async with trio.open_nursery() as nursery:
            port = await nursery.start(rpc.serve)
            node_url = f"http://{rpc.user}:{rpc.password}@127.0.0.1:{port}/"
            electrumx = ElectrumX(directory / "electrumx", node_url, certificate, electrumx_settings or {})
            sandbox = Sandbox(directory, node, wallet, rpc, electrumx)
            shutil.rmtree(electrumx.directory, ignore_errors=True)
            sandbox.move_time(0)
            _mine_first_coins(node, wallet)
            try:
                await sandbox.start_electrumx()
                yield sandbox
            finally:
                await electrumx.kill()  # its index is useless without this node's chain
                nursery.cancel_scope.cancel()


def _mine_first_coins(node: Node, wallet: Wallet) -> None:
    """Mines a past of ten-minute blocks up to now, so that the wallet has mature coins of each kind."""
    scripts = [wallet.script("p2wpkh")] * FIRST_COINS + [wallet.script("p2pkh")] * FIRST_COINS
    scripts += [_BURNT] * COINBASE_MATURITY
    now = int(time.time())
    for left, script in zip(reversed(range(len(scripts))), scripts, strict=True):
        node.mine(script, at_time=now - left * DOICHAIN_REGTEST.block_spacing)


def _write_whole(path: Path, text: str) -> None:
    """Readers find the old text or the new one, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text)
    beside.replace(path)
