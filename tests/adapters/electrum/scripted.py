"""An Electrum server whose lines a test writes: real loopback sockets, tcp or WebSocket, and a chain of its own.

It answers honestly from its `Ledger` (blocks with real regtest work, a mempool) until a test takes a method over:

    server.answers["blockchain.transaction.get_merkle"] = lambda txid, height: {"merkle": [], "pos": 0}

`asked` counts what it was asked. `hang_up` closes its connections; `is_open = False` lets nobody in; `is_silent = True`
leaves all without an answer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

from pinning_worker.domain.chain.address import scripthash
from pinning_worker.domain.chain.headers import HEADER_SIZE, Header, parse_header
from pinning_worker.domain.chain.nameop import NAME_TX_VERSION, name_doi_script
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST, Network
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput, double_sha256, merkle_root
from pinning_worker.domain.identities import NameBytes, Script, Txid
from pinning_worker.domain.money.swartz import Swartz
from tests.mining import NOWHERE, REGTEST_GENESIS, MergeMining, merge_mine, mine

PAYEE = Script(b"\x00\x14" + b"\x0a" * 20)
ANOTHER_PAYEE = Script(b"\x00\x14" + b"\x0b" * 20)
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed)
STRANGER = Script(b"\x00\x14" + b"\x0c" * 20)


class Refusal(Exception):
    """The server answers with this error."""


def payment(number: int, amount: int = 7_004_482, script: Script = PAYEE) -> Transaction:
    """A browser's payment: a name output that names a CID, the payment, the change."""
    name_output = name_doi_script(NameBytes(b"art/%d" % number), b"ipfs://bafkreihdwdcef", STRANGER)
    outputs = (
        TxOutput(Swartz(1_000_000), name_output),
        TxOutput(Swartz(amount), script),
        TxOutput(Swartz(5), STRANGER),
    )
    return Transaction(NAME_TX_VERSION, (TxInput(Txid(f"{number:064x}"), 0),), outputs)


def coinbase(height: int, salt: int = 0) -> Transaction:
    script = height.to_bytes(4, "little") + bytes((salt,))
    return Transaction(1, (TxInput(NOWHERE, 0xFFFFFFFF, script),), (TxOutput(Swartz(50), Script(b"\x51")),))


@dataclass
class Block:
    data: bytes  # header and AuxPow
    transactions: list[Transaction]

    @property
    def header(self) -> Header:
        return parse_header(self.data[:HEADER_SIZE])

    @property
    def txids(self) -> list[Txid]:
        return [transaction.txid for transaction in self.transactions]

    @property
    def hash(self) -> str:
        return self.header.hash[::-1].hex()


class Ledger:
    """A chain with real (regtest) work and a mempool."""

    def __init__(self, network: Network = DOICHAIN_REGTEST, genesis: Header = REGTEST_GENESIS) -> None:
        self.network = network
        self.blocks = [Block(genesis.raw, [coinbase(0)])]
        self.mempool: list[Transaction] = []

    def copy(self) -> Ledger:
        twin = Ledger(self.network)
        twin.blocks, twin.mempool = list(self.blocks), list(self.mempool)
        return twin

    def mine(
        self, *transactions: Transaction, count: int = 1, salt: int = 0, merged: bool = False, ahead: int = 0
    ) -> Block:
        """The first of `count` blocks holds these transactions. A plain one is dated `ahead` seconds later than due."""
        for at in range(count):
            held = [coinbase(len(self.blocks), salt), *(transactions if at == 0 else ())]
            root, previous = merkle_root([transaction.txid for transaction in held]), self.blocks[-1].header
            if merged:
                data = merge_mine(previous, MergeMining(network=self.network), merkle_root=root)
            else:
                time = previous.time + self.network.block_spacing + ahead
                data = mine(previous, network=self.network, merkle_root=root, time=time)
            self.blocks.append(Block(data, held))
            self.mempool = [waiting for waiting in self.mempool if waiting not in held]
        return self.blocks[-count]

    def mine_without_coinbase(self, *transactions: Transaction) -> None:
        """What no node would: a header whose merkle root is over these alone."""
        root = merkle_root([transaction.txid for transaction in transactions])
        self.blocks.append(
            Block(mine(self.blocks[-1].header, network=self.network, merkle_root=root), list(transactions))
        )

    def rewind(self, height: int) -> None:
        """Disconnects every block from that height up; its transactions are nowhere then."""
        del self.blocks[height:]

    @property
    def height(self) -> int:
        return len(self.blocks) - 1

    def history(self, hash_: str) -> list[tuple[Txid, int]]:
        mined = [
            (transaction.txid, height)
            for height, block in enumerate(self.blocks)
            for transaction in block.transactions
            if _touches(transaction, hash_)
        ]
        return mined + [(waiting.txid, 0) for waiting in self.mempool if _touches(waiting, hash_)]

    def find(self, txid: Txid) -> Transaction:
        everywhere = [*self.mempool, *(tx for block in self.blocks for tx in block.transactions)]
        for transaction in everywhere:
            if transaction.txid == txid:
                return transaction
        raise Refusal("no such transaction")


def _touches(transaction: Transaction, hash_: str) -> bool:
    return any(scripthash(output.script) == hash_ for output in transaction.outputs)


def branch_of(txids: Sequence[Txid], position: int) -> list[str]:
    level, siblings = [bytes.fromhex(txid)[::-1] for txid in txids], []
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        siblings.append(level[position ^ 1][::-1].hex())
        level = [double_sha256(level[at] + level[at + 1]) for at in range(0, len(level), 2)]
        position >>= 1
    return siblings


Send = Callable[[bytes], Any]


@dataclass
class ScriptedServer:
    """One server on one port; several may serve one ledger."""

    ledger: Ledger
    websocket: bool = False
    port: int = 0
    is_open: bool = True
    is_silent: bool = False  # hears, and answers nothing
    answers: dict[str, Callable[..., Any]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    connections: dict[Send, trio.CancelScope] = field(default_factory=dict)
    scripts: set[str] = field(default_factory=set)
    streams: list[trio.abc.Stream] = field(default_factory=list)  # under the WebSockets

    @property
    def url(self) -> str:
        return f"{'ws' if self.websocket else 'tcp'}://127.0.0.1:{self.port}"

    # --- its own will

    async def tell_tip(self) -> None:
        await self.tell("blockchain.headers.subscribe", self._tip())

    async def tell_script(self, script: Script = PAYEE) -> None:
        if scripthash(script) in self.scripts:
            await self.tell("blockchain.scripthash.subscribe", scripthash(script), self._status(scripthash(script)))

    async def tell_all(self, script: Script = PAYEE) -> None:
        """As ElectrumX after a block: the header, then the scripts that it touched."""
        await self.tell_tip()
        await self.tell_script(script)

    async def tell(self, method: str, *parameters: object) -> None:
        await self.send_raw(json.dumps({"jsonrpc": "2.0", "method": method, "params": parameters}).encode())

    async def send_raw(self, frame: bytes) -> None:
        for send in list(self.connections):
            with suppress(*_GONE):
                await send(frame)

    def hang_up(self) -> None:
        for scope in self.connections.values():
            scope.cancel()

    # --- what it answers

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        method, number = request["method"], request["id"]
        self.asked[method] += 1
        try:
            handler = self.answers.get(method) or getattr(self, "_" + method.replace(".", "_"))
            return {"jsonrpc": "2.0", "id": number, "result": handler(*request.get("params", []))}
        except Refusal as refusal:
            return {"jsonrpc": "2.0", "id": number, "error": {"code": 1, "message": str(refusal)}}

    def _server_version(self, _client: str, _protocols: list[str]) -> list[str]:
        return ["Scripted 1", "1.4.2"]

    def _server_ping(self) -> None:
        return None

    def _server_features(self) -> dict[str, Any]:
        return {"genesis_hash": self.ledger.network.genesis_hash}

    def _blockchain_headers_subscribe(self) -> dict[str, Any]:
        return self._tip()

    def _tip(self) -> dict[str, Any]:
        return {"height": self.ledger.height, "hex": self.ledger.blocks[-1].data.hex()}

    def _blockchain_block_header(self, height: int) -> str:
        return self._block(height).data.hex()

    def _block(self, height: int) -> Block:
        if not 0 <= height <= self.ledger.height:
            raise Refusal("no block at that height")
        return self.ledger.blocks[height]

    def _blockchain_block_headers(self, start: int, count: int, checkpoint: int = 0) -> dict[str, Any]:
        """Up to a checkpoint without their AuxPow."""
        blocks = self.ledger.blocks[start : start + min(count, 2016)]
        data = [block.data[:HEADER_SIZE] if checkpoint else block.data for block in blocks]
        return {"count": len(blocks), "hex": b"".join(data).hex(), "max": 2016}

    def _blockchain_scripthash_subscribe(self, hash_: str) -> str | None:
        self.scripts.add(hash_)
        return self._status(hash_)

    def _status(self, hash_: str) -> str | None:
        history = self.ledger.history(hash_)
        return double_sha256(repr(history).encode()).hex() if history else None

    def _blockchain_scripthash_get_history(self, hash_: str) -> list[dict[str, Any]]:
        return [{"tx_hash": txid, "height": height} for txid, height in self.ledger.history(hash_)]

    def _blockchain_transaction_get(self, txid: Txid) -> str:
        return self.ledger.find(txid).serialise().hex()

    def _blockchain_transaction_get_merkle(self, txid: Txid, height: int) -> dict[str, Any]:
        txids = self._block(height).txids
        if txid not in txids:
            raise Refusal("tx not in block at that height")
        position = txids.index(txid)
        return {"block_height": height, "merkle": branch_of(txids, position), "pos": position}

    def _blockchain_transaction_id_from_pos(self, height: int, position: int, merkle: bool = False) -> Any:
        txids = self._block(height).txids
        if position >= len(txids):
            raise Refusal(f"no tx at position {position} in block at height {height}")
        return {"tx_hash": txids[position], "merkle": branch_of(txids, position)} if merkle else txids[position]

    # --- its sockets

    async def serve(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        if self.websocket:
            async with trio.open_nursery() as nursery:
                server = await nursery.start(
                    partial(serve_websocket, self._serve_websocket, "127.0.0.1", self.port, ssl_context=None)
                )
                self.port = server.port
                task_status.started()
        else:
            (listener,) = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
            self.port = listener.socket.getsockname()[1]
            task_status.started()
            await trio.serve_listeners(self._serve_lines, [listener])

    async def _serve_lines(self, stream: trio.SocketStream) -> None:
        buffer = bytearray()

        async def receive() -> bytes | None:
            while (end := buffer.find(b"\n")) < 0:
                data = await stream.receive_some(65536)
                if not data:
                    return None
                buffer.extend(data)
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            return line

        sending = trio.Lock()

        async def send(frame: bytes) -> None:
            async with sending:
                await stream.send_all(frame + b"\n")

        async with stream:
            await self._converse(receive, send)

    async def _serve_websocket(self, request: WebSocketRequest) -> None:
        socket = await request.accept()
        self.streams.append(socket._stream)

        async def receive() -> bytes | None:
            try:
                message = await socket.get_message()
            except ConnectionClosed:
                return None
            return message if isinstance(message, bytes) else message.encode()

        async def send(frame: bytes) -> None:
            await socket.send_message(frame.decode())

        await self._converse(receive, send)

    async def _converse(self, receive: Callable[[], Any], send: Send) -> None:
        with trio.CancelScope() as scope:
            self.connections[send] = scope
            try:
                while self.is_open and (frame := await receive()) is not None:
                    answer = None if self.is_silent else self.respond(frame)
                    await self.think()
                    if answer is not None:
                        await send(answer)
            except _GONE:
                pass
            finally:
                del self.connections[send]

    async def think(self) -> None:
        """Before each answer: a server that has its reasons takes its time here."""

    def respond(self, frame: bytes) -> bytes | None:
        """The answer to one frame, a request or a batch."""
        asked = json.loads(frame)
        answers = [self.answer(request) for request in asked] if isinstance(asked, list) else self.answer(asked)
        return json.dumps(answers).encode()


@asynccontextmanager
async def serving(*servers: ScriptedServer) -> AsyncIterator[trio.Nursery]:
    """These servers listen for as long as the context lasts; the nursery runs what else a test starts."""
    async with trio.open_nursery() as nursery:
        for server in servers:
            await nursery.start(server.serve)
        yield nursery
        nursery.cancel_scope.cancel()
