"""Fixtures: a sandbox with a real ElectrumX, and one that serves ssl and wss too.

Import them by name into a test module (`from tests.interop.sandbox_fixture import sandbox`); they are ready in about a
second. `raw_electrum` is a client that does nothing but send and receive, so that no client of ours stands between a
test and what the server really said.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from trio_websocket import WebSocketConnection, open_websocket_url

from pinning_worker.domain.chain.address import scripthash
from pinning_worker.domain.identities import Script, Txid
from pinning_worker.sandbox.electrumx import Certificate
from pinning_worker.sandbox.sandbox import Sandbox, open_sandbox

ANSWER_SECONDS = 30


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with open_sandbox(tmp_path / "sandbox") as opened:
        yield opened


@pytest.fixture
async def secure_sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """Serves ssl and wss as well; clients trust `sandbox.electrumx.certificate.certificate`."""
    async with open_sandbox(tmp_path / "sandbox", certificate=self_signed(tmp_path)) as opened:
        yield opened


def self_signed(directory: Path) -> Certificate:
    """A certificate for 127.0.0.1 and localhost, good for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = Certificate(directory / "certificate.pem", directory / "key.pem")
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, pem, plain))
    return files


class RawElectrum:
    """JSON lines over ws, one request at a time; notifications that come in between are kept."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection
        self._asked = 0
        self._notifications: list[dict[str, Any]] = []

    async def ask(self, method: str, *params: Any) -> Any:
        """The result. Raises AssertionError with the server's error if it is one."""
        answer = await self.answer(method, *params)
        assert "error" not in answer, answer
        return answer["result"]

    async def answer(self, method: str, *params: Any) -> dict[str, Any]:
        """The whole answer, error or not."""
        self._asked += 1
        request = {"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params}
        await self._connection.send_message(json.dumps(request))
        while (message := await self._receive()).get("id") != self._asked:
            self._notifications.append(message)
        return message

    async def heard(self, method: str) -> list[Any]:
        """The parameters of the next notification of that kind."""
        while True:
            for at, message in enumerate(self._notifications):
                if message["method"] == method:
                    del self._notifications[at]
                    return list(message["params"])
            self._notifications.append(await self._receive())

    async def _receive(self) -> dict[str, Any]:
        with trio.fail_after(ANSWER_SECONDS):
            message: dict[str, Any] = json.loads(await self._connection.get_message())
        return message


@asynccontextmanager
async def raw_electrum(sandbox: Sandbox) -> AsyncIterator[RawElectrum]:
    async with open_websocket_url(sandbox.electrum_urls["ws"], max_message_size=16 << 20) as connection:
        client = RawElectrum(connection)
        await client.ask("server.version", "test", ["1.4", "1.4.3"])
        yield client


async def until_waiting(sandbox: Sandbox, script: Script, txid: Txid) -> None:
    """Returns once ElectrumX tells whoever asks for that script of a transaction that waits for its block."""
    async with raw_electrum(sandbox) as client:
        with trio.fail_after(ANSWER_SECONDS):
            while True:
                if txid in await _waiting(client, script):
                    return
                await trio.sleep(0.05)


async def _waiting(client: RawElectrum, script: Script) -> list[str]:
    return [each["tx_hash"] for each in await client.ask("blockchain.scripthash.get_mempool", scripthash(script))]
