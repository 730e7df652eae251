"""A stranger's first line must be short.

The fault: thirty sockets each promise a first line of 1 GiB, and the worker holds 2 GiB before any peer is known. Why:
multistream-select, which begins every connection and every stream, reads as many bytes as its sender announces and
allocates them at once. Where: `read_delim`, in `MultiselectCommunicator.read`.

The cure: a line has LONGEST bytes at most, as in go-multistream and js-libp2p; a longer one is refused before a byte of
it is read. A line that is no text ends the negotiation like any other nonsense.

Upstream: GHSA-hmjq-g7pp-rw3x, mended in 0.8.2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from libp2p.exceptions import ParseError
from libp2p.io.abc import Reader
from libp2p.io.exceptions import MessageTooLarge
from libp2p.protocol_muxer import multiselect_communicator
from libp2p.utils.varint import read_varint_prefixed_bytes_limited

from pinning_worker.adapters.p2p.cures.once import replace

LONGEST = 1024

Read = Callable[[Reader], Awaitable[bytes]]


def mend() -> None:
    replace(multiselect_communicator, "read_delim", _short)


def _short(_stock: Read) -> Read:
    async def mended(reader: Reader) -> bytes:
        try:
            line = await read_varint_prefixed_bytes_limited(reader, LONGEST)
        except MessageTooLarge as error:
            raise ParseError(f"a line of more than {LONGEST} bytes") from error
        if not line.endswith(b"\n"):
            raise ParseError("a line without an end")
        if not line.isascii():
            raise ParseError("a line that is no text")
        return line[:-1]

    return mended
