"""A real Helia peer in Node, as a trio context manager: `async with open_helia() as peer:`.

The other end of `node/peer.mjs`, which speaks JSON lines: a command has an id and gets one answer; a pubsub message
arrives as an event whenever it happens. Every wait has a deadline. When the peer answers with an error, dies, or is
still deaf at the deadline, the exception shows what Node wrote to stderr. The process is ended by its pid, always.

Messages heard are kept in order. `heard()` takes the first one that fits and removes it, so the same question asked
twice finds the next one; `transcript` keeps them all.
"""

import base64
import json
import math
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from subprocess import PIPE
from typing import Any

import psutil
import trio

from pinning_worker.domain.identities import NO_PEER, PeerId
from pinning_worker.domain.swarm_key import encode_swarm_key
from pinning_worker.ungroup import one_error
from tests.interop.node_binary import HOW_TO_GET_IT, NODE_PROJECT, node_binary

CONTENT_TOPIC = "/doichain-nfc/1/message/proto"
KIB, MIB = 1024, 1024 * 1024
MESSAGES_KEPT = 10_000
LOCAL_TCP = "/ip4/127.0.0.1/tcp/0"
LOCAL_WS = "/ip4/127.0.0.1/tcp/0/ws"


class HeliaError(Exception):
    """A Helia peer refused a command, died, or did not answer in time. The text carries its stderr."""


@dataclass(frozen=True)
class Added:
    """A file in the peer's store. `bytes`: of the file; `dag_bytes`: of its unique blocks (what is paid for)."""

    cid: str
    bytes: int
    blocks: int
    dag_bytes: int
    sha256: str


@dataclass(frozen=True)
class Read:
    """A file read by the peer: how much, its hash, and milliseconds from the question to the last byte."""

    bytes: int
    sha256: str
    ms: float


@dataclass(frozen=True)
class Connection:
    """An open connection of the peer. `limited`: through a relay that told a Limit; no bitswap goes over it."""

    peer_id: PeerId
    addr: str
    limited: bool


@dataclass(frozen=True)
class Heard:
    """A pubsub message. `sender` is the signing peer's id; `ms` the peer's clock, milliseconds since 1970."""

    topic: str
    sender: str
    text: str
    ms: float

    @property
    def json(self) -> Any:
        """The text as JSON, or None when it is not."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    def says(self, status: str, cid: str | None = None) -> bool:
        """Is this an answer with that status (and about that CID)?"""
        said = self.json
        return isinstance(said, dict) and said.get("status") == status and cid in (None, said.get("cid"))


class Helia:
    """One running peer. Made by `open_helia` only."""

    def __init__(self, process: trio.Process) -> None:
        self.peer_id = NO_PEER
        self.addrs: list[str] = []
        self.transcript: deque[Heard] = deque(maxlen=MESSAGES_KEPT)
        self._process = process
        self._unheard: deque[Heard] = deque(maxlen=MESSAGES_KEPT)
        self._answers: dict[int, dict[str, Any]] = {}
        self._stderr = bytearray()
        self._ended = False
        self._news = trio.Event()
        self._last_id = 0
        self._writing = trio.Lock()

    @asynccontextmanager
    async def standing_still(self) -> AsyncIterator[None]:
        """Its process does nothing while the block lasts, as a browser whose page computes; its sockets stay open."""
        self._process.send_signal(SIGSTOP)
        try:
            with trio.fail_after(20):
                while psutil.Process(self._process.pid).status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110  the system tells nobody
                    await trio.sleep(0.01)
            yield
        finally:
            self._process.send_signal(SIGCONT)

    # --- who is there

    @property
    def tcp_addr(self) -> str:
        return next(addr for addr in self.addrs if "/ws/" not in addr)

    @property
    def ws_addr(self) -> str:
        return next(addr for addr in self.addrs if "/ws/" in addr)

    async def dial(self, addr: str, deadline: float = 30) -> str:
        """Connect to a multiaddr; returns the remote peer's id."""
        answer = await self._ask("dial", deadline, addr=addr)
        return str(answer["peerId"])

    async def hangup(self, peer_id: str, deadline: float = 30) -> None:
        await self._ask("hangup", deadline, peerId=peer_id)

    async def peers(self) -> list[str]:
        """Ids of the peers with an open connection."""
        return [peer["peerId"] for peer in await self._ask("peers", 30)]

    async def addresses(self) -> list[str]:
        """Where it says it can be reached now; a place at a relay comes after the start."""
        return list(await self._ask("addresses", 30))

    async def connections(self) -> list[Connection]:
        """One for each open connection."""
        return [Connection(each["peerId"], each["addr"], each["limited"]) for each in await self._ask("peers", 30)]

    # --- gossip

    async def subscribe(self, topic: str = CONTENT_TOPIC) -> None:
        await self._ask("subscribe", 30, topic=topic)

    async def wait_mesh(
        self, topic: str = CONTENT_TOPIC, peer_id: str | None = None, deadline: float = 60
    ) -> list[str]:
        """Until the mesh of a topic holds a peer (that one, if named): only then does a message reach anybody."""
        answer = await self._ask("waitMesh", deadline, topic=topic, peerId=peer_id)
        return list(answer["peers"])

    async def publish(self, text: str | bytes, topic: str = CONTENT_TOPIC) -> list[str]:
        """Publish a signed message; returns the ids of the peers it was handed to."""
        if isinstance(text, bytes):
            answer = await self._ask("publish", 30, topic=topic, base64=_base64(text))
        else:
            answer = await self._ask("publish", 30, topic=topic, text=text)
        return list(answer["recipients"])

    async def heard(
        self, predicate: Callable[[Heard], bool], topic: str = CONTENT_TOPIC, deadline: float = 60
    ) -> Heard:
        """The first message not yet taken that fits; waits for it.

        Raises:
            HeliaError: none came by the deadline; the text lists what was heard instead.
        """
        with trio.move_on_after(deadline):
            while True:
                for message in self._unheard:
                    if message.topic == topic and predicate(message):
                        self._unheard.remove(message)
                        return message
                await self._wait_for_news()
        instead = "\n".join(f"  {m.sender[-6:]}: {m.text[:300]}" for m in self.transcript) or "  nothing"
        raise HeliaError(f"not heard within {deadline} s. Heard instead:\n{instead}\n{self.stderr_text()}")

    def heard_so_far(self, predicate: Callable[[Heard], bool]) -> list[Heard]:
        """Every message heard since the start that fits, taken or not."""
        return [message for message in self.transcript if predicate(message)]

    # --- a protocol of the test's own

    async def send(self, peer_id: str, protocol: str, size: int, deadline: float = 60) -> None:
        """So many bytes on a new stream, each run of 64 KiB of its number (one byte); then its end."""
        await self._ask("send", deadline, peerId=peer_id, protocol=protocol, size=size)

    # --- the DHT

    async def provide(self, cid: str, deadline: float = 30) -> None:
        """Tells the DHT that it has this."""
        await self._ask("provide", deadline, cid=cid)

    async def find_provider(self, cid: str, deadline: float = 30) -> tuple[str, list[str]]:
        """The first provider that the DHT names: its id, and where. Raises HeliaError."""
        answer = await self._ask("findProvider", deadline, cid=cid)
        return answer["peerId"], answer["addrs"]

    # --- content

    async def add_file(
        self,
        size: int = 0,
        seed: int | str = 0,
        *,
        data: bytes | None = None,
        chunk_size: int = MIB,
        raw_leaves: bool = True,
        cid_version: int = 1,
        deadline: float = 60,
    ) -> Added:
        """Add made-up content of `size` bytes (the same seed gives the same CID), or `data` as it is."""
        what = {"size": size, "seed": seed} if data is None else {"base64": _base64(data)}
        answer = await self._ask(
            "addFile", deadline, chunkSize=chunk_size, rawLeaves=raw_leaves, cidVersion=cid_version, **what
        )
        return _added(answer)

    async def add_metadata(self, name: str, image: str | None = None, **fields: Any) -> Added:
        """Add a `metadata.json` as the browser writes it; `image` is a CID and becomes `ipfs://<cid>`."""
        told: dict[str, Any] = {"name": name, "description": f"{name}, described", **fields}
        if image is not None:
            told["image"] = f"ipfs://{image}"
        return _added(await self._ask("addMetadata", 30, fields=told))

    async def put_block(self, block: bytes, codec: int) -> str:
        """Put bytes under any multicodec number; returns the CIDv1."""
        return str((await self._ask("putBlock", 30, base64=_base64(block), codec=codec))["cid"])

    async def get_block(self, cid: str, deadline: float = 30) -> bytes:
        """One block under any codec, from whoever is connected and has it."""
        return base64.b64decode((await self._ask("getBlock", deadline, cid=cid))["base64"])

    async def has(self, cid: str) -> bool:
        """Is this block in the peer's own store?"""
        return bool((await self._ask("has", 30, cid=cid))["has"])

    async def cat(
        self, cid: str, *, path: str | None = None, offset: int = 0, length: int | None = None, deadline: float = 60
    ) -> Read:
        """Read a file, or the one at `path` of a directory, its blocks from whoever is connected and has them."""
        answer = await self._ask("cat", deadline, cid=cid, path=path, offset=offset, length=length)
        return Read(answer["bytes"], answer["sha256"], answer["ms"])

    async def forget(self) -> int:
        """Delete every block from the peer's store; returns how many there were."""
        return int((await self._ask("forget", 30))["blocks"])

    async def stop(self, deadline: float = 30) -> None:
        """Close all connections and end the process, as a user who leaves."""
        await self._ask("stop", deadline)
        with trio.fail_after(deadline):
            await self._process.wait()

    # --- the wire

    async def _ask(self, command: str, deadline: float, **options: Any) -> Any:
        self._last_id += 1
        asked = self._last_id
        told = {key: value for key, value in options.items() if value is not None}
        line = json.dumps({"id": asked, "do": command, "deadlineMs": math.ceil(deadline * 1000), **told})
        assert self._process.stdin is not None
        with trio.move_on_after(deadline + 2):  # the peer's own deadline comes first, and says more
            try:
                async with self._writing:
                    await self._process.stdin.send_all(line.encode() + b"\n")
            except (trio.BrokenResourceError, trio.ClosedResourceError) as gone:
                raise HeliaError(f"{command}: the peer is gone\n{self.stderr_text()}") from gone
            while asked not in self._answers:
                if self._ended:
                    raise HeliaError(f"{command}: the peer ended without an answer\n{self.stderr_text()}")
                await self._wait_for_news()
            answer = self._answers.pop(asked)
            if "error" in answer:
                raise HeliaError(f"{command}: {answer['error']}\n{self.stderr_text()}")
            return answer["ok"]
        raise HeliaError(f"{command}: no answer within {deadline} s\n{self.stderr_text()}")

    async def _wait_for_news(self) -> None:
        if self._ended:
            raise HeliaError(f"the peer has ended\n{self.stderr_text()}")
        await self._news.wait()

    async def _read_lines(self) -> None:
        assert self._process.stdout is not None
        rest = b""
        async for chunk in self._process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
        self._ended = True
        self._ring()

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        async for chunk in self._process.stderr:
            self._stderr += chunk
            del self._stderr[:-20_000]

    def _take(self, line: dict[str, Any]) -> None:
        if line.get("event") == "message":
            message = Heard(line["topic"], line["from"], line["text"], line["ms"])
            self.transcript.append(message)
            self._unheard.append(message)
        else:
            self._answers[line["id"]] = line
        self._ring()

    def _ring(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def stderr_text(self) -> str:
        """What Node wrote there, its end: errors, among them those of js-libp2p's gossipsub."""
        return f"Node's stderr: {self._stderr.decode(errors='replace').strip() or '(empty)'}"


@asynccontextmanager
async def open_helia(
    listen: Sequence[str] = (LOCAL_TCP, LOCAL_WS),
    *,
    seed: bytes | None = None,
    private_key: bytes | None = None,
    blockstore: Path | None = None,
    discovery: str | None = None,
    mdns: bool = False,
    inside: Sequence[str] = (),
    direct_peers: Sequence[str] = (),
    dht: bool = False,
    swarm_key: bytes | None = None,
    fast_websocket: bool = False,
    topic: str | None = CONTENT_TOPIC,
    trusted: Path | None = None,
    relay: bool = False,
    ping_patience: float | None = None,
) -> AsyncIterator[Helia]:
    """Start a peer; it is subscribed to `topic` unless that is None, and gone when the block ends.

    Args:
        listen: multiaddrs; an empty one makes a peer that only dials, as a browser does.
        seed: 32 bytes that fix the peer id. `private_key`: a libp2p PrivateKey protobuf instead.
        blockstore: a folder for the blocks; in memory when None.
        discovery: the topic of pubsub peer discovery, if it shall run. `mdns`: it dials whom it finds so.
        inside: the command that runs a command in a network namespace (namespaces.py).
        direct_peers: multiaddrs with peer ids, as js-libp2p's gossipsub has them.
        relay: its circuit relay service runs, with the limits that it has by default.
        dht: it is a server of the DHT.
        ping_patience: seconds after which it hangs up when a ping is not answered; js-libp2p's own five when None.
        trusted: a PEM file of certificates that it trusts besides the machine's, for wss.
        swarm_key: 32 bytes, for a private network.
        fast_websocket: for benches, see node/fast-websocket.mjs.
    """
    preload = ["--import", "./fast-websocket.mjs"] if fast_websocket else []
    node = node_binary()
    if node is None:
        raise HeliaError(HOW_TO_GET_IT)
    command = [*inside, str(node), *preload, "peer.mjs"]
    told = {"DEBUG": "libp2p:gossipsub:error"} | ({"NODE_EXTRA_CA_CERTS": str(trusted)} if trusted else {})
    process = await trio.lowlevel.open_process(
        command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=NODE_PROJECT, env={**os.environ, **told}
    )
    peer = Helia(process)
    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer._read_lines)
            nursery.start_soon(peer._read_stderr)
            try:
                started = await peer._ask(
                    "start",
                    60,
                    listen=list(listen),
                    seed=seed and seed.hex(),
                    privateKey=private_key and private_key.hex(),
                    blockstore=blockstore and str(blockstore),
                    discovery=discovery,
                    local=mdns,
                    directPeers=list(direct_peers),
                    relay=relay,
                    patienceMs=ping_patience and int(ping_patience * 1000),
                    dht=dht,
                    swarmKey=swarm_key and encode_swarm_key(swarm_key).decode(),
                )
                peer.peer_id, peer.addrs = started["peerId"], started["addrs"]
                if topic is not None:
                    await peer.subscribe(topic)
                yield peer
            finally:
                with trio.CancelScope(shield=True):
                    process.kill()
                    await process.wait()
                nursery.cancel_scope.cancel()


def _added(answer: dict[str, Any]) -> Added:
    return Added(answer["cid"], answer["bytes"], answer["blocks"], answer["dagBytes"], answer["sha256"])


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
