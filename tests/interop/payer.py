"""Somebody who pays from the page of `examples/browser`, without a browser: its own modules, run by Node.

The other end of `node/payer.mjs`: one process for each payment. It asks a real ElectrumX and makes a real PSBT.
"""

import json
from dataclasses import dataclass

import pytest
import trio

from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.psbt import Psbt, parse_psbt
from tests.interop.node_binary import HOW_TO_GET_IT, NODE_PROJECT, node_binary
from tests.interop.page import EXAMPLE

DEADLINE = 30

needs_page = pytest.mark.skipif(not (EXAMPLE / "node_modules").exists(), reason="what the page is made of: `make page`")


class PageRefuses(Exception):
    """The page makes no payment. The text is what it shows."""


@dataclass(frozen=True)
class Made:
    """A payment to be signed, its txid without signatures, and the amounts that the page shows with it (swartz)."""

    psbt: bytes
    txid: str
    fee: int
    name_before: int
    network_fee: int
    change: int
    total: int

    @property
    def asked(self) -> Psbt:
        return parse_psbt(self.psbt)


async def pay_from_the_page(
    electrum: str, name: str, address: str, pay_to: str, amount: Swartz, cid: str, network: str = "doichain-regtest"
) -> Made:
    """The payment that the page makes of an offer. Raises PageRefuses."""
    node = node_binary()
    assert node is not None, HOW_TO_GET_IT
    offer = {"amount": amount.amount, "paymentAddress": pay_to}
    wanted = {"electrum": electrum, "network": network, "name": name, "address": address, "cid": cid, "offer": offer}
    with trio.fail_after(DEADLINE):
        run = await trio.run_process(
            [str(node), "payer.mjs"], stdin=json.dumps(wanted).encode(), capture_stdout=True, cwd=NODE_PROJECT
        )
    said = json.loads(run.stdout)
    if "refused" in said:
        raise PageRefuses(said["refused"])
    amounts = (int(said[each]) for each in ("fee", "nameBefore", "networkFee", "change", "total"))
    return Made(bytes.fromhex(said["psbt"]), said["txid"], *amounts)
