"""`peers export` and `import` as commands, between two workers that then find each other in their private network."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from pinning_worker.adapters.p2p.host.identity import new_key, peer_id_of
from pinning_worker.domain.swarm_key import encode_swarm_key
from tests.adapters.test_cli import command, piped, printed, settings, told
from tests.interop.worker import free_port, open_worker

pytestmark = pytest.mark.slow  # it starts the command, again and again

KEY = bytes(range(32))
OTHER = f"/ip4/192.0.2.7/tcp/4001/p2p/{peer_id_of(new_key())}"


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text("correct horse battery staple\n")
    return path


def made(folder: Path, swarm_key: bytes | None = None) -> Path:
    """The folder of a worker that has a key, and perhaps a private network."""
    folder.mkdir()
    printed(command(folder, "keygen"))
    if swarm_key is not None:
        (folder / "data/swarm.key").write_bytes(encode_swarm_key(swarm_key))
    return folder


async def test_two_workers_in_a_private_network_by_one_line_of_text(tmp_path: Path, passphrase: Path) -> None:
    alice, bob, port = made(tmp_path / "alice", KEY), tmp_path / "bob", free_port()
    bob.mkdir()
    listen = settings(port)["PINNING_LISTEN"]
    line = printed(command(alice, "peers", "export", f"--passphrase-file={passphrase}", PINNING_LISTEN=listen))
    assert line.startswith("pinning1:")
    assert KEY.hex() not in line

    said = printed(piped(line.encode(), bob, "peers", "import", f"--passphrase-file={passphrase}"))
    assert f"added       /ip4/127.0.0.1/tcp/{port}/p2p/" in said
    assert f"swarm key   stored: {bob}/data/swarm.key" in said
    assert stat.S_IMODE((bob / "data/swarm.key").stat().st_mode) == 0o600
    assert (bob / "data/swarm.key").read_bytes() == encode_swarm_key(KEY)

    again = printed(piped(line.encode(), bob, "peers", "import", f"--passphrase-file={passphrase}", "--json"))
    assert json.loads(again)["added"] == []
    assert json.loads(again)["swarm_key"] == "the same is there"

    async with open_worker(alice, settings(port)) as a, open_worker(bob, settings(free_port())) as b:
        await a.logged("private_network")
        assert f"/tcp/{port}" in await b.logged("bootstrap.connected")


def test_plain_multiaddrs_by_hand(tmp_path: Path) -> None:
    alice, bob = made(tmp_path / "alice"), made(tmp_path / "bob")
    plain = printed(command(alice, "peers", "export", "--plain", PINNING_ANNOUNCE="/dns4/pin.example.org/tcp/443/wss"))
    assert plain.startswith("/dns4/pin.example.org/tcp/443/wss/p2p/12D3KooW")
    printed(command(bob, "peers", "import", *plain.split(), OTHER))
    lines = (bob / "data/bootstrap.peers").read_text().splitlines()
    assert lines[1:] == [*plain.split(), OTHER]
    assert not (bob / "data/swarm.key").exists()


def test_another_swarm_key_is_never_overwritten(tmp_path: Path, passphrase: Path) -> None:
    option = f"--passphrase-file={passphrase}"
    alice, bob = made(tmp_path / "alice", KEY), made(tmp_path / "bob", bytes(32))
    line = printed(command(alice, "peers", "export", option)).strip()
    assert "is in another private network" in told(command(bob, "peers", "import", line, option), 78)
    assert (bob / "data/swarm.key").read_bytes() == encode_swarm_key(bytes(32))
    assert not (bob / "data/bootstrap.peers").exists()
    (alice / "data/swarm.key").unlink()
    open_line = printed(command(alice, "peers", "export", option)).strip()
    assert "is in the open network" in told(command(bob, "peers", "import", open_line, option), 78)


def test_what_is_refused_and_how(tmp_path: Path, passphrase: Path) -> None:
    option = f"--passphrase-file={passphrase}"
    alice = made(tmp_path / "alice")
    line = printed(command(alice, "peers", "export", option)).strip()
    bob = tmp_path / "bob"
    bob.mkdir()
    assert "this worker's own address" in told(command(alice, "peers", "import", line, option), 78)
    assert "damaged" in told(command(bob, "peers", "import", line[:-3]), 78)  # before the passphrase is asked for
    assert "no terminal" in told(command(bob, "peers", "import", line), 2)
    passphrase.write_text("something else\n")
    assert "does not open it" in told(command(bob, "peers", "import", line, option), 78)
    assert "does not end in /p2p/" in told(command(bob, "peers", "import", "/ip4/192.0.2.7/tcp/1"), 78)
    assert "nothing to import" in told(command(bob, "peers", "import"), 2)
    assert "`pinning-worker keygen` makes one" in told(command(bob, "peers", "export", "--plain"), 78)
    assert not (bob / "data").exists()


def test_a_line_that_somebody_spoilt_is_named(tmp_path: Path) -> None:
    bob = made(tmp_path / "bob")
    (bob / "data/bootstrap.peers").write_text("# mine\n/ip4/192.0.2.7/tcp/4001\n")
    said = told(command(bob, "check-config"), 78)
    assert f"PINNING_BOOTSTRAP is completed by {bob}/data/bootstrap.peers, which has /ip4/192.0.2.7/tcp/4001" in said
