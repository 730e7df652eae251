"""`pinning-worker id`, and what `ask` needs of it: who the worker is, read from its folder, nothing made."""

from __future__ import annotations

import json
from pathlib import Path

from pinning_worker.adapters.p2p.host.identity import load_key, peer_id_of
from tests.adapters.test_cli import CID_V1, command, printed, told

LISTEN = "/ip4/127.0.0.1/tcp/4321,/ip4/127.0.0.1/tcp/4321/ws"


def test_the_peer_and_where_to_dial_it(tmp_path: Path) -> None:
    command(tmp_path, "keygen")
    peer = peer_id_of(load_key(tmp_path / "data" / "identity.key"))
    addresses = [f"/ip4/127.0.0.1/tcp/4321/p2p/{peer}", f"/ip4/127.0.0.1/tcp/4321/ws/p2p/{peer}"]
    lines = printed(command(tmp_path, "id", PINNING_LISTEN=LISTEN)).splitlines()
    assert lines == [peer, *addresses]
    shown = json.loads(printed(command(tmp_path, "id", "--json", PINNING_LISTEN=LISTEN)))
    assert shown == {"peer": peer, "addresses": addresses}


def test_what_is_announced_comes_first(tmp_path: Path) -> None:
    command(tmp_path, "keygen")
    announce = "/dns4/pin.example.org/tcp/443/tls/ws"
    lines = printed(command(tmp_path, "id", PINNING_LISTEN=LISTEN, PINNING_ANNOUNCE=announce)).splitlines()
    assert lines[1].startswith(f"{announce}/p2p/12D3")
    assert lines[2].startswith("/ip4/127.0.0.1/tcp/4321/p2p/")


def test_no_payment_address_is_needed(tmp_path: Path) -> None:
    command(tmp_path, "keygen")
    assert printed(command(tmp_path, "id", PINNING_PAYMENT_ADDRESS=""))


def test_without_a_key_it_says_what_makes_one_and_makes_nothing(tmp_path: Path) -> None:
    for arguments in (["id"], ["ask", CID_V1]):
        assert "`pinning-worker keygen` makes one" in told(command(tmp_path, *arguments), 78)
    assert list(tmp_path.iterdir()) == []


def test_who_asks_a_worker_that_does_not_run_is_told(tmp_path: Path) -> None:
    command(tmp_path, "keygen")
    ended = command(tmp_path, "ask", CID_V1)
    assert (ended.returncode, ended.stdout) == (69, "")
    assert "does the worker run, with these settings?" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_is_neither_a_file_nor_a_cid_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    for what, why in {
        "nothing.png": "there is no file nothing.png, and it is no CID",
        "empty.png": "empty.png is empty",
        ".": ". is a folder",
    }.items():
        assert why in told(command(tmp_path, "ask", what), 2)
    assert "no time is too short" in told(command(tmp_path, "ask", CID_V1, "--timeout", "0s"), 2)
