"""The attack list in a private network: by strangers, who cannot get past its cipher, and by whoever holds the key.

On the wire: 24 bytes of nonce, then everything else, encrypted (cures/connections/private_network.py); over ws in its
messages.
"""

from __future__ import annotations

import secrets
import struct
from functools import partial
from pathlib import Path

import pytest
import trio

from pinning_worker.adapters.p2p.host.protected_connection import NONCE_BYTES, xsalsa20
from tests.interop.node_binary import needs_node
from tests.interop.siege import MULTISTREAM, NOISE, SOURCES, UPGRADE, besieged, say

pytestmark = [pytest.mark.interop, needs_node]

KEY, OTHER_KEY = secrets.token_bytes(32), secrets.token_bytes(32)
NONCE = b"\x00" + NOISE(NONCE_BYTES - 1)  # the port takes it for neither HTTP nor TLS
CHOSEN = MULTISTREAM + b"\x07/noise\n"
DRIP_SECONDS, SILENT = 0.3, 250


def under(key: bytes, said: bytes) -> bytes:
    encrypted: bytes = xsalsa20(key, NONCE).encrypt(said)
    return NONCE + encrypted


def message(payload: bytes) -> bytes:
    """Of a websocket's client; its mask changes nothing."""
    length = struct.pack("!BH", 0x80 | 126, len(payload)) if len(payload) > 125 else bytes([0x80 | len(payload)])
    return b"\x82" + length + bytes(4) + payload


BEFORE_THE_NONCE = (b"", NONCE[:1], NONCE[:3], NONCE[:-1], CHOSEN, b"\x00" * 5_000, UPGRADE, UPGRADE + NOISE(2_000))
AFTER_IT = (
    NONCE,
    NONCE + NOISE(5_000),
    NONCE * 200,
    NONCE + CHOSEN,  # unencrypted
    under(OTHER_KEY, CHOSEN + b"\x00\x20" + NOISE(32)),
    under(KEY, NONCE),
    under(KEY, b"\xff" * 64),
    under(KEY, MULTISTREAM + b"\xff\xff\xff\xff\x7f" + NOISE(100)),
    under(KEY, MULTISTREAM),
    under(KEY, CHOSEN),
    under(KEY, CHOSEN + b"\x00\x20" + NOISE(32) + NOISE(300)),
    under(KEY, CHOSEN + b"\xff\xff" + NOISE(40)),
    under(KEY, NOISE(5_000)),
)
ON_THE_PORT = (
    *BEFORE_THE_NONCE,
    *AFTER_IT,
    *(UPGRADE + message(said) for said in AFTER_IT),
    UPGRADE + message(b"") * 500,
    UPGRADE + message(NONCE[:5]) + message(b"") + message(NONCE[5:]) + message(NOISE(500)),
)
AND_NO_MORE = (
    (NONCE[:5], NONCE),
    (under(KEY, MULTISTREAM), under(KEY, CHOSEN + b"\x00\x20"), UPGRADE + message(NONCE[:5])),
)


async def test_on_every_listener(tmp_path: Path) -> None:
    async with besieged(tmp_path, swarm_key=KEY) as siege:
        await siege.withstands("garbage", partial(siege.garbage, ON_THE_PORT))
        for hellos in AND_NO_MORE:
            half_open = [partial(siege.silence, hello, SILENT) for hello in (*map(say, hellos), _drip)]
            await siege.withstands("half open", *half_open, partial(siege.newcomer, siege.worker.tcp_addr))
        await siege.newcomer(siege.worker.ws_addr)


async def _drip(stream: trio.SocketStream, _number: int) -> None:
    """The nonce, a byte now and then; the worker hangs up before it is whole, or soon after."""
    for byte in NONCE * 10:
        await stream.send_all(bytes([byte]))
        await trio.sleep(DRIP_SECONDS)


async def test_by_a_peer_that_holds_the_key(tmp_path: Path) -> None:
    said: dict[str, int] = {}

    async def throw() -> None:
        said.update(await siege.peer("malformed", SOURCES[0]))

    async with besieged(tmp_path, swarm_key=KEY) as siege:
        await siege.withstands("malformed", throw)
        await siege.newcomer(siege.worker.ws_addr)
    assert said["left"] == 0, "all was thrown"
    assert said["missed"] == 0, "at every protocol"
