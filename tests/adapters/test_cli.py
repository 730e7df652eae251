"""The command line as a process: what it prints where, its exit codes, and one worker that runs while others ask.

The chain is not needed here: the worker's Electrum server is a port where nobody listens, which keeps no worker from
starting. The sandbox commands against a running sandbox are at the end (interop).
"""

from __future__ import annotations

import json
import re
import socket
import stat
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from click import Group
from libp2p.crypto.ed25519 import create_new_key_pair

from pinning_worker.adapters.p2p.host.identity import encode_key, load_key, peer_id_of
from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database
from pinning_worker.cli import main
from pinning_worker.commands.pins import STATES
from pinning_worker.domain.content.cid import Root, parse_cid
from pinning_worker.domain.content.sizes import Sizes
from pinning_worker.domain.identities import NameBytes, Script, Txid
from pinning_worker.domain.money.payment import PaidOutput, Payment
from pinning_worker.domain.money.pricing import Quote
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.pin import REQUEST_HOLDS, Pin, Request, State
from pinning_worker.ports.books import Change
from tests.interop.worker import COMMAND, Worker, free_port, open_worker, worker_environment

pytestmark = pytest.mark.slow  # it starts the command, again and again

ADDRESS = "mfWyW5fc9NUj75YAnFgoRLrjxgLDn2MMth"
CID_V0 = "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR"
CID_V1 = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
NOBODY = "ws://127.0.0.1:1"


def settings(port: int, **changed: str) -> dict[str, str]:
    return {
        "PINNING_NETWORK": "doichain-regtest",
        "PINNING_PAYMENT_ADDRESS": ADDRESS,
        "PINNING_ELECTRUM_SERVERS": NOBODY,
        "PINNING_LISTEN": f"/ip4/127.0.0.1/tcp/{port} /ip4/127.0.0.1/tcp/{port}/ws",
        "PINNING_STAGING_QUOTA": "2GiB",
        **changed,
    }


def command(folder: Path, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """One command in `folder`, whose data are in `folder/data`; it ends by itself."""
    return piped(b"", folder, *arguments, **changed)


def piped(stdin: bytes, folder: Path, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [COMMAND, *arguments],
        env=worker_environment(folder, settings(free_port(), **changed)),
        cwd=folder,
        input=stdin,
        capture_output=True,
        timeout=60,
    )
    return subprocess.CompletedProcess(arguments, ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def told(ended: subprocess.CompletedProcess[str], code: int) -> str:
    """What a refusal says: on standard error, without a traceback."""
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.stderr.removeprefix("Error: ").strip()


def printed(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


# ---------------------------------------------------------------- help


def every_command(group: Group, *before: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, one in group.commands.items():
        found.append((*before, name))
        if isinstance(one, Group):
            found += every_command(one, *before, name)
    return found


@pytest.mark.parametrize("names", every_command(main), ids=" ".join)
def test_every_help_teaches_with_an_example(names: tuple[str, ...], tmp_path: Path) -> None:
    text = printed(command(tmp_path, *names, "--help"))
    assert re.search(rf"^ +(.* )?pinning-worker {' '.join(names)}\b", text, re.MULTILINE)


def test_help_loads_nothing_heavy() -> None:
    script = "import sys, pinning_worker.cli; print(*sys.modules)"
    python = COMMAND.parent / "python"
    loaded = subprocess.run(
        [python, "-c", script], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert {"libp2p", "sqlalchemy", "trio", "pydantic"}.isdisjoint(loaded)


# ---------------------------------------------------------------- settings


def test_check_config_shows_every_setting_and_where_it_is_from(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PINNING_CONFIRMATIONS=3\n")
    shown = json.loads(printed(command(tmp_path, "check-config", "--json")))
    assert shown["ok"]
    assert shown["settings"]["PINNING_CONFIRMATIONS"] == {"value": "3", "from": ".env line 1"}
    assert shown["settings"]["PINNING_PAYMENT_ADDRESS"] == {"value": ADDRESS, "from": "the environment"}
    assert shown["settings"]["PINNING_MIN_FEE"] == {"value": "1000000", "from": "default"}
    assert [sentence.split(":")[0] for sentence in shown["advice"]] == [
        "the database has no tables yet",
        f"there is no key in {tmp_path}/data/identity.key yet",
    ]
    assert not (tmp_path / "data").exists()  # it changes nothing


def test_check_config_and_run_refuse_alike_and_say_everything(tmp_path: Path) -> None:
    wrong = {"PINNING_PRICE": "1", "PINNING_MIN_FEE": "0.01", "PINNING_PAYMENT_ADDRESS": ""}
    texts = [told(command(tmp_path, name, **wrong), 78) for name in ("check-config", "run")]
    assert texts[0] == texts[1]
    head, *problems = texts[0].splitlines()
    assert head == "the settings need mending:"
    assert [problem.split()[1] for problem in problems] == [
        "PINNING_PRICE",
        "PINNING_PAYMENT_ADDRESS",
        "PINNING_MIN_FEE",
    ]
    shown = json.loads(command(tmp_path, "check-config", "--json", **wrong).stdout)
    assert (shown["ok"], len(shown["problems"])) == (False, 3)


def test_a_server_address_is_read_as_the_link_will_read_it(tmp_path: Path) -> None:
    text = told(command(tmp_path, "run", PINNING_ELECTRUM_SERVERS="tcp://host:50001?cert=sha256:00"), 78)
    assert "PINNING_ELECTRUM_SERVERS: " in text


def test_more_servers_than_the_watcher_takes_are_refused_before_it_starts(tmp_path: Path) -> None:
    servers = ",".join(f"tcp://host:{port}" for port in range(50001, 50018))
    text = told(command(tmp_path, "check-config", PINNING_ELECTRUM_SERVERS=servers), 78)
    assert "PINNING_ELECTRUM_SERVERS names more servers than the 16" in text


def test_an_env_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    assert "nowhere.env" in told(command(tmp_path, "run", "--env-file", "nowhere.env"), 2)


# ---------------------------------------------------------------- keys


def test_keygen_makes_a_key_once(tmp_path: Path) -> None:
    peer = printed(command(tmp_path, "keygen")).strip()
    key_file = tmp_path / "data" / "identity.key"
    assert peer == peer_id_of(load_key(key_file))
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert "a key is never overwritten" in told(command(tmp_path, "keygen"), 78)
    assert peer == peer_id_of(load_key(key_file))


def test_keygen_imports_the_old_relays_key_from_a_pipe(tmp_path: Path) -> None:
    key = create_new_key_pair(bytes(range(32)))
    ended = piped(encode_key(key).hex().encode() + b"\n", tmp_path, "keygen", "--import", "-", "--json")
    assert json.loads(printed(ended)) == {"peer": peer_id_of(key), "file": str(tmp_path / "data" / "identity.key")}


def test_a_key_that_is_none_leaves_nothing_behind_and_is_not_printed(tmp_path: Path) -> None:
    text = told(piped(b"08011240c0ffee", tmp_path, "keygen", "--import", "-"), 78)
    assert "c0ffee" not in text
    assert not (tmp_path / "data" / "identity.key").exists()


# ---------------------------------------------------------------- the store


def test_migrate_says_what_it_did_and_may_be_repeated(tmp_path: Path) -> None:
    first, second = (json.loads(printed(command(tmp_path, "migrate", "--json"))) for _ in range(2))
    assert (first["changed"], second["changed"]) == (True, False)
    assert first["revision"] == second["revision"]
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_without_tables_each_says_to_migrate(tmp_path: Path) -> None:
    for arguments in (["run"], ["pins"], ["quote", CID_V0]):
        assert told(command(tmp_path, *arguments), 69).endswith(
            "the database has no tables yet: run `pinning-worker migrate`"
        )


def test_a_data_directory_of_another_network_is_refused(tmp_path: Path) -> None:
    printed(command(tmp_path, "migrate"))
    assert "of a worker on doichain-regtest" in told(command(tmp_path, "migrate", PINNING_NETWORK="doichain-test"), 78)


async def test_quotes_and_pins_are_read_from_the_store(tmp_path: Path) -> None:
    printed(await trio.to_thread.run_sync(lambda: command(tmp_path, "migrate")))
    await keep_a_story(f"sqlite:///{tmp_path}/data/pinning.db")

    def asked(*arguments: str) -> Any:
        return json.loads(printed(command(tmp_path, *arguments, "--json")))

    def ask_all() -> None:
        found = asked("quote", CID_V0)  # asked for as bafy…: the same CID
        assert (found["state"], [quote["amount"] for quote in found["quotes"]]) == ("quoted", [7_004_482])
        assert [quote["live"] for quote in asked("quote", CID_V1, "--all")["quotes"]] == [False, True]
        assert "7004482 swartz (0.07004482 DOI)" in printed(command(tmp_path, "quote", CID_V1))
        assert "nobody has asked" in told(command(tmp_path, "quote", CID_V1.replace("zdi", "zdq")), 3)
        assert "is not a CID" in told(command(tmp_path, "quote", "bafy"), 2)

        pins = asked("pins")
        assert [(pin["name"], pin["state"], pin["paid"]) for pin in pins["pins"]] == [("art/\\xff", "owed", 0)]
        strays = [(payment["txid"], payment["cid"]) for payment in pins["unassigned"]]
        assert strays == [("bb" * 32, None), *((f"{number:064x}", CID_V1) for number in range(30))]
        listed = printed(command(tmp_path, "pins")).splitlines()
        assert f"unassigned  1 swartz in {0:064x}, for {CID_V1}, which nobody was quoted" in listed
        assert listed[-1] == "unassigned  11 swartz in 11 more: see --json"
        assert asked("pins", "--state", "pinned")["pins"] == []
        assert "content is gone" in printed(command(tmp_path, "pins"))

    await trio.to_thread.run_sync(ask_all)


async def keep_a_story(url: str) -> None:
    """A quoted request with a lapsed and a live quote, an owed pin, money that names no CID, and dust."""
    now, root = datetime.now(UTC), parse_cid(CID_V1).key
    later = now + timedelta(seconds=1)
    sizes = Sizes(1_152, 1_236_168, 1_237_320)

    def quote(name: str, amount: int, issued: datetime) -> Quote:
        return Quote(
            name, root, CID_V1, 8, Swartz(amount), 1, "", sizes, 7, issued, issued + timedelta(hours=24), ADDRESS,
            Script(b"\x51"), "doichain-regtest",
        )  # fmt: skip

    change = Change(
        requests=(Request(root, State.QUOTED, now, sizes=sizes, blocks=7),),
        pins=(Pin(root, NameBytes(b"art/\xff"), CID_V1, State.OWED, now, reason="content is gone"),),
        quotes=(quote("old", 5_000_000, now - timedelta(days=2)), quote("new", 7_004_482, now)),
        payments=(
            Payment(
                Txid("aa" * 32), root, CID_V1, NameBytes(b"art/\xff"), (PaidOutput(1, Swartz(7_004_482)),), now, None
            ),
            Payment(Txid("bb" * 32), Root(b""), "", NameBytes(b""), (PaidOutput(0, Swartz(5)),), now, None),
            *(
                Payment(
                    Txid(f"{number:064x}"),
                    root,
                    CID_V1,
                    NameBytes(b"dust/%d" % number),
                    (PaidOutput(0, Swartz(1)),),
                    later,
                    None,
                )
                for number in range(30)
            ),
        ),
    )
    database = Database(url)
    try:
        assert await SqlBooks(database).commit(change)
    finally:
        await database.close()


def test_the_states_that_can_be_asked_for_are_those_of_pins() -> None:
    requests = {state.value for state in REQUEST_HOLDS} | {"stalled", "refused", "lapsed"}
    assert set(STATES) == {state.value for state in State} - requests


# ---------------------------------------------------------------- run


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[tuple[Worker, Path, int]]:
    port = free_port()
    async with open_worker(tmp_path / "first", settings(port)) as running:
        yield running, tmp_path, port


async def test_a_second_run_is_refused_and_readers_are_not(worker: tuple[Worker, Path, int]) -> None:
    running, folder, port = worker

    def beside_it() -> None:
        text = told(last_line(command(folder / "first", "run")), 75)
        assert text.startswith(
            f"another worker (pid {running.process.pid}) runs on {folder}/first/data: stop it, or let"
        )
        printed(command(folder / "second", "migrate"))
        busy = last_line(command(folder / "second", "run", PINNING_LISTEN=f"/ip4/127.0.0.1/tcp/{port}"))
        assert f"cannot listen on /ip4/127.0.0.1/tcp/{port}: Address already in use" in told(busy, 69)
        assert "no pins yet" in command(folder / "first", "pins").stderr
        assert "already at revision" in printed(command(folder / "first", "migrate"))

    await trio.to_thread.run_sync(beside_it)
    assert await running.stop() == 0


def last_line(ended: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """What was logged before is not the refusal."""
    assert "Traceback" not in ended.stderr
    ended.stderr = ended.stderr.strip().splitlines()[-1]
    return ended


async def test_one_line_is_logged_when_it_is_ready(worker: tuple[Worker, Path, int]) -> None:
    running, folder, port = worker
    (line,) = [json.loads(line) for line in running.log if '"ready"' in line]
    peer = peer_id_of(load_key(folder / "first" / "data" / "identity.key"))
    assert line["peer"] == peer
    assert line["addresses"] == [f"/ip4/127.0.0.1/tcp/{port}{ws}/p2p/{peer}" for ws in ("", "/ws")]


async def test_systemd_hears_how_it_goes(tmp_path: Path) -> None:
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        await systemd.bind(str(tmp_path / "notify"))
        # Seldom enough: a socket that nobody reads for a while takes ten messages, and what comes then is lost.
        told_to = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "10000000"}
        heard: list[bytes] = []

        async def until(wanted: bytes) -> None:
            with trio.fail_after(60):
                while not (heard and wanted in heard[-1]):
                    heard.append(await systemd.recv(4096))

        async with open_worker(tmp_path / "worker", settings(free_port()) | told_to) as running:
            await until(b"READY=1\nSTATUS=has not seen the chain yet, sells nothing (" + running.peer_id.encode())
            await until(b"STATUS=cannot see the chain, sells nothing: ")
            await until(b"WATCHDOG=1")
            assert await running.stop() == 0
            await until(b"STOPPING=1")


# ---------------------------------------------------------------- sandbox


def test_a_sandbox_is_regtest_only(tmp_path: Path) -> None:
    text = told(command(tmp_path, "sandbox", PINNING_NETWORK="doichain"), 78)
    assert text == "PINNING_NETWORK is doichain: a sandbox is doichain-regtest only"


def test_without_a_sandbox_each_says_so(tmp_path: Path) -> None:
    for order in (["mine"], ["reorg", "1"], ["move-time", "1d"], ["pay", ADDRESS, "1000", "n", CID_V0], ["info"]):
        assert "start one with `pinning-worker sandbox`" in told(command(tmp_path, "sandbox", *order), 69)


@pytest.mark.interop
async def test_a_sandbox_is_told_from_another_terminal(tmp_path: Path) -> None:
    process = await trio.lowlevel.open_process(
        [str(COMMAND), "sandbox", "--dir", str(tmp_path / "box")],
        stdout=subprocess.PIPE,
        env=worker_environment(tmp_path, {}),
    )
    assert process.stdout is not None
    try:
        lines = b""
        with trio.fail_after(60):
            while b"PINNING_CLOCK_OFFSET_FILE=" not in lines:
                lines += await process.stdout.receive_some()
        (tmp_path / ".env").write_bytes(lines)
        await trio.to_thread.run_sync(use_the_sandbox, tmp_path)
        process.terminate()
        with trio.fail_after(20):
            assert await process.wait() == 0
    finally:
        process.kill()
        await process.wait()
        await process.stdout.aclose()


def use_the_sandbox(folder: Path) -> None:
    def order(*arguments: str) -> Any:
        return json.loads(printed(command(folder, "sandbox", "--dir", str(folder / "box"), *arguments, "--json")))

    unset = {"PINNING_NETWORK": "", "PINNING_ELECTRUM_SERVERS": "", "PINNING_PAYMENT_ADDRESS": ""}
    assert json.loads(printed(command(folder, "check-config", "--json", **unset)))["ok"]  # what it printed is a .env
    before = order("info")
    txid = order("pay", before["address"], "7004482", "art/1", CID_V1)["txid"]
    assert re.fullmatch("[0-9a-f]{64}", txid)
    assert len(order("mine", "3")["blocks"]) == 3
    assert len(order("reorg", "2")["blocks"]) == 3
    assert order("move-time", "30d") == {"clockOffset": 30 * 86_400}
    after = order("info")
    assert after["height"] == before["height"] + 3 + 1 + 6
    assert Path(after["clockOffsetFile"]).read_text().strip() == str(30 * 86_400)
    printed(command(folder, "migrate", **unset))
    moved = printed(command(folder, "pins", "--json", **unset))
    assert json.loads(moved) == {"pins": [], "unassigned": []}  # nothing logged (the moved clock) gets in between
    refused = command(folder, "sandbox", "--dir", str(folder / "box"), "pay", "mainnet", "1", "n", CID_V1)
    assert "not an address" in told(refused, 65)


def test_what_is_logged_while_retry_reads_is_no_part_of_its_output(tmp_path: Path) -> None:
    """Catches: crashes.not_read on standard output, which is for data."""
    printed(command(tmp_path, "keygen"))
    (tmp_path / "data" / "crashes.json").write_text("{bad")
    assert "crashes.not_read" in told(command(tmp_path, "retry", CID_V0), 3)
