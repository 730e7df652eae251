"""What the page makes of names: its own modules in Node, a real ElectrumX, and the sandbox's node, which enforces owners."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, open_websocket_url, serve_websocket

from pinning_worker.domain.address import script_to_address, witness_script
from pinning_worker.domain.money import Swartz
from pinning_worker.domain.nameop import NAME_TX_VERSION, name_doi_script, parse_name_op
from pinning_worker.domain.transaction import Transaction, TxOutput, serialise_output, var_bytes
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.sandbox.sandbox import Sandbox
from pinning_worker.sandbox.wallet import Kind, Payment, Wallet, browser_fee, browser_payment, sign
from tests.interop.node_binary import needs_node
from tests.interop.payer import Made, PageRefuses, needs_page, pay_from_the_page
from tests.interop.sandbox_fixture import raw_electrum, sandbox

__all__ = ["sandbox"]

pytestmark = [pytest.mark.interop, needs_node, needs_page]

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
NAME = "art/1"
FEE = Swartz(7_004_482)
IN_NAME = Swartz(1_000_000)
KINDS: list[Kind] = ["p2wpkh", "p2pkh"]
TAPROOT = "ncrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqeee2fx"


@dataclass(frozen=True)
class Payer:
    """Somebody at the page, with a wallet that signs what the page makes."""

    sandbox: Sandbox
    wallet: Wallet

    async def make(
        self,
        name: str = NAME,
        kind: Kind = "p2wpkh",
        *,
        at: str | None = None,
        pay_to: str | None = None,
        through: str | None = None,
    ) -> Made:
        """A payment; with coins at another address, to another one, through another server."""
        await self.sandbox.indexed()
        address, shop = at or self.wallet.address(kind), Wallet(self.sandbox.node, b"shop").address()
        return await pay_from_the_page(
            through or self.sandbox.electrum_urls["ws"], name, address, pay_to or shop, FEE, CID
        )

    async def pay(self, name: str = NAME, kind: Kind = "p2wpkh") -> Transaction:
        """A payment, signed and taken by the node."""
        return self.send(await self.make(name, kind))

    async def is_refused(self, reason: str, name: str = NAME, kind: Kind = "p2wpkh", **other: Any) -> None:
        with pytest.raises(PageRefuses, match=reason):
            await self.make(name, kind, **other)

    def send(self, made: Made) -> Transaction:
        signed = sign(made.asked.unsigned, made.asked.spent, self.wallet.key)
        self.sandbox.send(signed)
        return signed

    async def until_waiting(self, transaction: Transaction) -> None:
        """Until the server tells of it."""
        async with raw_electrum(self.sandbox) as client:
            with trio.fail_after(20):
                while transaction.txid not in await client.ask("mempool.get_fee_histogram", *()) and not (
                    await client.answer("blockchain.transaction.get", transaction.txid)
                ):
                    await trio.sleep(0.05)


@pytest.fixture
def alice(sandbox: Sandbox) -> Payer:
    return Payer(sandbox, sandbox.wallet)


@pytest.fixture
def bob(sandbox: Sandbox) -> Payer:
    """With a coin of each kind, from alice."""
    bob = Payer(sandbox, Wallet(sandbox.node, b"bob"))
    sandbox.send(sandbox.wallet.spend([TxOutput(Swartz(10**9), bob.wallet.script(kind)) for kind in KINDS]))
    sandbox.mine()
    return bob


def life(sandbox: Sandbox) -> int:
    return sandbox.network.name_life


def names_spent(transaction: Transaction, *before: Transaction) -> list[bool]:
    """For each of these: whether its name output is spent."""
    spent = {(each.prev_txid, each.prev_index) for each in transaction.inputs}
    return [(each.txid, 0) in spent for each in before]
