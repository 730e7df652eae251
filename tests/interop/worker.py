"""The worker as an operator runs it: the `pinning-worker` command as a process, settings in its environment.

`open_worker(folder, settings)` migrates, runs, and returns when the worker has logged that it is ready. Nothing of the
developer's own settings goes along: only what is passed, and the process starts in an empty folder. What the worker
logs is kept and shown when something fails. A worker is ended by its pid, always.

With WATCH_EVENT_LOOP=on in the environment of the tests the worker's event loop is watched (watched_worker.py), and
what stopped it is printed at its end.

A restart is a second `open_worker` on the same folder: same key, same books, same blocks, same port.
"""

import os
import random
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

import trio

from pinning_worker.ungroup import one_error
from tests.event_loop import STOOD_STILL

READY_SECONDS = 60
STOP_SECONDS = 30
_ANY_ADDRESS = re.compile(r"/ip4/[\d.]+/(?:tcp|udp)/\d+(?:/[\w-]+)*/p2p/\w+")
_OWN_ADDRESS = re.compile(r"/ip4/[\d.]+/tcp/\d+(?:/ws)?/p2p/(\w+)")
COMMAND = Path(sys.executable).parent / "pinning-worker"
ROOT = Path(__file__).parents[2]
_LANES, _WIDTH = 6, 2_000  # tests side by side share no port
_LANE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _LANES
_PORTS = iter(random.SystemRandom().sample(range(20_000 + _WIDTH * _LANE, 20_000 + _WIDTH * (_LANE + 1)), _WIDTH))
# Linux gives 32768 and more by itself


class WorkerError(Exception):
    """The worker did not do what it should. The text carries the end of its log."""


@dataclass
class Worker:
    """One running worker. Made by `open_worker` only."""

    process: trio.Process
    log: list[str] = field(default_factory=list)
    peer_id: str = ""
    tcp_addr: str = ""
    ws_addr: str = ""
    addresses: list[str] = field(default_factory=list)
    _news: trio.Event = field(default_factory=trio.Event)
    _ended: bool = False

    def address(self, part: str) -> str:
        """The first of its addresses with that in it, such as `/webrtc-direct/`."""
        return next(address for address in self.addresses if part in address)

    async def logged(self, pattern: str, deadline: float = 60) -> str:
        """The first line of the log, from its start, in which a regular expression is found; waits for it."""
        with trio.move_on_after(deadline):
            seen = 0
            while True:
                for line in self.log[seen:]:
                    if re.search(pattern, line):
                        return line
                seen = len(self.log)
                if self._ended:
                    raise WorkerError(f"the worker ended ({self.process.returncode}) {self.end_of_log()}")
                await self._news.wait()
        raise WorkerError(f"did not log {pattern!r} within {deadline} s {self.end_of_log()}")

    async def news(self) -> None:
        """Waits for the next lines of the log."""
        await self._news.wait()

    async def kill(self) -> None:
        """SIGKILL: no goodbye, as by a power cut."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM, as systemd ends it; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS):
            return await self.process.wait()
        raise WorkerError(f"did not end within {STOP_SECONDS} s of SIGTERM {self.end_of_log()}")

    def stops(self) -> list[str]:
        """Of its event loop: each line that says so, and the stack that follows it."""
        told, inside = [], False
        for line in self.log:
            inside = STOOD_STILL in line or (inside and line.startswith(" "))
            told += [line] if inside else []
        return told

    def end_of_log(self) -> str:
        return "— the end of its log:\n" + "\n".join(self.log[-40:])

    async def _read_log(self) -> None:
        assert self.process.stdout is not None
        rest = b""
        async for chunk in self.process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            self.log += [line.decode(errors="replace") for line in lines]
            self._ring()
        self._ended = True
        self._ring()

    def _ring(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def _until_ready(self) -> None:
        line = await self.logged(r"\bready\b.*/p2p/|/p2p/.*\bready\b", READY_SECONDS)
        addrs = {match[0]: match[1] for match in _OWN_ADDRESS.finditer(line)}
        self.addresses = list(dict.fromkeys(_ANY_ADDRESS.findall(line)))
        self.tcp_addr = next(addr for addr in addrs if "/ws/" not in addr)
        self.ws_addr = next(addr for addr in addrs if "/ws/" in addr)
        self.peer_id = addrs[self.tcp_addr]


@asynccontextmanager
async def open_worker(folder: Path, settings: Mapping[str, str], inside: Sequence[str] = ()) -> AsyncIterator[Worker]:
    """A worker with its data in `folder` and these PINNING_… settings, migrated and ready; gone after the block.

    `inside`: the command that runs a command in a network namespace (namespaces.py).
    """
    environment = worker_environment(folder, settings)
    await run_command(["migrate"], environment, folder)
    command, more = _launched(os.environ.get("WATCH_EVENT_LOOP") == "on")
    process = await trio.lowlevel.open_process(
        [*inside, *command, "run"], stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=environment | more, cwd=folder
    )
    worker = Worker(process)
    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker._read_log)
            try:
                await worker._until_ready()
                yield worker
            except Exception:
                print(f"a worker {worker.end_of_log()}")  # pytest shows it with the failure, whoever's it is
                raise
            finally:
                with trio.CancelScope(shield=True):
                    await worker.kill()
                print(*worker.stops(), sep="\n")
                nursery.cancel_scope.cancel()


def _launched(watched: bool) -> tuple[list[str], dict[str, str]]:
    """The command, and what its environment needs besides."""
    if not watched:
        return [str(COMMAND)], {}
    return [sys.executable, "-m", "tests.interop.watched_worker"], {"PYTHONPATH": str(ROOT)}


async def run_command(arguments: list[str], environment: Mapping[str, str], folder: Path) -> str:
    """One `pinning-worker` command that ends by itself; returns what it printed. Raises WorkerError."""
    code, printed, complained = await command_ended(arguments, environment, folder)
    if code != 0:
        raise WorkerError(f"{' '.join(arguments)}: {code}\n{printed}{complained}")
    return printed


async def command_ended(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of one `pinning-worker` command that ends by itself."""
    with trio.fail_after(READY_SECONDS):
        ended = await trio.run_process(
            [str(COMMAND), *arguments],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=dict(environment),
            cwd=folder,
        )
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


def worker_environment(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a worker whose data are in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PINNING_DATA_DIR": str(folder / "data"), **settings}


def free_port() -> int:
    """A port of 127.0.0.1, for tcp or udp, that nobody has now or is given until we ask for it: none that the kernel
    gives to whoever asks for any, and none twice."""
    return next(port for port in _PORTS if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as who listens does: a port just left is free
        try:
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
