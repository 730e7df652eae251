"""The cure for private networks: the cipher is XSalsa20 to the bit, by its published vectors and by libsodium; and
what goes over the wire is nonce and stream as specified."""

from __future__ import annotations

import hashlib
import os

import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.io.trio import TrioTCPStream
from libp2p.network import swarm
from libp2p.network.connection.raw_connection import RawConnection
from nacl.secret import SecretBox

from pinning_worker.adapters.p2p.cures.connections import private_network
from pinning_worker.adapters.p2p.host.protected_connection import fingerprint, hsalsa20, xsalsa20
from tests.adapters.p2p.cure_rig import outcome, play

# "Cryptography in NaCl" (Bernstein, 2009), sections 8 and 9, and tests/stream.c of NaCl.
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
FIRST_KEY = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
NONCE = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
SECOND_KEY = bytes.fromhex("dc908dda0b9344a953629b733820778880f3ceb421bb61b91cbd4c3e66256ce4")
FIRST_BYTES = bytes.fromhex("eea6a7251c1e72916d11c2cb214d3c252539121d8e234e652d651fa4c8cff880")
SHA256_OF_4_MIB = "662b9d0e3463029156069b12f918691a98f7dfb2ca0393c96bbfc6b1fbd630a2"

KEY = bytes(range(32))
PLAIN = b"\x13/multistream/1.0.0\n"


def test_hsalsa20_by_nacls_vectors() -> None:
    assert hsalsa20(SHARED, bytes(16)) == FIRST_KEY
    assert hsalsa20(FIRST_KEY, NONCE[:16]) == SECOND_KEY


def test_xsalsa20_by_nacls_vectors() -> None:
    assert xsalsa20(FIRST_KEY, NONCE).encrypt(bytes(32)) == FIRST_BYTES
    assert hashlib.sha256(xsalsa20(FIRST_KEY, NONCE).encrypt(bytes(4 << 20))).hexdigest() == SHA256_OF_4_MIB


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=24, max_size=24), st.binary(max_size=300))
def test_xsalsa20_as_libsodium_has_it(key: bytes, nonce: bytes, text: bytes) -> None:
    """A secretbox is XSalsa20 from the 32nd byte of the stream on, behind 16 bytes of authenticator."""
    assert SecretBox(key).encrypt(text, nonce).ciphertext[16:] == xsalsa20(key, nonce).encrypt(bytes(32) + text)[32:]


@given(st.binary(min_size=32, max_size=32), st.lists(st.binary(max_size=100), max_size=10))
def test_the_stream_does_not_depend_on_how_it_is_cut(key: bytes, pieces: list[bytes]) -> None:
    whole, cut = xsalsa20(key, NONCE), xsalsa20(key, NONCE)
    assert whole.encrypt(b"".join(pieces)) == b"".join(cut.encrypt(piece) for piece in pieces)


def test_a_network_is_named_as_kubo_names_it() -> None:
    """For a random key Kubo itself is asked, in tests/interop/test_kubo.py."""
    assert fingerprint(KEY) == "41dfbf48d882a8ee665983adfa7a48f7"


async def what_goes_over_the_wire() -> str:
    """A protected connection of the library on one end of a socket, the specification by hand on the other."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    ours = await trio.open_tcp_stream("127.0.0.1", port)
    theirs = await listeners[0].accept()
    async with listeners[0], theirs:
        connection = swarm.new_protected_conn(  # type: ignore[attr-defined]  # where the cure is
            RawConnection(TrioTCPStream(ours), True), KEY.hex()
        )
        await connection.write(PLAIN)
        sent = await _exactly(theirs, 24 + len(PLAIN))
        if sent is None or xsalsa20(KEY, sent[:24]).decrypt(sent[24:]) != PLAIN:
            return "not as specified"
        nonce = os.urandom(24)
        for byte in nonce + xsalsa20(KEY, nonce).encrypt(PLAIN):  # one by one: the nonce may come in pieces
            await theirs.send_all(bytes([byte]))
        read = b""
        while len(read) < len(PLAIN):
            read += await connection.read(len(PLAIN) - len(read))
        return "as specified" if read == PLAIN else "read something else"


async def _exactly(stream: trio.SocketStream, count: int) -> bytes | None:
    data = b""
    with trio.move_on_after(1):
        while len(data) < count:
            data += await stream.receive_some(count - len(data))
        return data
    return None


def test_it_is_as_specified() -> None:
    assert outcome(what_goes_over_the_wire, stock=False) == "as specified"


def test_on_the_stock_library_it_is_not() -> None:
    assert outcome(what_goes_over_the_wire, stock=True) == "not as specified"


if __name__ == "__main__":
    play(globals(), private_network)
