"""The cure for first lines: who promises a long one is hung up on, and nothing is held for it."""

from __future__ import annotations

from collections.abc import Sequence

import trio
import trio.testing
from libp2p.io.abc import ReadWriteCloser
from libp2p.protocol_muxer.exceptions import MultiselectCommunicatorError
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

from pinning_worker.adapters.p2p.cures.ports import short_lines
from pinning_worker.adapters.p2p.cures.process import crash
from tests.adapters.p2p.cure_rig import TCP, bare_host, outcome, play

MIB = 1024 * 1024
PROMISE = b"\x80\x80\x80\x80\x04"  # 1 GiB
LINE = b"\x13/multistream/1.0.0\n"


class _Wire(ReadWriteCloser):
    """Says what it was given, and remembers how much it was asked for at once."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.asked_for: list[int] = []

    async def read(self, n: int | None = None) -> bytes:
        self.asked_for.append(n or 0)
        said, self.says = self.says[:n], self.says[n:]
        return said

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...

    def get_remote_address(self) -> tuple[str, int] | None:
        return None


async def a_gibibyte_promised() -> str:
    """So much room the reader makes."""
    wire = _Wire(PROMISE + bytes(5000))
    try:
        await MultiselectCommunicator(wire).read()
    except MultiselectCommunicatorError:
        return f"refused, room for {max(wire.asked_for)} bytes"
    return "taken"


async def lines() -> str:
    said = []
    for text in (LINE, b"\x00", b"\x02ab", b"\x03\xff\xfe\n", b"\x85", b"\xff" * 20, b"\x81\x08" + b"a" * 1024 + b"\n"):
        try:
            said.append(await MultiselectCommunicator(_Wire(text)).read())
        except MultiselectCommunicatorError:
            said.append("-")
    return " ".join(said)


async def thirty_sockets() -> str:
    """Each promises 1 GiB and sends a mebibyte of it: how many are hung up on within seconds, without a word more."""
    async with bare_host(TCP) as host:
        port = int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
        hung_up = await _promise(port, range(30))
    return f"{hung_up} hung up on"


async def _promise(port: int, sockets: Sequence[int]) -> int:
    hung_up = 0

    async def one() -> None:
        nonlocal hung_up
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            try:
                await stream.send_all(LINE + PROMISE + bytes(MIB))
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
            hung_up += 1

    with trio.move_on_after(3):
        async with trio.open_nursery() as nursery:
            for _ in sockets:
                nursery.start_soon(one)
    return hung_up


def test_no_room_is_made_for_a_promise() -> None:
    assert outcome(a_gibibyte_promised, stock=False) == "refused, room for 1 bytes"


def test_the_stock_library_makes_room_for_it() -> None:
    assert outcome(a_gibibyte_promised, stock=True) == f"refused, room for {1024 * MIB} bytes"


def test_lines_are_read_and_nonsense_is_refused() -> None:
    assert outcome(lines, stock=False) == "/multistream/1.0.0 - - - - - -"


def test_sockets_that_promise_are_hung_up_on() -> None:
    assert outcome(thirty_sockets, stock=False) == "30 hung up on"


def test_the_stock_library_listens_to_them() -> None:
    assert outcome(thirty_sockets, stock=True) == "0 hung up on"


if __name__ == "__main__":
    play(globals(), crash, short_lines)
