"""The websocket cure: a message of 2 MiB is read, and does not end the connection for its size."""

from __future__ import annotations

import trio
from trio_websocket import ConnectionClosed, open_websocket

from pinning_worker.adapters.p2p.cures import ws_frames
from tests.adapters.p2p.cure_rig import bare_host, outcome, play

TOO_LARGE = 1009  # RFC 6455, 7.4.1
MESSAGE = b"\x13/multistream/1.0.0\n" + b"\x07/noise\n" + b"\xff\xff" + bytes(2 * 1024 * 1024)


async def two_mebibytes() -> str:
    """The listener gets to see all of it: it answers the first lines, and closes over the garbage after them."""
    async with bare_host("/ip4/127.0.0.1/tcp/0/ws") as host:
        port = int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
        try:
            async with open_websocket("127.0.0.1", port, "/", use_ssl=False) as connection:
                await connection.send_message(MESSAGE)
                answer = b""
                with trio.fail_after(30):
                    while b"/noise" not in answer:
                        said = await connection.get_message()
                        assert isinstance(said, bytes)
                        answer += said
        except ConnectionClosed as closed:
            return f"closed with {closed.reason and closed.reason.code}"
    return "read"


def test_it_is_read() -> None:
    assert outcome(two_mebibytes, stock=False) == "read"


def test_the_stock_library_refuses_its_size() -> None:
    assert outcome(two_mebibytes, stock=True) == f"closed with {TOO_LARGE}"


if __name__ == "__main__":
    play(globals(), ws_frames)
