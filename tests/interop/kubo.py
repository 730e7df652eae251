"""A real Kubo node on loopback, closed, as a trio context manager: `async with open_kubo(folder) as kubo:`.

Nothing of it leaves the machine: no bootstrap, routing, discovery, relays, gateways of others, or telemetry. Commands
are the `ipfs` program's own, against the daemon. Both the daemon and the subscription are ended by their pids, always.

Kubo knows all addresses that a peer has told it: to see a transport used, look at `transport_to`.
The binary comes from Kubo's Go module (tests/interop/kubo/go.mod, `make kubo`); `needs_kubo` skips without it and says
how to get it; in CI every skip is a failure.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Any

import pytest
import trio

from pinning_worker.domain.identities import NO_PEER, PeerId
from pinning_worker.domain.swarm_key import encode_swarm_key
from pinning_worker.ungroup import one_error
from tests.interop.helia import CONTENT_TOPIC, LOCAL_TCP, Heard
from tests.interop.worker import free_port

BINARY = Path(__file__).resolve().parents[2] / ".tools/kubo/ipfs"
HOW_TO_GET_IT = "no Kubo in .tools/kubo: run `make kubo` (Go 1.26, a few minutes, once)"
COMMAND_SECONDS = 60
READY_SECONDS = 60

needs_kubo = pytest.mark.skipif(not BINARY.exists(), reason=HOW_TO_GET_IT)


class KuboError(Exception):
    """Kubo refused a command, ended, or did not do a thing in time. The text carries what it wrote."""


@dataclass
class Kubo:
    """One running node. Made by `open_kubo` only."""

    environment: Mapping[str, str]
    inside: Sequence[str] = ()
    pid: int = 0
    peer_id: PeerId = NO_PEER
    addrs: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    heard_all: list[Heard] = field(default_factory=list)
    _taken: int = 0
    _news: trio.Event = field(default_factory=trio.Event)

    # --- who is there

    async def connect(self, address: str) -> None:
        """Raises KuboError."""
        await self.ipfs("swarm", "connect", address)

    async def disconnect(self, peer: str) -> None:
        await self.ipfs("swarm", "disconnect", f"/p2p/{peer}")

    async def peers(self) -> list[str]:
        """The addresses of those with an open connection, each ending in its peer id."""
        return (await self.ipfs("swarm", "peers")).split()

    async def transport_to(self, peer: str) -> str:
        """tcp or ws."""
        address = next(address for address in await self.peers() if address.endswith(peer))
        return "ws" if "/ws" in address else "tcp"

    @property
    def fingerprint(self) -> str:
        """Of the private network, as Kubo prints it at its start."""
        line = next(line for line in self.log if "key fingerprint" in line)
        return line.split()[-1]

    # --- gossip

    async def until_subscribed(self, peer: str, topic: str = CONTENT_TOPIC) -> None:
        """Until Kubo knows that this peer listens to the topic: only then does a message reach it."""
        await self.until(lambda listening: peer in listening.split(), "pubsub", "peers", topic)

    async def publish(self, text: str, topic: str = CONTENT_TOPIC) -> None:
        await self.ipfs("pubsub", "pub", topic, stdin=text.encode())

    async def heard(self, fits: Callable[[Heard], bool], deadline: float = 60) -> Heard:
        """The next message that fits, after the last that was taken; waits for it. Raises KuboError."""
        with trio.move_on_after(deadline):
            while True:
                for number in range(self._taken, len(self.heard_all)):
                    if fits(self.heard_all[number]):
                        self._taken = number + 1
                        return self.heard_all[number]
                await self._news.wait()
        instead = "\n".join(f"  {m.sender[-6:]}: {m.text[:200]}" for m in self.heard_all) or "  nothing"
        raise KuboError(f"not heard within {deadline} s. Heard instead:\n{instead}\n{self._end_of_log()}")

    # --- content

    async def add(self, data: bytes, chunk_size: int = 1 << 20) -> str:
        """A file of raw leaves; returns its CIDv1."""
        options = ("--cid-version=1", f"--chunker=size-{chunk_size}", "--quieter")
        return (await self.ipfs("add", *options, stdin=data)).strip()

    async def cat(self, cid: str, deadline: float = COMMAND_SECONDS) -> bytes:
        """From whoever is connected and has it."""
        return await self._run(("cat", cid), b"", deadline)

    async def has(self, cid: str) -> bool:
        return cid in (await self.ipfs("refs", "local")).split()

    async def forget(self, cid: str) -> None:
        """Its blocks are gone from the node's store."""
        await self.ipfs("pin", "rm", cid)
        await self.ipfs("repo", "gc", "--quiet")

    # --- the wire

    async def ipfs(self, *arguments: str, stdin: bytes = b"") -> str:
        """What an `ipfs` command prints. Raises KuboError."""
        return (await self._run(arguments, stdin, COMMAND_SECONDS)).decode()

    async def _run(self, arguments: tuple[str, ...], stdin: bytes, deadline: float) -> bytes:
        with trio.move_on_after(deadline):
            ended = await trio.run_process(
                [*self.inside, str(BINARY), *arguments],
                stdin=stdin,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env=dict(self.environment),
            )
            if ended.returncode != 0:
                raise KuboError(f"ipfs {' '.join(arguments)}: {ended.stderr.decode()}")
            return bytes(ended.stdout)
        raise KuboError(f"ipfs {' '.join(arguments)}: not done within {deadline} s\n{self._end_of_log()}")

    async def until(self, fits: Callable[[str], bool], *arguments: str) -> None:
        """Until what this command prints fits."""
        with trio.fail_after(COMMAND_SECONDS):
            while not fits(await self.ipfs(*arguments)):  # noqa: ASYNC110  Kubo tells nobody when this changes
                await trio.sleep(0.05)

    async def _read_log(self, stream: trio.abc.ReceiveStream) -> None:
        async for line in _lines(stream):
            self.log.append(line)
            self._ring()

    async def _until_ready(self) -> None:
        with trio.move_on_after(READY_SECONDS):
            while "Daemon is ready" not in self.log:
                await self._news.wait()
            told = json.loads(await self.ipfs("id"))
            self.peer_id, self.addrs = told["ID"], told["Addresses"]
            return
        raise KuboError(f"not ready within {READY_SECONDS} s\n{self._end_of_log()}")

    async def _listen(self, stream: trio.abc.ReceiveStream, topic: str) -> None:
        async for line in _lines(stream):
            told = json.loads(line)
            text = _from_multibase(told["data"]).decode(errors="replace")
            self.heard_all.append(Heard(topic, told["from"], text, 0))
            self._ring()

    def _ring(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def _end_of_log(self) -> str:
        return "Kubo's log: " + "\n".join(self.log[-30:])


@asynccontextmanager
async def open_kubo(
    folder: Path,
    over: str = "tcp",
    *,
    swarm_key: bytes | None = None,
    topic: str = CONTENT_TOPIC,
    inside: Sequence[str] = (),
    mdns_at: str | None = None,
    dht: bool = False,
    relay: bool = False,
) -> AsyncIterator[Kubo]:
    """A node with its repository in `folder`, subscribed to `topic`, listening over tcp or ws; gone after the block.

    `inside`: the command that runs a command in a network namespace (namespaces.py). `mdns_at`: mDNS is on, and it
    listens at this multiaddr instead. `dht`: it is a server of the DHT that nodes with private addresses have among
    themselves, those of the loopback included. `relay`: its relay service runs, with the limits it has by default.
    """
    await trio.Path(folder).mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "IPFS_PATH": str(folder / "ipfs"),
        "IPFS_TELEMETRY": "off",
        "LIBP2P_TCP_MUX": "false",  # shared ports know no nonce of a private network
    }
    kubo = Kubo(environment, inside)
    await kubo.ipfs("init", "--profile=test", "--empty-repo")
    listen = LOCAL_TCP if over == "tcp" else f"/ip4/127.0.0.1/tcp/{free_port()}/ws"
    _configure(folder / "ipfs/config", mdns_at or listen, mdns=mdns_at is not None, dht=dht)
    if relay:
        _be_a_relay(folder / "ipfs/config")
    if swarm_key is not None:
        (folder / "ipfs/swarm.key").write_bytes(encode_swarm_key(swarm_key))
    with one_error():
        async with trio.open_nursery() as nursery:
            daemon = await _process(kubo, "daemon", stderr=STDOUT)
            kubo.pid = daemon.pid
            try:
                nursery.start_soon(kubo._read_log, daemon.stdout)
                await kubo._until_ready()
                ear = await _process(kubo, "pubsub", "sub", "--enc=json", topic, stderr=DEVNULL)
                try:
                    nursery.start_soon(kubo._listen, ear.stdout, topic)
                    await kubo.until(lambda topics: topic in topics.split(), "pubsub", "ls")
                    yield kubo
                finally:
                    await _end(ear)
            finally:
                await _end(daemon)
                nursery.cancel_scope.cancel()


def _configure(path: Path, listen: str, *, mdns: bool, dht: bool) -> None:
    config = json.loads(path.read_text("utf-8"))
    closed: dict[str, Any] = {
        "AutoConf": {"Enabled": False},
        "AutoNAT": {"ServiceMode": "disabled"},
        "AutoTLS": {"Enabled": False},
        "Bootstrap": [],
        "DNS": {"Resolvers": {}},
        "Discovery": {"MDNS": {"Enabled": mdns}},
        "Ipns": {"DelegatedPublishers": []},
        "Plugins": {"Plugins": {"telemetry": {"Disabled": True}}},
        "Pubsub": {"Enabled": True},
        "Routing": {
            "Type": "dht" if dht else "none",
            "LoopbackAddressesOnLanDHT": dht,
            "DelegatedRouters": [],
        },
        "Swarm": {"DisableNatPortMap": True, "RelayClient": {"Enabled": False}},
        "Addresses": {"Swarm": [listen], "API": LOCAL_TCP, "Gateway": LOCAL_TCP},
    }
    for name, value in closed.items():
        config[name] = {**config.get(name, {}), **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(config), "utf-8")


def _be_a_relay(path: Path) -> None:
    """As a node does that others have found to be reachable; here nobody would tell it."""
    config = json.loads(path.read_text("utf-8"))
    config["Internal"] = {**config.get("Internal", {}), "Libp2pForceReachability": "public"}
    config["Swarm"]["RelayService"] = {"Enabled": True}
    path.write_text(json.dumps(config), "utf-8")


async def _process(kubo: Kubo, *arguments: str, stderr: int) -> trio.Process:
    return await trio.lowlevel.open_process(
        [*kubo.inside, str(BINARY), *arguments], stdin=DEVNULL, stdout=PIPE, stderr=stderr, env=kubo.environment
    )


async def _end(process: trio.Process) -> None:
    with trio.CancelScope(shield=True):
        process.kill()
        await process.wait()


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    rest = b""
    async for chunk in stream:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")


def _from_multibase(text: str) -> bytes:
    """Kubo writes base64url without padding, marked by a u."""
    assert text[0] == "u", text
    return base64.urlsafe_b64decode(text[1:] + "=" * (-len(text[1:]) % 4))
