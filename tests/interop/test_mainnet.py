"""`pinning-worker run` on mainnet, against servers that answer as the real ones did in September 2026.

Recorded: the genesis hash, the split block, the anchor's headers (without AuxPow), 431 424 and the tip 432 052.
Simulated, because nobody recorded it: that a server's chain ends at 431 424, that it has no header between there and
its tip, the header of the dead chain at 431 018 (another recorded one stands in), and that no payment was made.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pinning_worker.domain.chain.headers import HEADER_SIZE, parse_header
from pinning_worker.domain.chain.networks import DOICHAIN
from tests.adapters.electrum.listening import eventually
from tests.adapters.electrum.scripted import Ledger, Refusal, ScriptedServer, serving
from tests.interop.browser import join
from tests.interop.helia import open_helia
from tests.interop.market import SEES
from tests.interop.node_binary import needs_node
from tests.interop.worker import Worker, command_ended, free_port, open_worker, worker_environment
from tests.recorded import CONTEXT, CONTEXT_FROM, FULL, TIP

pytestmark = [pytest.mark.interop, needs_node]

ADDRESS = "MvaPQg5cFj92rWK4LW2zowoKpv8ZtuBncu"
JOINS = 431_424
DEAD_TIP = 444_404
TIP_FILE = "data/headers-doichain.tip"
YEARS = "36500d"  # how old a recorded tip may be and count as fresh: the recording is not of today
RECORDED = dict(enumerate(CONTEXT, start=CONTEXT_FROM)) | FULL


def mainnet_server(tip: int, tip_header: bytes | None = None) -> ScriptedServer:
    """As an ElectrumX 1.15.0 of Doichain answers, as far as recorded."""
    server = ScriptedServer(Ledger(DOICHAIN), websocket=True)
    shown = {"height": tip, "hex": (tip_header or FULL[tip]).hex()}

    def header(height: int) -> str:
        if height > tip or height not in RECORDED:
            raise Refusal(f"height {height:,d} out of range")
        return RECORDED[height].hex()

    def headers(start: int, count: int) -> dict[str, Any]:
        there: list[bytes] = []
        while len(there) < count and start + len(there) in FULL and start + len(there) <= tip:
            there.append(FULL[start + len(there)])
        return {"hex": b"".join(there).hex(), "count": len(there), "max": 2016}

    server.answers = {
        "server.version": lambda *_: ["ElectrumX 1.15.0", "1.4"],
        "server.features": lambda: {"genesis_hash": DOICHAIN.genesis_hash, "protocol_max": "1.4.2"},
        "blockchain.headers.subscribe": lambda: shown,
        "blockchain.block.header": header,
        "blockchain.block.headers": headers,
        "blockchain.scripthash.subscribe": lambda _: None,
        "blockchain.scripthash.get_history": lambda _: [],
    }
    return server


def dead_server() -> ScriptedServer:
    """Of the chain that the old nodes went on with: longer, and another block at the split."""
    server = mainnet_server(DEAD_TIP, FULL[TIP])
    honest = server.answers["blockchain.block.header"]
    server.answers["blockchain.block.header"] = lambda height: honest(431_016 if height == 431_018 else height)
    return server


def settings(*servers: str, **changes: str) -> dict[str, str]:
    here = f"/ip4/127.0.0.1/tcp/{free_port()}"
    return {
        "PINNING_NETWORK": "doichain",
        "PINNING_PAYMENT_ADDRESS": ADDRESS,
        "PINNING_LISTEN": f"{here} {here}/ws",
        "PINNING_ELECTRUM_SERVERS": " ".join(servers),
        **changes,
    }


def stored_height(folder: Path) -> int | None:
    """Of the headers that the worker in that folder has stored."""
    file = folder / TIP_FILE
    height: int | None = json.loads(file.read_text())["height"] if file.exists() else None
    return height


async def asked(worker: Worker) -> tuple[dict[str, Any], str]:
    """What a browser hears that asks for a file of its own, whichever answer it is; and the file's CID."""
    async with open_helia(listen=()) as alice:
        await join(alice, worker)
        cid = (await alice.add_file(1_000, seed="mainnet")).cid
        await alice.publish(f"NEW-CID:{cid}")
        heard = await alice.heard(lambda m: m.says("ADDING-CID", cid) or m.says("ERROR", cid))
        return heard.json, cid


async def test_it_follows_the_recorded_chain_and_sells_on_it(tmp_path: Path) -> None:
    """From the anchor in the row to 431 424, the last header recorded in a row."""
    server = mainnet_server(JOINS)
    async with (
        serving(server),
        open_worker(tmp_path, settings(server.url, PINNING_LONGEST_UNSEEN=YEARS)) as worker,
    ):
        assert json.loads(await worker.logged(SEES))["tip"] == JOINS
        offer, cid = await asked(worker)
        assert (offer["status"], offer["cid"]) == ("ADDING-CID", cid)
        assert (offer["quote"]["network"], offer["fee"]["paymentAddress"]) == ("doichain", ADDRESS)
        await eventually(lambda: stored_height(tmp_path) == JOINS, "the headers are stored")
    stored = json.loads((tmp_path / TIP_FILE).read_text())
    recorded = parse_header(FULL[JOINS][:HEADER_SIZE]).hash[::-1].hex()
    assert (stored["base"], stored["hash"]) == (CONTEXT_FROM, recorded)
    whole = b"".join(CONTEXT) + FULL[JOINS][:HEADER_SIZE]
    assert (tmp_path / "data/headers-doichain.bin").read_bytes() == whole, "those of the row are stored, too"


async def test_it_follows_as_far_as_the_headers_go_and_sells_nothing_before_the_tip(tmp_path: Path) -> None:
    server = mainnet_server(TIP)
    async with serving(server), open_worker(tmp_path, settings(server.url, PINNING_LONGEST_UNSEEN=YEARS)) as worker:
        refusal, _ = await asked(worker)
        assert (refusal["code"], refusal["message"]) == ("BUSY", "cannot see the chain at the moment")
        why = await worker.logged(r"chain\.not_seen")
        assert f"its headers are being verified, {JOINS} of {TIP} so far" in why


async def test_a_tip_of_september_is_not_fresh(tmp_path: Path) -> None:
    """The shipped defaults: a verified chain that stands still is one that cannot be seen."""
    server = mainnet_server(JOINS)
    async with serving(server), open_worker(tmp_path, settings(server.url)) as worker:
        refusal, _ = await asked(worker)
        assert (refusal["code"], refusal["retryAfterSeconds"]) == ("BUSY", 60)
        why = await worker.logged(r"chain\.not_seen")
        assert f"its newest block {JOINS} is " in why
        assert "days old" in why


SERVERS = {
    "the dead chain": (dead_server, "it is on the dead side of the split: its block 431018 is "),
    "behind the anchor": (lambda: mainnet_server(431_016), "its chain ends at 431016, behind our anchor at 431423"),
}


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_that_is_of_no_use_is_named_for_what_it_is(kind: str, tmp_path: Path) -> None:
    """In the log, in systemd's status, and by check-config, each with what to do."""
    make, reason = SERVERS[kind]
    server, notify = make(), tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(notify))
        systemd.setblocking(False)
        async with serving(server):
            chosen = settings(server.url, PINNING_LONGEST_UNSEEN=YEARS)
            async with open_worker(tmp_path / "worker", chosen | {"NOTIFY_SOCKET": str(notify)}) as worker:
                refusal, _ = await asked(worker)
                assert refusal["code"] == "BUSY"
                assert reason in await worker.logged(r"chain\.not_seen")
                status = f"STATUS=cannot see the chain, sells nothing: {server.url}: {reason}"
                await eventually(lambda: any(status in line for line in told(systemd)), "systemd is told")
            ended, printed = await check_config(tmp_path / "worker", chosen)
            assert ended == 69
            assert reason in printed
            assert "no Electrum server is in order" in printed


def told(systemd: socket.socket) -> list[str]:
    """Each datagram since the last call."""
    lines = []
    while True:
        try:
            lines.append(systemd.recv(65536).decode())
        except BlockingIOError:
            return lines


async def test_check_config_shows_the_chain_of_each_server(tmp_path: Path) -> None:
    good, dead = mainnet_server(JOINS), dead_server()
    async with serving(good, dead):
        ended, printed = await check_config(tmp_path, settings(good.url, dead.url, PINNING_LONGEST_UNSEEN=YEARS))
    assert ended == 0
    (shown,) = [line for line in printed.splitlines() if good.url in line and "doichain, block" in line]
    assert f"doichain, block {JOINS}, " in shown
    assert shown.endswith(" ms")
    assert "have it upgraded" in printed
    assert "1 of 2 Electrum servers are in order" in printed


async def test_a_checkpoint_that_no_server_has_is_said(tmp_path: Path) -> None:
    server = mainnet_server(JOINS)
    async with serving(server):
        wrong = settings(server.url, PINNING_CHECKPOINT=f"{JOINS}:{'ab' * 32}", PINNING_LONGEST_UNSEEN=YEARS)
        ended, printed = await check_config(tmp_path, wrong)
        assert ended == 69
        assert f"it is not at PINNING_CHECKPOINT: its block {JOINS} is " in printed
        assert "correct PINNING_CHECKPOINT" in printed


async def test_a_checkpoint_against_the_chain_that_was_followed_stops_the_start(tmp_path: Path) -> None:
    server = mainnet_server(JOINS)
    async with serving(server):
        right = settings(server.url, PINNING_LONGEST_UNSEEN=YEARS)
        async with open_worker(tmp_path, right) as worker:
            await worker.logged(SEES)
            await eventually(lambda: stored_height(tmp_path) == JOINS, "the headers are stored")
            await worker.stop()
        wrong = worker_environment(tmp_path, right | {"PINNING_CHECKPOINT": f"{JOINS}:{'ab' * 32}"})
        for command in (["run"], ["check-config"]):
            ended, _, complained = await command_ended(command, wrong, tmp_path)
            assert ended == 78
            assert f"PINNING_CHECKPOINT names {'ab' * 32} at {JOINS}" in complained
            assert "Correct the setting, or take it away" in complained


@pytest.mark.parametrize("spoilt", ['{"base": Infinity, "height": 1, "hash": "", "work": "0x1"}', "garbage", None])
async def test_a_spoilt_header_file_is_had_anew(spoilt: str | None, tmp_path: Path) -> None:
    """None: a folder stands where the file was. `check-config --json` stays JSON, and `run` follows the chain again."""
    server = mainnet_server(JOINS)
    async with serving(server):
        chosen = settings(server.url, PINNING_LONGEST_UNSEEN=YEARS)
        await command_ended(["migrate"], worker_environment(tmp_path, chosen), tmp_path)
        if spoilt is None:
            (tmp_path / TIP_FILE).mkdir()
        else:
            (tmp_path / TIP_FILE).write_text(spoilt)
        code, printed, _ = await command_ended(
            ["check-config", "--json"], worker_environment(tmp_path, chosen), tmp_path
        )
        assert (code, json.loads(printed)["ok"]) == (0, True)
        async with open_worker(tmp_path, chosen) as worker:
            await worker.logged(SEES)
            await worker.logged(r"headers\.tip_not_read")


async def check_config(folder: Path, chosen: Mapping[str, str]) -> tuple[int, str]:
    """The exit code and what was printed."""
    environment = worker_environment(folder, chosen)
    code, printed, _ = await command_ended(["check-config", "--connect"], environment, folder)
    return code, printed
