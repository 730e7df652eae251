"""The payment watcher and a real ElectrumX over a real (regtest) chain: every transport, reorgs, double spends, servers
that go and come back, and a liar between us and the truth."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from pinning_worker.adapters.electrum.header_file import HeaderFile
from pinning_worker.adapters.electrum.patience import Patience
from pinning_worker.adapters.electrum.watcher import PaymentWatcher
from pinning_worker.adapters.machine.clock import SystemClock
from pinning_worker.domain.chain.address import p2sh_script, script_to_address, witness_script
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.domain.money.payment import PaidOutput, Proof
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.sandbox import Sandbox, open_sandbox
from pinning_worker.sandbox.wallet import Wallet
from tests.adapters.electrum.listening import Heard, eventually
from tests.certificates import fingerprint, self_signed

pytestmark = pytest.mark.interop

FEE = Swartz(7_004_482)
CID = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
P2SH, P2WSH = p2sh_script(b"\x05" * 20), witness_script(0, b"\x06" * 32)  # a multisig address is just a script
AT_HOME = Patience(first_retry_seconds=0.05, longest_retry_seconds=0.2, first_distrust_seconds=1000.0)
UNSEEN = timedelta(hours=2)


@asynccontextmanager
async def watched(urls: Sequence[str], *scripts: Script, **options: Any) -> AsyncIterator[tuple[PaymentWatcher, Heard]]:
    """A watcher of these servers, that has caught up."""
    watcher = PaymentWatcher(
        DOICHAIN_REGTEST, SystemClock(), urls, longest_unseen=UNSEEN, scripts=scripts, patience=AT_HOME, **options
    )
    heard = Heard()
    async with trio.open_nursery() as nursery:
        await nursery.start(watcher.run, heard)
        await heard.until(lambda: heard.tip is not None)
        yield watcher, heard
        nursery.cancel_scope.cancel()


def pay(sandbox: Sandbox, script: Script, name: str = "art/1") -> Txid:
    address = script_to_address(script, sandbox.network)
    assert address is not None
    return sandbox.pay(address, FEE, name, CID)


def operator(sandbox: Sandbox) -> Wallet:
    return Wallet(sandbox.node, seed=b"operator")


def tip_hash(sandbox: Sandbox) -> str:
    return sandbox.node.blocks[-1].block_hash


# --- every transport


async def require_seen_and_proven(sandbox: Sandbox, url: str) -> None:
    wallet = operator(sandbox)
    scripts = [wallet.script("p2wpkh"), wallet.script("p2pkh"), P2SH, P2WSH]
    async with watched([url], *scripts) as (watcher, heard):
        paid = [pay(sandbox, script, f"art/{number}") for number, script in enumerate(scripts)]
        await heard.until(lambda: all(heard.is_unproven(txid) for txid in paid))
        (block_hash,) = sandbox.mine(1, auxpow=True)
        await heard.until(lambda: all(heard.proven_at(txid) == sandbox.node.height for txid in paid))
        for number, txid in enumerate(paid):
            sighting = heard.sightings[txid]
            assert (sighting.name, sighting.value) == (b"art/%d" % number, f"ipfs://{CID}".encode())
            assert sighting.outputs == (PaidOutput(1, FEE),)
            assert sighting.proof is not None
            assert sighting.proof.block_hash == block_hash
        names = await watcher.name_ops(sandbox.node.height)
        assert names is not None
        assert {found.txid for found in names.ops} == set(paid)
        tip = await watcher.tip()
        assert tip is not None
        assert (tip.height, tip.hash) == (sandbox.node.height, block_hash)
        assert tip.median_time.timestamp() == sandbox.node.median_time


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
async def test_a_payment_of_each_kind_is_seen_and_proven(scheme: str, tmp_path: Path) -> None:
    async with open_sandbox(tmp_path) as sandbox:
        await require_seen_and_proven(sandbox, sandbox.electrum_urls[scheme])


@pytest.mark.parametrize("scheme", ["ssl", "wss"])
async def test_over_tls_with_a_pinned_certificate(scheme: str, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    async with open_sandbox(tmp_path / "sandbox", certificate=certificate) as sandbox:
        url = sandbox.electrum_urls[scheme]
        await require_seen_and_proven(sandbox, f"{url}?cert=sha256:{fingerprint(certificate)}")
        urls = [url, f"{url}?cert=sha256:{'ab' * 32}"]
        wary = PaymentWatcher(DOICHAIN_REGTEST, SystemClock(), urls, longest_unseen=UNSEEN, patience=AT_HOME)
        async with trio.open_nursery() as nursery:
            await nursery.start(wary.run, Heard())
            await eventually(lambda: all(state.fault for state in wary.servers()), "neither is let in")
            unsigned, other = wary.servers()
            assert "CERTIFICATE_VERIFY_FAILED" in unsigned.fault
            assert "not the pinned one" in other.fault
            nursery.cancel_scope.cancel()


# --- reorgs and double spends


async def test_a_reorg_unproves_and_the_next_block_proves_again(tmp_path: Path) -> None:
    async with open_sandbox(tmp_path) as sandbox:
        script = operator(sandbox).script()
        async with watched([sandbox.electrum_urls["ws"]], script) as (_, heard):
            txid = pay(sandbox, script)
            sandbox.mine(3)
            first = sandbox.node.height - 2
            await heard.until(lambda: heard.proven_at(txid) == first)
            sandbox.reorg(3)
            await heard.until(lambda: heard.is_unproven(txid))
            assert heard.forks == [first]
            sandbox.mine()
            await heard.until(lambda: heard.proven_at(txid) == sandbox.node.height)
            assert heard.gone == []


async def test_a_reorg_that_confirms_the_same_payment_in_another_block(tmp_path: Path) -> None:
    async with open_sandbox(tmp_path) as sandbox:
        script = operator(sandbox).script()
        async with watched([sandbox.electrum_urls["ws"]], script) as (_, heard):
            txid = pay(sandbox, script)
            sandbox.mine(2)
            height = sandbox.node.height - 1
            await heard.until(lambda: heard.proven_at(txid) == height)
            new_blocks = sandbox.reorg(2, confirm=True, auxpow=True)

            def is_proven_anew() -> bool:
                proof = heard.sightings[txid].proof
                return proof is not None and proof.block_hash in new_blocks

            await heard.until(is_proven_anew)


async def test_a_double_spend_is_gone(tmp_path: Path) -> None:
    async with open_sandbox(tmp_path) as sandbox:
        script = operator(sandbox).script()
        async with watched([sandbox.electrum_urls["ws"]], script) as (_, heard):
            waiting = pay(sandbox, script)
            await heard.until(lambda: heard.is_unproven(waiting))
            sandbox.double_spend(waiting)
            await heard.until(lambda: heard.gone == [waiting])

            mined = pay(sandbox, script, "art/2")
            sandbox.mine(2)
            await heard.until(lambda: heard.proven_at(mined) is not None)
            sandbox.node.invalidate(sandbox.node.height - 1)
            sandbox.double_spend(mined)
            sandbox.mine(3)
            await heard.until(lambda: heard.gone == [waiting, mined])


# --- away and back


async def test_a_payment_made_while_electrumx_was_down(tmp_path: Path) -> None:
    async with open_sandbox(tmp_path) as sandbox:
        script = operator(sandbox).script()
        async with watched([sandbox.electrum_urls["ws"]], script) as (watcher, heard):
            await sandbox.stop_electrumx()
            await eventually(lambda: not watcher.servers()[0].connected, "it is missed")
            txid = pay(sandbox, script)
            sandbox.mine(4)
            await sandbox.start_electrumx()
            await heard.until(lambda: heard.proven_at(txid) == sandbox.node.height - 3)
            assert heard.gone == []


async def test_a_payment_and_a_reorg_while_the_worker_was_down(tmp_path: Path) -> None:
    async with open_sandbox(tmp_path / "sandbox") as sandbox:
        url, script = sandbox.electrum_urls["ws"], operator(sandbox).script()
        headers = HeaderFile(tmp_path, DOICHAIN_REGTEST)
        async with watched([url], script, headers=headers) as (_, heard):
            before = pay(sandbox, script)
            sandbox.mine(2)
            await heard.until(lambda: heard.proven_at(before) is not None)
            await eventually(lambda: stored_tip(headers) == tip_hash(sandbox), "the headers are stored")
        remembered: dict[Txid, Proof | None] = {before: heard.sightings[before].proof}
        meanwhile = pay(sandbox, script, "art/2")
        sandbox.reorg(2)
        sandbox.mine()
        await sandbox.indexed()
        async with watched([url], script, headers=headers, remembered=remembered) as (_, heard):
            height = sandbox.node.height
            await heard.until(lambda: heard.proven_at(before) == height and heard.proven_at(meanwhile) == height)
            assert heard.forks == [height - 3]


def stored_tip(headers: HeaderFile) -> str | None:
    chain = headers.load()
    return chain.tip().hash if chain else None


# --- more than one script, more than one payment


async def test_a_script_watched_later(tmp_path: Path) -> None:
    async with open_sandbox(tmp_path) as sandbox:
        wallet = operator(sandbox)
        async with watched([sandbox.electrum_urls["ws"]], wallet.script()) as (watcher, heard):
            early = pay(sandbox, P2WSH)
            sandbox.mine()
            await heard.until(lambda: heard.is_at(tip_hash(sandbox)))
            await watcher.watch([P2WSH])
            await heard.until(lambda: heard.proven_at(early) == sandbox.node.height)
            late = pay(sandbox, P2WSH, "art/2")
            await heard.until(lambda: heard.is_unproven(late))


async def test_the_name_ops_of_every_block_and_a_long_history(tmp_path: Path) -> None:
    """ElectrumX throttles by its own defaults: eighty payments and a hundred and forty blocks stay below them."""
    async with open_sandbox(tmp_path) as sandbox:
        script, paid = operator(sandbox).script(), []
        sandbox.mine(20)
        for number in range(20):
            paid += [pay(sandbox, script, f"art/{number}/{part}") for part in range(4)]
            sandbox.mine(1, auxpow=bool(number % 2))
        await sandbox.indexed()
        async with watched([sandbox.electrum_urls["ws"]], script) as (watcher, heard):
            await heard.until(lambda: all(heard.proven_at(txid) is not None for txid in paid))
            found: list[str] = []
            for height in range(1, sandbox.node.height + 1):
                names = await watcher.name_ops(height)
                assert names is not None
                assert names.hash == sandbox.node.blocks[height].block_hash
                found += [each.txid for each in names.ops]
            assert sorted(found) == sorted(paid)
            assert watcher.servers()[0].fault == ""


# --- a liar in between

Falsify = Callable[[str, Any], Any]


class LyingProxy:
    """Stands between a client and a real ElectrumX (tcp), and falsifies the answers to some requests."""

    def __init__(self, url: str, falsify: Falsify) -> None:
        self._port, self._falsify = int(url.rpartition(":")[2]), falsify
        self.url, self.told = "", 0

    async def serve(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.url = f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}"
        task_status.started()
        await trio.serve_listeners(self._between, [listener])

    async def _between(self, client: trio.SocketStream) -> None:
        server, methods = await trio.open_tcp_stream("127.0.0.1", self._port), dict[int, str]()

        def note(frame: Any) -> Any:
            for request in frame if isinstance(frame, list) else [frame]:
                methods[request["id"]] = request["method"]
            return frame

        def lie(frame: Any) -> Any:
            if isinstance(frame, list):
                return [lie(answer) for answer in frame]
            if "result" in frame and frame.get("id") in methods:
                truth = frame["result"]
                frame["result"] = self._falsify(methods[frame["id"]], truth)
                self.told += frame["result"] != truth
            return frame

        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(_relay, client, server, note, nursery.cancel_scope)
            nursery.start_soon(_relay, server, client, lie, nursery.cancel_scope)


async def _relay(
    source: trio.SocketStream, sink: trio.SocketStream, change: Callable[[Any], Any], scope: trio.CancelScope
) -> None:
    buffer = b""
    try:
        async for data in source:
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                await sink.send_all(json.dumps(change(json.loads(line))).encode() + b"\n")
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()


def wrong_branches(method: str, truth: Any) -> Any:
    return {**truth, "merkle": ["ab" * 32, *truth["merkle"][1:]]} if method.endswith("get_merkle") else truth


def wrong_transactions(method: str, truth: Any) -> Any:
    """Another locktime: a witness could be changed at will, no txid commits to it."""
    return truth[:-8] + "01000000" if method.endswith("transaction.get") else truth


@pytest.mark.parametrize(
    ("falsify", "why"),
    [(wrong_branches, "leads elsewhere"), (wrong_transactions, "not the one asked for")],
)
async def test_one_of_two_servers_lies(falsify: Falsify, why: str, tmp_path: Path) -> None:
    async with open_sandbox(tmp_path) as sandbox, trio.open_nursery() as nursery:
        script = operator(sandbox).script()
        proxy = LyingProxy(sandbox.electrum_urls["tcp"], falsify)
        await nursery.start(proxy.serve)
        async with watched([proxy.url, sandbox.electrum_urls["ws"]], script) as (watcher, heard):
            await eventually(lambda: all(state.height for state in watcher.servers()), "both are there")
            txids = [pay(sandbox, script, f"art/{number}") for number in range(3)]
            sandbox.mine()
            await heard.until(lambda: all(heard.proven_at(txid) == sandbox.node.height for txid in txids))
            assert watcher.servers()[1].fault == ""
        # Alone it is found out, and nothing that it says is proven.
        async with watched([proxy.url], script) as (watcher, heard):
            await eventually(lambda: watcher.servers()[0].fault != "", "the lie is found out")
            assert why in watcher.servers()[0].fault
            assert proxy.told > 0
            assert all(sighting.proof is None for sighting in heard.sightings.values())
        nursery.cancel_scope.cancel()
