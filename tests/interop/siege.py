"""A worker process under attack: from other addresses than the honest peer's, which asks for quotes meanwhile.

    async with besieged(folder) as siege:
        await siege.withstands("silent", partial(siege.silence, say(b"GET ")))

While each attack goes on, and after it, the worker lives, the honest peer is answered, and the memory is back to about
where it was. Median and worst time to the answer are printed (`-s`), and not asserted: they are the machine's.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import psutil
import trio

from pinning_worker.domain.swarm_key import encode_swarm_key
from tests.certificates import self_signed
from tests.interop.browser import ask_for_quote, join
from tests.interop.helia import Helia, HeliaError, open_helia
from tests.interop.market import open_market
from tests.interop.worker import Worker, free_port

SOURCES = [f"127.0.0.{last}" for last in range(2, 10)]
MIB = 1024 * 1024
MORE_MEMORY = 40 * MIB  # for one attack
MORE_FOR = {
    "large": 48 * MIB,  # what is cached to be forwarded
    "webrtc": 64 * MIB,  # what 64 half-open ones take
    "thirsty": 144 * MIB,  # forty messages, twice each while they are made; malloc keeps what they took
}
SILENT = 500
ATTACK_SECONDS = 180
DIALS = 4
ASKS, ANSWER_SECONDS = 3, 20
WARM_UP = 10  # questions before the memory is looked at
PAUSE = 0.1  # between two questions of the honest peer
MULTISTREAM = b"\x13/multistream/1.0.0\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
NOISE = random.Random(11).randbytes

Hello = Callable[[trio.SocketStream, int], Awaitable[None]]


class Siege:
    """A worker, its ports, and the honest peer whose requests are timed. Made by `besieged`."""

    def __init__(self, worker: Worker, honest: Helia, certificate: Path, swarm_key: bytes | None) -> None:
        self.worker, self.honest, self.certificate, self.swarm_key = worker, honest, certificate, swarm_key
        self.port = int(worker.tcp_addr.split("/")[4])
        self.process = psutil.Process(worker.process.pid)
        self.seconds: list[float] = []
        self.unanswered = 0

    async def ask(self, honest: Helia | None = None) -> None:
        """A NEW-CID of something new, until its quote comes; asked again, as browsers do: gossip may lose a message."""
        honest = honest or self.honest
        added = await honest.add_file(1_000, seed=os.urandom(8).hex())
        began = trio.current_time()
        quote: dict[str, Any] = {}
        for left in reversed(range(ASKS)):
            with trio.move_on_after(ANSWER_SECONDS) if left else nullcontext():
                quote = await ask_for_quote(honest, added.cid, self.worker)
                break
            self.unanswered += 1
            print(f"not answered within {ANSWER_SECONDS} s {self.worker.end_of_log()}\n{honest.stderr_text()}")
        self.seconds.append(trio.current_time() - began)
        assert quote["bytes"]["total"] == added.dag_bytes

    async def withstands(self, name: str, *attacks: Callable[[], Awaitable[None]]) -> None:
        """Asks while the attacks go on, all at the same time (once at least), and once after them."""
        self.seconds.clear()
        before = most = self.process.memory_info().rss
        ended = trio.Event()

        async def attack_and_end() -> None:
            with trio.fail_after(ATTACK_SECONDS):
                async with trio.open_nursery() as attackers:
                    for attack in attacks:
                        attackers.start_soon(attack)
            ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(attack_and_end)
            while True:
                await self.ask()
                most = max(most, self.process.memory_info().rss)
                if ended.is_set():
                    break
                with trio.move_on_after(PAUSE):
                    await ended.wait()
        await self.ask()
        assert self.worker.process.returncode is None
        after = self.process.memory_info().rss
        print(
            f"{name}: {len(self.seconds)} asked, median {statistics.median(self.seconds) * 1000:.0f} ms, "
            f"worst {max(self.seconds) * 1000:.0f} ms; "
            f"{self.unanswered} times asked again; {before >> 20} -> {after >> 20} MiB, "
            f"{most >> 20} MiB at most"
        )
        assert after - before < MORE_FOR.get(name, MORE_MEMORY)

    async def newcomer(self, address: str) -> None:
        """Gets in by that listener, and is answered. On a slow machine js-libp2p's ten seconds for a dial may be too
        few while a crowd is at the door: then it dials again, as a browser would."""
        async with open_helia([], trusted=self.certificate, swarm_key=self.swarm_key) as newcomer:
            for left in reversed(range(DIALS)):
                try:
                    await newcomer.dial(address, 30)
                    break
                except HeliaError:
                    if not left:
                        raise
            await newcomer.wait_mesh(peer_id=self.worker.peer_id)
            await self.ask(newcomer)

    async def socket(self, number: int) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port, local_address=SOURCES[number % len(SOURCES)])

    async def garbage(self, pieces: Sequence[bytes]) -> None:
        """Each many times, at the same time: some hang up at once, some wait for the worker to."""

        async def throw(number: int, garbage: bytes) -> None:
            with suppress(OSError, trio.BrokenResourceError):
                async with await self.socket(number) as stream:
                    await stream.send_all(garbage)
                    with trio.move_on_after(number % 3):
                        while await stream.receive_some():
                            pass

        async with trio.open_nursery() as nursery:
            for number in range(20 * len(pieces)):
                nursery.start_soon(throw, number, pieces[number % len(pieces)])

    async def silence(self, hello: Hello, sockets: int = SILENT) -> None:
        """Many say that much, and no more. All are closed by the worker in the end."""

        async def one(number: int) -> None:
            with suppress(OSError, trio.BrokenResourceError):
                async with await self.socket(number) as stream:
                    await hello(stream, number)
                    await until_closed(stream)

        async with trio.open_nursery() as nursery:
            for number in range(sockets):
                nursery.start_soon(one, number)

    async def peer(self, attack: str, source: str, address: str = "") -> dict[str, int]:
        """Another process does it, over tcp unless told, and says how far it came."""
        command = [sys.executable, "-m", "tests.interop.attacker", attack, address or self.worker.tcp_addr, source]
        command += [self.swarm_key.hex()] if self.swarm_key else []
        trusting = os.environ | {"SSL_CERT_FILE": str(self.certificate)}
        ended = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False, env=trusting)
        assert ended.returncode == 0, ended.stderr.decode()[-3000:]
        told: dict[str, int] = json.loads(ended.stdout.splitlines()[-1])
        print(attack, told)
        return told


@asynccontextmanager
async def besieged(folder: Path, *listen: str, swarm_key: bytes | None = None, **more: str) -> AsyncIterator[Siege]:
    """tcp, ws and wss on one port, with default limits. `listen`: more addresses; `more`: settings."""
    made, port = self_signed(folder), free_port()
    tcp = f"/ip4/127.0.0.1/tcp/{port}"
    settings = {
        "PINNING_LISTEN": " ".join([tcp, f"{tcp}/ws", f"{tcp}/tls/ws", *listen]),
        "PINNING_TLS_CERT": str(made.certificate),
        "PINNING_TLS_KEY": str(made.key),
        "PINNING_RELAY": "on",
    }
    if swarm_key is not None:
        settings["PINNING_SWARM_KEY"] = str(folder / "swarm.key")
        (folder / "swarm.key").write_bytes(encode_swarm_key(swarm_key))
    async with (
        open_market(folder) as market,
        market.worker(**settings | more) as worker,
        open_helia(swarm_key=swarm_key) as honest,
    ):
        await join(honest, worker)
        siege = Siege(worker, honest, made.certificate, swarm_key)
        for _ in range(WARM_UP):
            await siege.ask()
        yield siege


def say(hello: bytes) -> Hello:
    async def said(stream: trio.SocketStream, _number: int) -> None:
        await stream.send_all(hello)

    return said


async def until_closed(stream: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while await stream.receive_some():
            pass
