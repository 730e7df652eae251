"""One JSON-RPC call over HTTP to a running sandbox."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlsplit

import h11
import trio

from pinning_worker.sandbox.rejected import Rejected

CALL_SECONDS = 30


class SandboxUnreachable(Exception):
    """No sandbox answers there. Is it running?"""


async def call(url: str, method: str, *parameters: Any) -> Any:
    """Returns the result of one method at http://user:password@host:port/. Raises Rejected, SandboxUnreachable."""
    try:
        with trio.fail_after(CALL_SECONDS):
            status, body = await _post(url, json.dumps({"id": 0, "method": method, "params": parameters}).encode())
    except (OSError, trio.BrokenResourceError, trio.TooSlowError, h11.RemoteProtocolError) as error:
        raise SandboxUnreachable("no sandbox answers there: is it running?") from error
    if status != 200:
        raise SandboxUnreachable(f"what answers there is not this sandbox: HTTP {status}")
    answer = json.loads(body)
    if answer["error"]:
        raise Rejected(answer["error"]["message"])
    return answer["result"]


async def _post(url: str, body: bytes) -> tuple[int, bytes]:
    where = urlsplit(url)
    secret = base64.b64encode(f"{where.username}:{where.password}".encode())
    headers = [
        (b"Host", b"localhost"),
        (b"Authorization", b"Basic " + secret),
        (b"Content-Length", b"%d" % len(body)),
        (b"Connection", b"close"),
    ]
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method="POST", target="/", headers=headers)
    async with await trio.open_tcp_stream(where.hostname or "", where.port or 0) as stream:
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            await stream.send_all(connection.send(event) or b"")
        return await _response(connection, stream)


async def _response(connection: h11.Connection, stream: trio.SocketStream) -> tuple[int, bytes]:
    status, body = 0, bytearray()
    while not isinstance(event := connection.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
    return status, bytes(body)
