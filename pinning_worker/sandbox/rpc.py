"""JSON-RPC over HTTP, as bitcoind speaks it: POST, basic authentication, one object or an array of them.

h11 parses and writes the HTTP, trio moves the bytes. Loopback only; the password is random, so another user of the
machine cannot mine. Requests and connections have limits; an idle connection stays open for ElectrumX, but not for
ever.
"""

from __future__ import annotations

import base64
import hmac
import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NewType

import h11
import trio
from trio_typing import TaskStatus

from pinning_worker.sandbox.rejected import Rejected

LONGEST_REQUEST = 16 << 20
IDLE_SECONDS = 600
MAX_CONNECTIONS = 64

METHOD_NOT_FOUND = -32601
INVALID_PARAMETERS = -32602
PARSE_ERROR = -32700
REJECTED = -26

Method = Callable[..., Any | Awaitable[Any]]


@dataclass(frozen=True)
class RpcServer:
    """`methods` by name; positional parameters. A method may be async, and raises Rejected to refuse a request."""

    methods: dict[str, Method]
    user: str
    password: str

    async def serve(self, task_status: TaskStatus[int]) -> None:
        """Runs until cancelled, on a free port of 127.0.0.1, which `nursery.start` returns."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=MAX_CONNECTIONS)
        task_status.started(listeners[0].socket.getsockname()[1])
        limit = trio.CapacityLimiter(MAX_CONNECTIONS)

        async def handle(stream: trio.SocketStream) -> None:
            async with limit:
                await self._serve_connection(stream)

        await trio.serve_listeners(handle, listeners)

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            while connection.our_state is not h11.MUST_CLOSE:
                with trio.fail_after(IDLE_SECONDS):
                    request, body = await _receive(connection, stream)
                    if request is None:
                        break
                    await self._respond(connection, stream, request, body)
                if connection.our_state is h11.DONE and connection.their_state is h11.DONE:
                    connection.start_next_cycle()
        except (h11.RemoteProtocolError, trio.BrokenResourceError, trio.TooSlowError):
            pass  # a client that breaks off or sends nonsense closes its own connection, nothing else
        finally:
            await trio.aclose_forcefully(stream)

    async def _respond(
        self, connection: h11.Connection, stream: trio.SocketStream, request: h11.Request, body: bytes
    ) -> None:
        status, answer = 401, b"401 Unauthorized"
        if self._may(request):
            status, answer = 200, json.dumps(await self._answer(body)).encode()
        kind = b"application/json" if status == 200 else b"text/plain"
        headers = [(b"Content-Type", kind), (b"Content-Length", b"%d" % len(answer))]
        sent = connection.send(h11.Response(status_code=status, headers=headers)) or b""
        sent += connection.send(h11.Data(data=answer)) or b""
        await stream.send_all(sent + (connection.send(h11.EndOfMessage()) or b""))

    def _may(self, request: h11.Request) -> bool:
        expected = b"Basic " + base64.b64encode(f"{self.user}:{self.password}".encode())
        given = dict(request.headers).get(b"authorization", b"")
        return request.method == b"POST" and hmac.compare_digest(given, expected)

    async def _answer(self, body: bytes) -> Any:
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            return _error(None, PARSE_ERROR, "Parse error")
        if isinstance(asked, list):
            return [await self._call(each) for each in asked]
        return await self._call(asked)

    async def _call(self, asked: Any) -> dict[str, Any]:
        request = asked if isinstance(asked, dict) else {}
        name, parameters, request_id = request.get("method"), request.get("params") or [], request.get("id")
        method = self.methods.get(name) if isinstance(name, str) else None
        if method is None:
            return _error(request_id, METHOD_NOT_FOUND, "Method not found")
        if not _fit(parameters, method):
            return _error(request_id, INVALID_PARAMETERS, f"{name}{inspect.signature(method)}: wrong parameters")
        try:
            result = method(*parameters)
            return {"id": request_id, "result": await result if inspect.isawaitable(result) else result, "error": None}
        except Rejected as refused:
            return _error(request_id, REJECTED, str(refused))


async def _receive(connection: h11.Connection, stream: trio.SocketStream) -> tuple[h11.Request | None, bytes]:
    """The next request and its body; None as the request if the client has gone."""
    request, body = None, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > LONGEST_REQUEST:
                raise h11.RemoteProtocolError("the request is too long", error_status_hint=413)
        elif isinstance(event, h11.EndOfMessage):
            return request, bytes(body)
        else:  # h11.ConnectionClosed, h11.PAUSED
            return None, b""


def _fit(parameters: Any, method: Method) -> bool:
    """Whether the method accepts the parameters: a list of the right length, with the types of its signature."""
    signature = inspect.signature(method, eval_str=True)
    try:
        bound = signature.bind(*parameters) if isinstance(parameters, list) else None
    except TypeError:
        return False
    kinds = {name: _as_it_runs(parameter.annotation) for name, parameter in signature.parameters.items()}
    return bound is not None and all(
        isinstance(value, kinds[name])
        for name, value in bound.arguments.items()
        if kinds[name] is not inspect.Parameter.empty
    )


def _as_it_runs(kind: Any) -> Any:
    """A NewType (Txid) has no instances: its values are those of the type below it."""
    while isinstance(kind, NewType):
        kind = kind.__supertype__
    return kind


def _error(request_id: Any, code: int, message: str) -> dict[str, Any]:
    return {"id": request_id, "result": None, "error": {"code": code, "message": message}}
