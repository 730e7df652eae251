"""Requests and answers over real sockets, against a server that does to us whatever servers have done to anybody."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import trio

from pinning_worker.adapters.electrum.endpoint import parse_server_url
from pinning_worker.adapters.electrum.faults import ElectrumTrouble, LinkLost, RequestRefused, ServerMisbehaved, TooMuch
from pinning_worker.adapters.electrum.frames import Frames, open_frames
from pinning_worker.adapters.electrum.pace import COST_OF_ERROR, Pace
from pinning_worker.adapters.electrum.wire import BATCH_SIZE, BATCHES_AT_ONCE, Wire
from tests.adapters.electrum.listening import eventually
from tests.adapters.electrum.scripted import Ledger, ScriptedServer, serving

LARGEST = 100_000
BOTH = pytest.mark.parametrize("websocket", [False, True], ids=["tcp", "ws"])


@dataclass
class Replying(ScriptedServer):
    """Every frame is answered by `reply`, which may return bytes that are no JSON at all; None: silence."""

    reply: Callable[[Any], Any] = lambda request: None

    def respond(self, frame: bytes) -> bytes | None:
        answer = self.reply(json.loads(frame))
        return answer if isinstance(answer, bytes) or answer is None else json.dumps(answer).encode()


def result(request: Any, value: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request["id"], "result": value}


class Notes:
    def __init__(self) -> None:
        self.heard: list[tuple[str, list[object]]] = []
        self.ended = 0

    def hear(self, method: str, parameters: Sequence[object]) -> None:
        self.heard.append((method, list(parameters)))

    def end(self) -> None:
        self.ended += 1


@asynccontextmanager
async def linked(
    reply: Callable[[Any], Any], websocket: bool = False, answer_seconds: float = 20.0
) -> AsyncIterator[tuple[Wire, Replying, Notes]]:
    server, notes = Replying(Ledger(), websocket=websocket, reply=reply), Notes()
    async with serving(server) as nursery, open_frames(parse_server_url(server.url), nursery, LARGEST) as frames:
        wire = Wire(frames, notes.hear, notes.end, Pace(), answer_seconds)
        nursery.start_soon(wire.read)
        yield wire, server, notes


def echo(request: Any) -> Any:
    if isinstance(request, list):
        return [result(one, one["params"]) for one in request]
    return result(request, request["params"])


@BOTH
async def test_calls_and_batches_are_answered(websocket: bool) -> None:
    async with linked(echo, websocket) as (wire, *_):
        assert await wire.call("a", 1, "two") == [1, "two"]
        many = range(BATCH_SIZE * (BATCHES_AT_ONCE + 2) + 1)
        assert await wire.batch(("a", (number,)) for number in many) == [[number] for number in many]
        assert await wire.batch([]) == []


@BOTH
async def test_answers_may_come_in_any_order(websocket: bool) -> None:
    waiting: list[Any] = []

    def hold_the_first(request: Any) -> Any:
        waiting.append(request)
        return json.dumps(result(request, "second")).encode() if len(waiting) == 2 else None

    answers: dict[str, object] = {}

    async def ask(wire: Wire, name: str) -> None:
        answers[name] = await wire.call(name)

    async with linked(hold_the_first, websocket) as (wire, server, _), trio.open_nursery() as nursery:
        nursery.start_soon(ask, wire, "first")
        await eventually(lambda: len(waiting) == 1, "the first request arrives")
        nursery.start_soon(ask, wire, "second")
        await eventually(lambda: "second" in answers, "the second is answered first")
        await server.send_raw(json.dumps(result(waiting[0], "first")).encode())
    assert answers == {"first": "first", "second": "second"}


async def test_a_batch_is_answered_in_any_order() -> None:
    async with linked(lambda batch: list(reversed(echo(batch)))) as (wire, *_):
        assert await wire.batch([("a", (1,)), ("a", (2,)), ("a", (3,))]) == [[1], [2], [3]]


async def test_an_error_is_an_answer() -> None:
    def refuse_twos(request: Any) -> Any:
        if isinstance(request, list):
            return [refuse_twos(one) for one in request]
        if request["params"] == [2]:
            return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -101, "message": "x" * 9000}}
        return result(request, "fine")

    async with linked(refuse_twos) as (wire, *_):
        with pytest.raises(RequestRefused, match=r"x{500} ") as caught:
            await wire.call("a", 2)
        assert (caught.value.code, len(caught.value.message)) == (-101, 500)
        first, second = await wire.batch([("a", (1,)), ("a", (2,))])
        assert first == "fine"
        assert isinstance(second, RequestRefused)
        assert await wire.call("a", 1) == "fine"


async def test_notifications_are_heard_between_answers() -> None:
    note = json.dumps({"jsonrpc": "2.0", "method": "news", "params": [1, None]}).encode()
    async with linked(lambda request: note + b"\n" + json.dumps(result(request, "ok")).encode()) as (wire, _, notes):
        assert await wire.call("a") == "ok"
        assert notes.heard == [("news", [1, None])]


@BOTH
@pytest.mark.parametrize(
    ("reply", "fault", "why"),
    [
        (lambda _: b"{not json", ServerMisbehaved, "not JSON-RPC"),
        (lambda _: b"", ServerMisbehaved, "not JSON-RPC"),
        (lambda _: b"17", ServerMisbehaved, "not JSON-RPC"),
        (lambda _: b"[]", ServerMisbehaved, "not JSON-RPC"),
        (lambda _: b"[17]", ServerMisbehaved, "not JSON-RPC"),
        (lambda _: b"[" * 1_000, ServerMisbehaved, "not JSON-RPC"),
        (lambda _: b"[" * (LARGEST // 2), TooMuch, "50000 JSON elements"),
        (lambda _: b"[" + b"{}," * 2_000, TooMuch, "4001 JSON elements"),
        (lambda _: b'{"jsonrpc":"2.0","id":1,"result":' + b"9" * 5000 + b"}", ServerMisbehaved, "not JSON-RPC"),
        (lambda _: b'"' + b"x" * LARGEST + b'"', ServerMisbehaved, "a frame over"),
        (lambda request: {**result(request, 1), "id": 4711}, ServerMisbehaved, "nothing that was asked"),
        (lambda request: {**result(request, 1), "id": str(request["id"])}, ServerMisbehaved, "nothing that was asked"),
        (lambda request: {**result(request, 1), "id": float(request["id"])}, ServerMisbehaved, "nothing that was"),
        (lambda request: {**result(request, 1), "id": True}, ServerMisbehaved, "nothing that was asked"),
        (lambda request: {**result(request, 1), "id": [1]}, ServerMisbehaved, "not JSON-RPC"),
        (lambda request: {**result(request, 1), "id": None}, ServerMisbehaved, "nothing that was asked"),
        (lambda request: {**result(request, 1), "error": {"code": 1, "message": ""}}, ServerMisbehaved, "not JSON-RPC"),
        (lambda request: {"jsonrpc": "2.0", "id": request["id"]}, ServerMisbehaved, "not JSON-RPC"),
        (lambda request: {"jsonrpc": "2.0", "id": request["id"], "error": "no"}, ServerMisbehaved, "not JSON-RPC"),
        (lambda request: {**result(request, 1), "jsonrpc": "1.0"}, ServerMisbehaved, "not JSON-RPC"),
        (lambda request: {"jsonrpc": "2.0", "method": "news", "params": {"a": 1}}, ServerMisbehaved, "list of param"),
        (lambda request: {"jsonrpc": "2.0", "method": "news", "id": 1}, ServerMisbehaved, "a request"),
        (
            lambda request: {"jsonrpc": "2.0", "id": None, "error": {"code": 9, "message": "so"}},
            LinkLost,
            "complains: so",
        ),
    ],
)
async def test_whoever_waits_is_told_what_the_server_did(
    websocket: bool, reply: Callable[[Any], Any], fault: type[ElectrumTrouble], why: str
) -> None:
    async with linked(reply, websocket) as (wire, _, notes):
        with pytest.raises(fault, match=why):
            await wire.call("a")
        with pytest.raises(fault, match=why):  # the link stays given up
            await wire.call("a")
        with pytest.raises(fault, match=why):
            wire.require_link()
        assert notes.ended > 0


async def test_bytes_that_are_no_utf8() -> None:
    async with linked(lambda _: b'{"jsonrpc":"2.0","id":1,"result":"\xff\xfe"}') as (wire, *_):
        with pytest.raises(ServerMisbehaved, match="UTF-8"):
            await wire.call("a")


async def test_an_answer_given_twice() -> None:
    async with linked(lambda request: b"\n".join([json.dumps(result(request, 1)).encode()] * 2)) as (wire, *_):
        assert await wire.call("a") == 1
        with pytest.raises(ServerMisbehaved, match="nothing that was asked"):
            await wire.call("a")


@BOTH
async def test_silence_ends_the_link_for_all_who_wait(websocket: bool) -> None:
    async with linked(lambda _: None, websocket, answer_seconds=0.05) as (wire, *_):
        with pytest.raises(LinkLost, match="no answer within"):
            await wire.batch([("a", (1,)), ("a", (2,))])
        with pytest.raises(LinkLost, match="no answer within"):
            await wire.call("a")


@BOTH
async def test_a_server_that_closes_while_we_wait(websocket: bool) -> None:
    async with linked(lambda _: None, websocket) as (wire, server, _):

        async def hang_up() -> None:
            await eventually(lambda: bool(server.connections), "connected")
            server.hang_up()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang_up)
            with pytest.raises(LinkLost, match=r"closed|broke"):
                await wire.call("a")


async def test_a_server_that_closes_in_the_middle_of_an_answer() -> None:
    async def half_an_answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b'{"jsonrpc":"2.0","id":1,"resu')
        await stream.aclose()

    with pytest.RaisesGroup(pytest.RaisesExc(LinkLost, match="closed")):
        async with trio.open_nursery() as nursery:
            await call_once(nursery, half_an_answer)


async def test_a_server_that_does_not_read() -> None:
    async def deaf(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    with pytest.RaisesGroup(pytest.RaisesExc(LinkLost, match="does not read")):
        async with trio.open_nursery() as nursery:
            await call_once(nursery, deaf, "x" * 50_000_000)


async def call_once(nursery: trio.Nursery, handler: Callable[[trio.SocketStream], Any], parameter: str = "") -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, handler, listeners)
    endpoint = parse_server_url(f"tcp://127.0.0.1:{listeners[0].socket.getsockname()[1]}")
    notes = Notes()
    async with open_frames(endpoint, nursery) as frames:
        wire = Wire(frames, notes.hear, notes.end, Pace(), 0.2 if parameter else 20.0)
        nursery.start_soon(wire.read)
        await wire.call("a", parameter)


async def test_a_caller_that_gives_up_leaves_the_link_usable() -> None:
    asked: list[Any] = []

    def answer_later(request: Any) -> Any:
        asked.append(request)
        return None if len(asked) == 1 else result(request, "second")

    async with linked(answer_later) as (wire, server, _):
        with trio.CancelScope() as impatient:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wire.call, "first")
                await eventually(lambda: len(asked) == 1, "the first request arrives")
                impatient.cancel()
        await server.send_raw(json.dumps(result(asked[0], "too late")).encode())
        assert await wire.call("second") == "second"


async def test_errors_cost_what_electrumx_counts_for_them() -> None:
    spent: list[float] = []

    class Counting(Pace):
        def spend(self, cost: float) -> None:
            spent.append(cost)

    def refuse(request: Any) -> Any:
        return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": 1, "message": "no"}}

    server, notes = Replying(Ledger(), reply=refuse), Notes()
    async with serving(server) as nursery, open_frames(parse_server_url(server.url), nursery) as frames:
        wire = Wire(frames, notes.hear, notes.end, Counting())
        nursery.start_soon(wire.read)
        with pytest.raises(RequestRefused):
            await wire.call("a")
    assert 1 in spent
    assert COST_OF_ERROR in spent


# --- connecting


@pytest.mark.parametrize("scheme", ["tcp", "ssl", "ws", "wss"])
async def test_nobody_listens(scheme: str) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with pytest.RaisesGroup(pytest.RaisesExc(LinkLost, match="cannot connect")):
        async with (
            trio.open_nursery() as nursery,
            open_frames(parse_server_url(f"{scheme}://127.0.0.1:{port}"), nursery),
        ):
            pytest.fail("connected to nobody")


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\n\r\nwhat",
        b"\x00\xff\r\n\r\n",
        b"",
    ],
)
async def test_no_websocket_there(reply: bytes) -> None:
    async def other_service(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(reply)
        await stream.aclose()

    with pytest.RaisesGroup(pytest.RaisesExc(LinkLost, match="no WebSocket")):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, other_service, listeners)
            url = f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            with trio.fail_after(20):
                async with open_frames(parse_server_url(url), nursery):
                    pytest.fail("no WebSocket there")


async def test_a_websocket_that_breaks_its_protocol_ends_the_link_only() -> None:
    """A frame with reserved bits, then a reset while the library wants to say goodbye."""
    server = Replying(Ledger(), websocket=True, reply=lambda _: None)
    async with serving(server) as nursery, open_frames(parse_server_url(server.url), nursery) as frames:
        notes = Notes()
        wire = Wire(frames, notes.hear, notes.end, Pace(), 20.0)
        nursery.start_soon(wire.read)
        await eventually(lambda: bool(server.streams), "connected")
        await server.streams[0].send_all(b"\xff\xff\xff\xff")
        with pytest.raises(LinkLost):
            await wire.call("a")


TEXT, PONG, PING, EMPTY_PIECE = b"\x81\x011", b"\x8a\x7d" + bytes(125), b"\x89\x7d" + bytes(125), b"\x00\x00"


@asynccontextmanager
async def raw_websocket(frames: bytes, times: int) -> AsyncIterator[Frames]:
    """Connected to a server that sends these frames so often, and then waits."""

    async def serve(stream: trio.SocketStream) -> None:
        asked = bytes(await stream.receive_some())
        key = asked.lower().index(b"sec-websocket-key: ") + 19
        accept = hashlib.sha1(asked[key : key + 24] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # RFC 6455
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        await stream.send_all(head + b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n")
        with suppress(trio.BrokenResourceError):
            for _ in range(times):
                await stream.send_all(frames)
            while await stream.receive_some():
                pass

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(partial(trio.serve_listeners, serve, listeners))
        url = f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with open_frames(parse_server_url(url), nursery) as connected:
            yield connected
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "frames", [PONG * 10_000, PING * 10_000, b"\x01\x00" + EMPTY_PIECE * 200_000], ids=["pong", "ping", "piece"]
)
async def test_frames_without_end_that_are_no_messages(frames: bytes) -> None:
    """Catches: the library deals with them for ever, and nobody who counts ever hears of one."""
    async with raw_websocket(frames, 1) as connected:
        with trio.fail_after(30), pytest.raises(TooMuch, match="no messages"):
            await connected.receive(lambda: 1_000)


async def test_pings_and_pongs_beside_messages_are_no_fault() -> None:
    async with raw_websocket(TEXT + PING + PONG, 3_000) as connected:
        for _ in range(3_000):
            assert await connected.receive(lambda: 1_000) == b"1"
