"""The page of `examples/browser`, built and served on 127.0.0.1, with the sandbox behind its buttons.

    async with open_page(market) as page:
        url = page.url([worker.ws_addr])

The page's own part of the server are files. `POST sandbox/pay` takes a PSBT, signs it with the sandbox's wallet and
sends it; `sandbox/mine` mines a block; `sandbox/move-time` takes {"days": n}. Only the page itself may ask: a request
of another origin, or by another host name, is refused. It is worth nothing, but it should teach nothing wrong either.
"""

import atexit
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any
from urllib.parse import urlencode

import trio

from pinning_worker.sandbox.psbt import BadPsbt
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.ungroup import one_error
from tests.interop.chromium import Chromium
from tests.interop.market import Market
from tests.interop.node_binary import HOW_TO_GET_IT, node_binary

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/browser"
LOOPBACK = "127.0.0.1"
LARGEST_ORDER = 1 << 20
BUILD_SECONDS = 120

Order = Callable[[bytes], Awaitable[str]]


class PageError(Exception):
    """The page cannot be built. The text is what Vite said."""


@dataclass(frozen=True)
class Page:
    """Where the page is served, and on which market it buys."""

    origin: str
    market: Market

    def url(self, worker: Sequence[str], *, listen: Sequence[str] = ()) -> str:
        """The page's address for one worker, by its multiaddrs; `listen`: relays by which the page is reachable."""
        sandbox = self.market.sandbox
        settings = {
            "worker": list(worker),
            "listen": list(listen),
            "network": sandbox.network.name,
            "electrum": sandbox.electrum_urls["ws"],
            "address": sandbox.wallet.address(),
            "sandbox": "",
        }
        return f"{self.origin}/?{urlencode(settings, doseq=True, safe='/:')}"


@cache
def build_page(example: Path = EXAMPLE) -> Path:
    """Builds a page with Vite, as a developer does; once in this process, with which it goes. Raises PageError."""
    node = node_binary()
    if node is None:
        raise PageError(HOW_TO_GET_IT)
    if not (example / "node_modules/.package-lock.json").exists():
        raise PageError("what the page is built from is not there: run `make page`")
    folder = Path(tempfile.mkdtemp(prefix="pinning-page-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    vite = [str(node), "node_modules/vite/bin/vite.js", "build", "--outDir", str(folder), "--emptyOutDir"]
    built = subprocess.run(vite, cwd=example, timeout=BUILD_SECONDS, stdout=PIPE, stderr=STDOUT)
    if built.returncode != 0:
        raise PageError(built.stdout.decode(errors="replace"))
    return folder


@asynccontextmanager
async def open_page(market: Market) -> AsyncIterator[Page]:
    """The page, served while the block lasts. Raises PageError."""
    folder = await trio.to_thread.run_sync(build_page)
    async with _serve(folder, _orders(market)) as origin:
        yield Page(origin, market)


def _orders(market: Market) -> Mapping[str, Order]:
    """What the page's sandbox buttons do; each answers with a line to show. Raise BadPsbt, Rejected, ValueError."""

    async def pay(body: bytes) -> str:
        return market.sandbox.pay_psbt(body)

    async def mine(_: bytes) -> str:
        await market.mine()
        return str(market.sandbox.node.height)

    async def move_time(body: bytes) -> str:
        await market.move_time(int(json.loads(body)["days"]))
        return ""

    return {"pay": pay, "mine": mine, "move-time": move_time}


@asynccontextmanager
async def _serve(folder: Path, orders: Mapping[str, Order]) -> AsyncIterator[str]:
    """Python's own HTTP server in a thread; orders are carried out in trio's. Yields its origin."""
    handler = partial(_Handler, directory=str(folder), orders=orders, token=trio.lowlevel.current_trio_token())
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server, one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, server.serve_forever)
            try:
                yield f"http://{LOOPBACK}:{server.server_port}"
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(server.shutdown)


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, orders: Mapping[str, Order], token: trio.lowlevel.TrioToken, **kwargs: Any) -> None:
        self._orders = orders
        self._token = token
        super().__init__(*args, **kwargs)

    def do_POST(self) -> None:
        order = self._orders.get(self.path.removeprefix("/sandbox/"))
        length = int(self.headers.get("Content-Length", "0"))
        if order is None or length > LARGEST_ORDER or not self._is_from_the_page():
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        try:
            said = trio.from_thread.run(order, self.rfile.read(length), trio_token=self._token)
        except (BadPsbt, Rejected, ValueError, KeyError) as error:
            self._answer(HTTPStatus.BAD_REQUEST, str(error))
        else:
            self._answer(HTTPStatus.OK, said)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the page shows what happens."""

    def _is_from_the_page(self) -> bool:
        assert isinstance(self.server, ThreadingHTTPServer)
        here = f"{LOOPBACK}:{self.server.server_port}"
        return self.headers.get("Host") == here and self.headers.get("Origin") == f"http://{here}"

    def _answer(self, status: HTTPStatus, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


async def as_if_paid(browser: Chromium, cid: str, *names: str, txid: str | None = None) -> None:
    """The page remembers that it made a payment for the CID under each of these names."""
    paid = json.dumps([{"name": name, "txid": txid} for name in names])
    await browser.evaluate(
        f"""(() => {{
          const key = 'pinning-worker.asked'
          const asked = JSON.parse(localStorage.getItem(key))
          asked.find((entry) => entry.cid === '{cid}').paid = {paid}
          localStorage.setItem(key, JSON.stringify(asked))
        }})()"""
    )
