"""The sandbox as an Electrum client sees it: everything here is said by a real ElectrumX."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from coincurve import PrivateKey
from trio_websocket import open_websocket_url

from pinning_worker.domain.chain.address import scripthash
from pinning_worker.domain.chain.anchor import start_chain
from pinning_worker.domain.chain.headerchain import HeaderChain
from pinning_worker.domain.chain.nameop import push
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST
from pinning_worker.domain.chain.transaction import Transaction, fold_merkle_branch, parse_transaction
from pinning_worker.domain.identities import Script
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.electrumx import ElectrumXFailed
from pinning_worker.sandbox.sandbox import Sandbox, open_sandbox
from pinning_worker.sandbox.wallet import Key, Kind, Wallet, browser_payment, sign
from tests.interop.sandbox_fixture import RawElectrum, raw_electrum, sandbox, secure_sandbox
from tests.mining import LATER

__all__ = ["sandbox", "secure_sandbox"]

pytestmark = pytest.mark.interop

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
AMOUNT = Swartz(7_004_482)
Forge = Callable[[Transaction, Sandbox], Transaction]
KINDS: list[Kind] = ["p2wpkh", "p2pkh"]


@pytest.fixture
def shop(sandbox: Sandbox) -> Wallet:
    """Who is paid: a wallet that has nothing."""
    return Wallet(sandbox.node, seed=b"shop")


async def verified_chain(client: RawElectrum, sandbox: Sandbox) -> HeaderChain:
    """The server's headers, judged by the worker's own verifier."""
    answer = await client.ask("blockchain.block.headers", 0, sandbox.node.height + 1)
    headers = bytes.fromhex(answer["hex"])
    chain = start_chain(DOICHAIN_REGTEST, headers[:80])
    branch = chain.branch(0)
    branch.extend(headers[80:], now=LATER)
    chain.adopt(branch)
    return chain


async def until_history(client: RawElectrum, watched: str, expected: list[dict[str, Any]]) -> None:
    """Waits, notification by notification, until the history of a subscribed script is this one."""
    while (await client.ask("blockchain.scripthash.get_history", watched)) != expected:
        await client.heard("blockchain.scripthash.subscribe")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_payment_can_be_proven_from_what_the_server_says(sandbox: Sandbox, shop: Wallet, kind: Kind) -> None:
    watched = scripthash(shop.script(kind))
    async with raw_electrum(sandbox) as client:
        await client.ask("blockchain.scripthash.subscribe", watched)
        txid = sandbox.pay(shop.address(kind), AMOUNT, "art/1", CID, kind)
        fee = 102_000 + (1 + 3) * 180
        await until_history(client, watched, [{"tx_hash": txid, "height": 0, "fee": fee}])
        sandbox.mine(auxpow=True)
        height = sandbox.node.height
        await until_history(client, watched, [{"tx_hash": txid, "height": height}])

        assert await client.ask("blockchain.scripthash.get_balance", watched) == {
            "confirmed": AMOUNT.amount,
            "unconfirmed": 0,
        }
        tx = parse_transaction(bytes.fromhex(await client.ask("blockchain.transaction.get", txid)))
        assert tx.txid == txid
        assert tx.outputs[1].script == shop.script(kind)
        proof = await client.ask("blockchain.transaction.get_merkle", txid, height)
        chain = await verified_chain(client, sandbox)
        root = fold_merkle_branch(txid, proof["merkle"], proof["pos"])
        assert root == chain.header_at(height).raw[36:68]


async def test_every_header_is_verified_through_merge_mined_stretches(sandbox: Sandbox) -> None:
    sandbox.mine(3, auxpow=True)
    sandbox.mine(2)
    sandbox.mine(12, auxpow=True)
    await sandbox.indexed()
    async with raw_electrum(sandbox) as client:
        chain = await verified_chain(client, sandbox)
        whole = await client.ask("blockchain.block.header", sandbox.node.height)
    assert chain.tip().hash == sandbox.node.blocks[-1].block_hash
    assert len(whole) // 2 > 80  # AuxPow headers come with their proof


async def test_a_reorg_takes_a_payment_back_and_a_new_block_confirms_it_again(sandbox: Sandbox, shop: Wallet) -> None:
    watched = scripthash(shop.script())
    async with raw_electrum(sandbox) as client:
        await client.ask("blockchain.scripthash.subscribe", watched)
        await client.ask("blockchain.headers.subscribe")
        txid = sandbox.pay(shop.address(), AMOUNT, "art/1", CID)
        sandbox.mine(2)
        height = sandbox.node.height
        await until_history(client, watched, [{"tx_hash": txid, "height": height - 1}])

        sandbox.reorg(2)
        await until_history(client, watched, [{"tx_hash": txid, "height": 0, "fee": 102_720}])
        answer = await client.answer("blockchain.transaction.get_merkle", txid, height - 1)
        assert "error" in answer
        chain = await verified_chain(client, sandbox)
        assert (chain.tip().height, chain.tip().hash) == (height + 1, sandbox.node.blocks[-1].block_hash)

        sandbox.mine()
        await until_history(client, watched, [{"tx_hash": txid, "height": height + 2}])


async def test_a_double_spend_takes_an_unconfirmed_payment_away(sandbox: Sandbox, shop: Wallet) -> None:
    watched = scripthash(shop.script())
    async with raw_electrum(sandbox) as client:
        await client.ask("blockchain.scripthash.subscribe", watched)
        txid = sandbox.pay(shop.address(), AMOUNT, "art/1", CID)
        await until_history(client, watched, [{"tx_hash": txid, "height": 0, "fee": 102_720}])
        sandbox.double_spend(txid)
        await until_history(client, watched, [])


async def test_a_reorg_with_a_double_spend_takes_a_confirmed_payment_away(sandbox: Sandbox, shop: Wallet) -> None:
    watched = scripthash(shop.script())
    async with raw_electrum(sandbox) as client:
        await client.ask("blockchain.scripthash.subscribe", watched)
        txid = sandbox.pay(shop.address(), AMOUNT, "art/1", CID)
        sandbox.mine()
        await until_history(client, watched, [{"tx_hash": txid, "height": sandbox.node.height}])
        sandbox.reorg(1)
        sandbox.double_spend(txid)
        sandbox.mine()
        await until_history(client, watched, [])


def signed_by_a_thief(payment: Transaction, sandbox: Sandbox) -> Transaction:
    spent = [sandbox.node.coins.get((each.prev_txid, each.prev_index)) for each in payment.inputs]
    return sign(payment, [coin.output for coin in spent if coin], Key(PrivateKey(b"\x02" * 32)))


def with_another_fee(payment: Transaction, _: Sandbox) -> Transaction:
    name, fee, change = payment.outputs
    return replace(payment, outputs=(name, replace(fee, amount=Swartz(1)), change))


def unsigned(payment: Transaction, _: Sandbox) -> Transaction:
    return replace(payment, inputs=tuple(replace(each, script=b"") for each in payment.inputs), witnesses=())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("forge", [signed_by_a_thief, with_another_fee, unsigned])
async def test_a_forged_payment_is_refused_over_electrum(sandbox: Sandbox, kind: Kind, forge: Forge) -> None:
    payment = sandbox.wallet.pay(browser_payment(sandbox.wallet.address(), AMOUNT, "art/1", CID), kind)
    async with raw_electrum(sandbox) as client:
        forged = forge(payment, sandbox).serialise().hex()
        answer = await client.answer("blockchain.transaction.broadcast", forged)
        assert "mandatory-script-verify-flag-failed" in answer["error"]["message"]
        assert await client.ask("blockchain.transaction.broadcast", payment.serialise().hex()) == payment.txid


async def test_a_name_is_indexed_under_its_update_script(sandbox: Sandbox) -> None:
    """ElectrumX files NAME_DOI under NAME_UPDATE's script, confirmed only: how a wallet looks a name up."""
    index = scripthash(Script(b"\x53" + push(b"art/1") + push(b"") + b"\x6d\x75\x6a"))
    async with raw_electrum(sandbox) as client:
        await client.ask("blockchain.scripthash.subscribe", index)
        txid = sandbox.pay(sandbox.wallet.address(), AMOUNT, "art/1", CID)
        sandbox.mine()
        await until_history(client, index, [{"tx_hash": txid, "height": sandbox.node.height}])


async def test_a_name_owned_by_the_payment_address_stands_in_its_history_and_pays_nothing(
    sandbox: Sandbox, shop: Wallet
) -> None:
    """ElectrumX strips the name before it hashes the script. Who counts by its lists counts the name's 0.01 DOI."""
    watched = scripthash(shop.script())
    async with raw_electrum(sandbox) as client:
        await client.ask("blockchain.scripthash.subscribe", watched)
        payment = browser_payment(sandbox.wallet.address(), AMOUNT, "art/1", CID)
        tx = sandbox.wallet.pay(replace(payment, owner=shop.script()))
        sandbox.send(tx)
        sandbox.mine()
        await until_history(client, watched, [{"tx_hash": tx.txid, "height": sandbox.node.height}])
        unspent = await client.ask("blockchain.scripthash.listunspent", watched)
        assert [(each["tx_pos"], each["value"]) for each in unspent] == [(0, 1_000_000)]
        assert all(output.script != shop.script() for output in tx.outputs)


async def test_a_server_goes_away_and_comes_back_on_the_same_ports(sandbox: Sandbox, shop: Wallet) -> None:
    await sandbox.stop_electrumx()
    url = urlsplit(sandbox.electrum_urls["ws"])
    with pytest.raises(OSError, match="connect"):
        await trio.open_tcp_stream(str(url.hostname), url.port or 0)
    txid = sandbox.pay(shop.address(), AMOUNT, "art/1", CID)
    sandbox.mine(2)
    await sandbox.start_electrumx()
    async with raw_electrum(sandbox) as client:
        history = await client.ask("blockchain.scripthash.get_history", scripthash(shop.script()))
    assert history == [{"tx_hash": txid, "height": sandbox.node.height - 1}]


async def test_an_electrumx_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ElectrumXFailed, match="bad value for envvar DB_ENGINE"):
        async with open_sandbox(tmp_path, electrumx_settings={"DB_ENGINE": "paper"}):
            raise AssertionError("it opened")


async def test_an_error_inside_leaves_as_itself(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="ours"):
        async with open_sandbox(tmp_path):
            raise LookupError("ours")


async def test_moved_time_is_in_the_headers_and_in_the_file(sandbox: Sandbox) -> None:
    assert sandbox.clock_offset_file.read_text() == "0\n"
    before = sandbox.node.median_time
    assert sandbox.move_time(20_000_000) == 20_000_000
    assert sandbox.move_time(1_000) == 20_001_000
    assert sandbox.clock_offset_file.read_text() == "20001000\n"
    sandbox.mine(6)
    await sandbox.indexed()
    async with raw_electrum(sandbox) as client:
        chain = await verified_chain(client, sandbox)
    assert chain.tip().median_time.timestamp() >= before + 20_001_000


async def test_tcp_and_the_encrypted_services_serve_the_same_chain(secure_sandbox: Sandbox) -> None:
    certificate = secure_sandbox.electrumx.certificate
    assert certificate is not None
    trusting = ssl.create_default_context(cafile=certificate.certificate)
    urls = secure_sandbox.electrum_urls
    assert set(urls) == {"tcp", "ssl", "ws", "wss"}
    tips = [await tip_by_line(urls["tcp"], None), await tip_by_line(urls["ssl"], trusting)]
    async with open_websocket_url(urls["wss"], ssl_context=trusting) as wss:
        await wss.send_message(VERSION)
        await wss.send_message(SUBSCRIBE)
        tips.append(tip_in([await wss.get_message(), await wss.get_message()]))
    assert tips == [secure_sandbox.node.height] * 3


VERSION = '{"jsonrpc":"2.0","id":0,"method":"server.version","params":["test",["1.4","1.4.3"]]}'
SUBSCRIBE = '{"jsonrpc":"2.0","id":1,"method":"blockchain.headers.subscribe","params":[]}'


async def tip_by_line(url: str, context: ssl.SSLContext | None) -> int:
    """The tip's height, asked for in JSON lines."""
    where = urlsplit(url)
    stream: trio.abc.Stream = await trio.open_tcp_stream(str(where.hostname), where.port or 0)
    if context:
        stream = trio.SSLStream(stream, context, server_hostname="localhost", https_compatible=True)
    async with stream:
        await stream.send_all(f"{VERSION}\n{SUBSCRIBE}\n".encode())
        answers = b""
        with trio.fail_after(30):
            while b'"height"' not in answers or not answers.endswith(b"\n"):
                answers += await stream.receive_some()
    return tip_in(answers.decode().splitlines())


def tip_in(answers: Sequence[str | bytes]) -> int:
    messages = [json.loads(line) for line in answers if line.strip()]  # ElectrumX pads what it sends on tcp and ssl
    return int(next(message for message in messages if message["id"] == 1)["result"]["height"])
