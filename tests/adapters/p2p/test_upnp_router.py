"""Answers of routers that miniupnpd never gives. With miniupnpd itself: tests/interop/test_upnp.py."""

from __future__ import annotations

import subprocess

import pytest
import trio

from pinning_worker.adapters.p2p.discovery import upnp_process
from pinning_worker.adapters.p2p.discovery.upnp_process import find_router
from pinning_worker.adapters.p2p.discovery.upnp_router import MOST_MEMORY, NAME, NotMapped, Router, public_address


def test_a_public_address_is_one() -> None:
    assert public_address("45.83.2.1") == "45.83.2.1"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("10.1.2.3", "10.1.2.3, is not public: there is another router before it"),
        ("100.64.3.2", "double NAT"),
        ("0.0.0.0", "is not public"),
        ("", "no external address"),
        ("::1", "'::1', which is none"),
        ("<nonsense>", "which is none"),
    ],
)
def test_another_one_is_not_told_to_peers(said: str, why: str) -> None:
    with pytest.raises(NotMapped, match=why):
        public_address(said)


class OldRouter:
    """Stands in for routers that know no lease, in miniupnpc's words: no program at hand behaves so."""

    def __init__(self) -> None:
        self.forwarded: list[tuple[object, ...]] = []

    def addportmapping(self, *mapping: object) -> None:
        if mapping[-1] != 0:
            raise Exception("OnlyPermanentLeasesSupported")  # noqa: TRY002  as miniupnpc does
        self.forwarded.append(mapping)


def test_a_router_that_knows_no_lease_is_asked_without_one() -> None:
    old = OldRouter()
    Router(old, "192.168.1.2").forward("tcp", 4001, 4001)
    assert old.forwarded == [(4001, "TCP", "192.168.1.2", 4001, NAME, "", 0)]


ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n"


async def test_a_router_that_sends_without_end_costs_its_process_and_not_the_worker() -> None:
    """It sends its description until the memory of the process that asks it is used up."""
    sent = 0

    async def send_for_ever(stream: trio.SocketStream) -> None:
        nonlocal sent
        try:
            await stream.send_all(ENDLESS)
            while sent < 2 * MOST_MEMORY:  # so much is without end for this test, and bearable for the machine
                await stream.send_all(bytes(1 << 20))
                sent += 1 << 20
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, send_for_ever, [listener])
        with pytest.raises(NotMapped), trio.fail_after(30):
            await find_router(f"http://127.0.0.1:{listener.socket.getsockname()[1]}/rootDesc.xml")
        nursery.cancel_scope.cancel()
    assert 0 < sent < MOST_MEMORY


async def test_a_router_that_never_finishes_is_left_at_the_deadline_with_its_process() -> None:
    came = trio.Event()

    async def send_a_letter_now_and_then(stream: trio.SocketStream) -> None:
        came.set()
        try:
            await stream.send_all(ENDLESS)
            while True:
                await stream.send_all(b"x")
                await trio.sleep(0.05)
        except trio.BrokenResourceError:
            left.set()

    left = trio.Event()
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, send_a_letter_now_and_then, [listener])
        with trio.CancelScope() as asking:
            async with trio.open_nursery() as waiting:
                waiting.start_soon(find_router, f"http://127.0.0.1:{listener.socket.getsockname()[1]}/rootDesc.xml")
                with trio.fail_after(30):
                    await came.wait()
                asking.cancel()
        with trio.fail_after(5):
            await left.wait()
        nursery.cancel_scope.cancel()


async def process(*command: str) -> trio.Process:
    return await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


async def test_a_call_that_was_given_up_ends_the_process_so_that_its_answer_is_taken_for_no_other() -> None:
    router = upnp_process.Router(silent := await process("sleep", "60"))
    with trio.move_on_after(0.1):
        await router.external_address()
    assert silent.returncode is not None
    with pytest.raises(NotMapped, match="has ended"):
        await router.external_address()


async def test_an_answer_is_a_line_of_a_few_kilobytes_at_most() -> None:
    with pytest.raises(NotMapped, match="too much"), trio.fail_after(30):
        await upnp_process.Router(await process("cat", "/dev/zero")).external_address()
