"""A real ElectrumX beside the node: started, watched until it has caught up, stopped by its process id, started again.

It indexes the node's chain into a LevelDB of its own and serves Electrum on loopback: tcp and ws, with a certificate
ssl and wss too. The ports stay the same over a restart, like those of a server that goes away and comes back. Its
output goes to a file. Its limits are ElectrumX's own: a client that is throttled here is throttled anywhere.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from trio_websocket import ConnectionClosed, HandshakeError, open_websocket_url

import pinning_worker

POLL_MILLISECONDS = 100
READY_SECONDS = 30
STOP_SECONDS = 10

_CONNECT_AGAIN_SECONDS = 0.02
_LOG_EXCERPT = 3000
_FOLLOW: tuple[tuple[str, list[Any]], ...] = (
    ("server.version", ["sandbox", ["1.4", "1.4.3"]]),
    ("blockchain.headers.subscribe", []),
)


class ElectrumXFailed(Exception):
    """ElectrumX did not start, or ended by itself. The text is the end of its log."""


@dataclass(frozen=True)
class Certificate:
    """PEM files for ssl and wss."""

    certificate: Path
    key: Path


@dataclass
class ElectrumX:
    """One ElectrumX. `directory` (made if missing) holds its database and its log; `node_url` carries the password;
    `settings` override environment variables of ElectrumX."""

    directory: Path
    node_url: str
    certificate: Certificate | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(init=False)
    _process: trio.Process | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        # ws is the last: ElectrumX opens them in this order, so once ws accepts connections, all of them do.
        schemes = ["tcp", "ssl", "wss", "ws"] if self.certificate else ["tcp", "ws"]
        self.ports = dict(zip(schemes, _free_ports(len(schemes)), strict=True))

    @property
    def urls(self) -> dict[str, str]:
        """The addresses for clients: tcp://…, ws://… and so on, by scheme."""
        return {scheme: f"{scheme}://127.0.0.1:{port}" for scheme, port in self.ports.items()}

    @property
    def log_file(self) -> Path:
        return self.directory / "electrumx.log"

    async def start(self, tip: bytes) -> None:
        """Returns once it serves and its tip is this 80-byte header. Raises ElectrumXFailed.

        It continues with an index in the directory, which must be of the node's own chain.
        """
        assert self._process is None, "it runs already"
        if importlib.util.find_spec("electrumx") is None:
            raise ElectrumXFailed("ElectrumX is not installed: pip install 'pinning-worker[sandbox]'")
        database = self.directory / "db"
        database.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "pinning_worker.sandbox.electrumx_server"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment(database),
            )
        try:
            await self.until_indexed(tip)
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Terminates the process (that takes a second), and kills it after STOP_SECONDS. The index stays."""
        if self._process is not None:
            self._process.terminate()
            with trio.move_on_after(STOP_SECONDS):
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """Kills the process at once. The index may be broken."""
        process, self._process = self._process, None
        if process is None:
            return
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            assert process.stdin is not None
            await process.stdin.aclose()

    async def until_indexed(self, tip: bytes) -> None:
        """Returns once ElectrumX shows this 80-byte header to its clients as the tip. Raises ElectrumXFailed."""
        with trio.move_on_after(READY_SECONDS):
            while not await self._follows_to(tip):
                if self._process is None or self._process.poll() is not None:
                    raise self._failure("it ended")
                await trio.sleep(_CONNECT_AGAIN_SECONDS)
            return
        raise self._failure(f"not there after {READY_SECONDS} s")

    async def _follows_to(self, tip: bytes) -> bool:
        """Reads its new headers until this one comes; False if it refuses the connection (yet) or closes it."""
        try:
            async with open_websocket_url(self.urls["ws"]) as connection:
                for request_id, (method, parameters) in enumerate(_FOLLOW):
                    request = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": parameters}
                    await connection.send_message(json.dumps(request))
                while _tip_in(json.loads(await connection.get_message())) != tip:
                    pass
                return True
        except (OSError, HandshakeError, ConnectionClosed):
            return False

    def _environment(self, database: Path) -> dict[str, str]:
        """Passes on only what Python needs: an operator's settings and secrets are not ElectrumX's business."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        package = Path(pinning_worker.__file__).parent.parent
        own = {
            "PYTHONPATH": os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH")))),
            "COIN": "Doichain",
            "NET": "regtest",
            "DB_ENGINE": "leveldb",
            "DB_DIRECTORY": str(database),
            "DAEMON_URL": self.node_url,
            "DAEMON_POLL_INTERVAL_BLOCKS": str(POLL_MILLISECONDS),
            "DAEMON_POLL_INTERVAL_MEMPOOL": str(POLL_MILLISECONDS),
            "SERVICES": ",".join(self.urls.values()),
            "PEER_DISCOVERY": "off",
            "PEER_ANNOUNCE": "",
            "ALLOW_ROOT": "1",
        }
        if self.certificate:
            own |= {
                "SSL_CERTFILE": str(self.certificate.certificate),
                "SSL_KEYFILE": str(self.certificate.key),
            }
        return kept | own | dict(self.settings)

    def _failure(self, why: str) -> ElectrumXFailed:
        return ElectrumXFailed(f"{why}; the end of {self.log_file}:\n{self.log_file.read_text()[-_LOG_EXCERPT:]}")


def _tip_in(message: dict[str, Any]) -> bytes | None:
    """The 80-byte header of the tip in an answer or a notification, if there is one."""
    is_notification = message.get("method") == "blockchain.headers.subscribe"
    said = message["params"][0] if is_notification else message.get("result")
    return bytes.fromhex(said["hex"])[:80] if isinstance(said, dict) else None


def _free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 without a listener: ElectrumX cannot report which ports it got."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
