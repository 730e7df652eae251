"""A connection of a private network, as js-libp2p and Kubo speak it.

Each side sends its nonce in front of its first bytes; from then on both directions are XORed with XSalsa20's stream,
which is Salsa20 under the key HSalsa20(key, nonce[:16]) and the nonce nonce[16:]. This keeps strangers out; secrecy and
authenticity are noise's, which runs inside.

Specification: https://github.com/libp2p/specs/blob/master/pnet/Private-Networks-PSK-V1.md; Bernstein, "Extending the
Salsa20 nonce" (HSalsa20 and XSalsa20).
"""

from __future__ import annotations

import os
import struct
from hashlib import shake_128
from typing import Any

import trio
from Crypto.Cipher import Salsa20
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection

NONCE_BYTES = 24
CLOSE_SECONDS = 5.0
_SIGMA = struct.unpack("<4I", b"expand 32-byte k")
_COLUMNS = ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11))
_ROWS = ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14))


class ProtectedConnection(RawConnection):
    """A connection whose bytes only holders of the 32-byte `key` can read or make."""

    def __init__(self, inner: RawConnection, key: bytes) -> None:
        super().__init__(inner, inner.is_initiator, inner.get_connection_type(), inner.get_transport_addresses())
        self._key = key
        self._sending: Any = None
        self._receiving: Any = None

    async def write(self, data: bytes) -> None:
        nonce = b""
        if self._sending is None:
            nonce = os.urandom(NONCE_BYTES)
            self._sending = xsalsa20(self._key, nonce)
        await super().write(nonce + self._sending.encrypt(data))

    async def read(self, n: int | None = None) -> bytes:
        """Raises ConnectionClosedError: the other side went before its nonce was whole."""
        if self._receiving is None:
            self._receiving = xsalsa20(self._key, await self._nonce())
        data = await super().read(n)
        return self._receiving.decrypt(data) if data else b""

    async def close(self) -> None:
        """Shielded: for an abandoned dial, the library closes within the cancelled scope."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
            await super().close()

    async def _nonce(self) -> bytes:
        nonce = b""
        while len(nonce) < NONCE_BYTES:
            piece = await super().read(NONCE_BYTES - len(nonce))
            if not piece:
                raise ConnectionClosedError("closed before the nonce of the private network")
            nonce += piece
        return nonce


def xsalsa20(key: bytes, nonce: bytes) -> Any:
    """XSalsa20's stream under 32 bytes of key and 24 of nonce: an object with `encrypt` and `decrypt`."""
    return Salsa20.new(key=hsalsa20(key, nonce[:16]), nonce=nonce[16:])


def hsalsa20(key: bytes, nonce: bytes) -> bytes:
    """A key of 32 bytes out of one of 32 and 16 bytes of nonce: Salsa20's twenty rounds without the final addition."""
    k, n = struct.unpack("<8I", key), struct.unpack("<4I", nonce)
    x = [_SIGMA[0], *k[:4], _SIGMA[1], *n, _SIGMA[2], *k[4:], _SIGMA[3]]
    for _ in range(10):
        for indices in _COLUMNS + _ROWS:
            _quarter_round(x, *indices)
    return struct.pack("<8I", *(x[index] for index in (0, 5, 10, 15, 6, 7, 8, 9)))


def _quarter_round(x: list[int], a: int, b: int, c: int, d: int) -> None:
    x[b] ^= _rotated(x[a] + x[d], 7)
    x[c] ^= _rotated(x[b] + x[a], 9)
    x[d] ^= _rotated(x[c] + x[b], 13)
    x[a] ^= _rotated(x[d] + x[c], 18)


def _rotated(word: int, bits: int) -> int:
    word &= 0xFFFFFFFF
    return (word << bits | word >> (32 - bits)) & 0xFFFFFFFF


def fingerprint(key: bytes) -> str:
    """Identifies a private network without revealing its key: the same 32 hex digits that Kubo prints at its start."""
    return shake_128(Salsa20.new(key=key, nonce=b"finprint").encrypt(bytes(64))).hexdigest(16)
