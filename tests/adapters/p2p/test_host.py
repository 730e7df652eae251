"""The host on loopback: listening or a clear refusal, connecting or a clear refusal, and closing so that it can start
again."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack, suppress
from datetime import timedelta

import pytest
import trio
from libp2p.exceptions import BaseLibp2pError
from structlog.testing import capture_logs

from pinning_worker.adapters.p2p.discovery.bootstrap import LONGEST_WAIT_SECONDS, wait_after
from pinning_worker.adapters.p2p.errors import BadAddress, CannotConnect, CannotListen
from pinning_worker.adapters.p2p.host.host import Host
from pinning_worker.adapters.p2p.host.identity import new_key, peer_id_of
from pinning_worker.adapters.p2p.open_host import NEWCOMERS, HostConfig, open_host
from pinning_worker.domain.identities import PeerId

TCP, WS = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"


def config(*listen: str, **more: object) -> HostConfig:
    return HostConfig(new_key(), listen or (TCP, WS), **more)  # type: ignore[arg-type]  # any field


def port_of(host: Host) -> int:
    return int(host.addresses[0].split("/")[4])


async def gone(host: Host, peer: PeerId) -> None:
    with trio.fail_after(20):
        while host.is_connected(peer):
            await host.changed()


async def test_tcp_and_ws_share_one_port_and_both_are_dialled() -> None:
    async with open_host(config()) as a, open_host(config()) as b:
        tcp, ws = a.addresses
        assert ws == tcp.replace("/p2p/", "/ws/p2p/")
        for address in (tcp, ws):
            assert await b.connect(address, deadline=20) == a.peer_id
            assert (a.peers(), b.peers()) == ([b.peer_id], [a.peer_id])
            assert await b.connect(ws, deadline=0) == a.peer_id  # there is a connection: nothing to wait for
            await b.disconnect(a.peer_id)
            await gone(a, b.peer_id)


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@needs_ipv6
@pytest.mark.parametrize(("any4", "any6"), [("127.0.0.1", "::1"), ("0.0.0.0", "::")], ids=["loopback", "any"])
async def test_ipv4_and_ipv6_share_one_port_number_for_tcp_and_ws(any4: str, any6: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    listen = [f"/{kind}/{ip}/tcp/{port}{ws}" for kind, ip in (("ip4", any4), ("ip6", any6)) for ws in ("", "/ws")]
    async with open_host(config(*listen)) as a, open_host(config()) as b:
        for ip in ("ip4/127.0.0.1", "ip6/::1"):
            for ws in ("", "/ws"):
                address = f"/{ip}/tcp/{port}{ws}/p2p/{a.peer_id}"
                assert address in a.addresses
                assert await b.connect(address, deadline=20) == a.peer_id
                assert b.peers() == [a.peer_id]
                await b.disconnect(a.peer_id)
                await gone(a, b.peer_id)


@needs_ipv6
@pytest.mark.parametrize("ws", ["", "/ws"])
async def test_ipv6_alone(ws: str) -> None:
    async with open_host(config(f"/ip6/::1/tcp/0{ws}")) as a, open_host(config()) as b:
        (address,) = a.addresses
        assert await b.connect(address, deadline=20) == a.peer_id
        with pytest.raises(CannotListen, match="in use"):
            async with open_host(config(address.partition("/p2p/")[0])):
                pass


@pytest.mark.parametrize("first", [(TCP, WS), (TCP,), (WS,)], ids=["shared", "tcp", "ws"])
@pytest.mark.parametrize("second", ["", "/ws", "both"])
async def test_a_busy_port_is_a_clear_error(first: tuple[str, ...], second: str) -> None:
    async with open_host(config(*first)) as host:
        taken = f"/ip4/127.0.0.1/tcp/{port_of(host)}"
        wanted = (taken, taken + "/ws") if second == "both" else (taken + second,)
        with pytest.raises(CannotListen, match=f"{wanted[0]}: Address already in use"):
            async with open_host(config(*wanted)):
                pass


async def test_a_port_taken_by_another_program_is_a_clear_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(CannotListen, match="in use"):
            async with open_host(config(f"/ip4/127.0.0.1/tcp/{other.getsockname()[1]}")):
                pass


async def test_an_address_that_is_not_ours_is_a_clear_error() -> None:
    with pytest.raises(CannotListen, match=r"192\.0\.2\.77.*assign"):
        async with open_host(config("/ip4/192.0.2.77/tcp/0")):
            pass


@pytest.mark.parametrize("listen", ["", "hello", "/ip4/127.0.0.1", "/ip4/127.0.0.1/udp/1/quic-v1", "/tcp/1/ws"])
async def test_what_cannot_be_listened_on_is_refused(listen: str) -> None:
    with pytest.raises(BadAddress):
        async with open_host(config(listen)):
            pass


async def test_a_bootstrap_address_without_a_peer_is_refused() -> None:
    with pytest.raises(BadAddress, match="p2p"):
        async with open_host(config(bootstrap=("/ip4/127.0.0.1/tcp/1",))):
            pass


async def test_it_starts_again_on_the_same_key_and_port_and_nothing_listens_in_between() -> None:
    key, peer_ids = new_key(), set()
    listen: tuple[str, ...] = (TCP, WS)
    async with open_host(config()) as other:
        for _ in range(3):
            async with open_host(HostConfig(key, listen)) as host:
                listen = tuple(address.partition("/p2p/")[0] for address in host.addresses)
                peer_ids.add(host.peer_id)
                await other.connect(host.addresses[0], deadline=20)
            await gone(other, host.peer_id)
            with pytest.raises(OSError, match="all attempts to connect"):
                await trio.open_tcp_stream("127.0.0.1", port_of_address(listen[0]))
    assert peer_ids == {peer_id_of(key)}


def port_of_address(address: str) -> int:
    return int(address.split("/")[4])


async def test_dialling_nobody_the_wrong_peer_or_a_deaf_one_is_a_clear_error() -> None:
    async with open_host(config()) as a, open_host(config()) as b:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            nobody = f"/ip4/127.0.0.1/tcp/{deaf.getsockname()[1]}/p2p/{a.peer_id}"
            with pytest.raises(CannotConnect, match="refused"):
                await b.connect(nobody, deadline=20)
            deaf.listen()
            with pytest.raises(CannotConnect, match=r"within 0\.2 s"):
                await b.connect(nobody, deadline=0.2)
        wrong = a.addresses[0].replace(a.peer_id, peer_id_of(new_key()))
        with pytest.raises(CannotConnect, match=r"(?i)peer id|identity|remote"):
            await b.connect(wrong, deadline=20)
        with pytest.raises(BadAddress):
            await b.connect("/ip4/127.0.0.1/tcp/1", deadline=20)
        assert await b.connect(a.addresses[0], deadline=20) == a.peer_id  # a failure a moment ago does not matter


async def test_comings_and_goings_are_told_and_a_callback_that_raises_harms_nobody() -> None:
    told: list[tuple[str, str]] = []

    def raises(peer: PeerId) -> None:
        raise ValueError("a bug of ours")

    async with open_host(config()) as a, open_host(config()) as b:
        a.on_connected += [raises, lambda peer: told.append(("came", peer))]
        a.on_disconnected.append(lambda peer: told.append(("went", peer)))
        with capture_logs() as logs:
            await b.connect(a.addresses[0], deadline=20)
            await b.disconnect(a.peer_id)
            await gone(a, b.peer_id)
            with trio.fail_after(20):
                while len(told) < 2:
                    await a.changed()
        assert told == [("came", b.peer_id), ("went", b.peer_id)]
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["libp2p.bug_in_our_callback"]


async def test_the_worker_announces_where_it_is_reached_or_what_it_is_told_to() -> None:
    async with open_host(config("/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/tcp/0/ws")) as host:
        assert f"/ip4/127.0.0.1/tcp/{port_of(host)}/p2p/{host.peer_id}" in host.addresses
        assert not [address for address in host.addresses if "0.0.0.0" in address]
        assert [address for address in host.addresses if "/ws/" in address]
    async with open_host(config(announce=("/dns4/pin.example/tcp/443/wss",))) as host:
        assert host.addresses == [f"/dns4/pin.example/tcp/443/wss/p2p/{host.peer_id}"]


async def test_what_the_block_raises_leaves_as_itself_and_cancellation_as_cancellation() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_host(config()):
            raise KeyError("mine")
    with trio.move_on_after(0.1) as scope:
        async with open_host(config()):
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_callers_beyond_the_limit_are_turned_away_and_get_in_when_somebody_has_left() -> None:
    small = config(max_connections=3 + NEWCOMERS, kept_for_dialling=1)
    async with open_host(small) as host, open_host(config()) as a, open_host(config()) as b, open_host(config()) as c:
        await a.connect(host.addresses[0], deadline=20)
        await b.connect(host.addresses[0], deadline=20)
        with suppress(CannotConnect):  # it may be sent away before it knows that it is connected
            await c.connect(host.addresses[0], deadline=5)
        await gone(c, host.peer_id)
        await gone(host, c.peer_id)
        assert set(host.peers()) == {a.peer_id, b.peer_id}
        await a.disconnect(host.peer_id)
        with trio.fail_after(20):
            while not host.is_connected(c.peer_id):
                with suppress(CannotConnect):
                    await c.connect(host.addresses[0], deadline=5)
                await trio.sleep(0.05)  # that somebody has left may have been told while we were refused


async def test_of_silent_sockets_so_many_are_held_and_an_honest_caller_gets_in() -> None:
    """64 on plain tcp, long before the deadline of a handshake."""
    rules, more = config(TCP, handshake_time=timedelta(seconds=600)), 20
    closed: list[trio.SocketStream] = []

    async def wait_for_the_end(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass
        closed.append(stream)

    async with (
        open_host(rules) as host,
        open_host(config()) as honest,
        AsyncExitStack() as stack,
        trio.open_nursery() as nursery,
    ):
        for _ in range(rules.max_half_open + more):
            stream = await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port_of(host)))
            nursery.start_soon(wait_for_the_end, stream)
        with trio.fail_after(30):
            while len(closed) < more:  # noqa: ASYNC110  the sockets tell nobody else
                await trio.sleep(0.01)
        await honest.connect(host.addresses[0], deadline=20)
        assert len(closed) <= more + 1, "the honest one took a place until it had finished"
        nursery.cancel_scope.cancel()


async def test_dials_that_were_given_up_keep_nobody_from_coming_or_being_dialled() -> None:
    small = config(max_connections=3, kept_for_dialling=1)
    async with open_host(small) as host, open_host(config()) as a, open_host(config()) as b:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen()
            for _ in range(6):
                with pytest.raises(CannotConnect, match="did not answer"):
                    await host.connect(f"/ip4/127.0.0.1/tcp/{deaf.getsockname()[1]}/p2p/{a.peer_id}", deadline=0.2)
        assert await a.connect(host.addresses[0], deadline=20) == host.peer_id
        assert await host.connect(b.addresses[0], deadline=20) == b.peer_id


async def test_a_peer_that_comes_again_and_again_keeps_nobody_else_out() -> None:
    small = config(max_connections=6, kept_for_dialling=1, max_connections_per_peer=1)
    async with open_host(small) as host, open_host(config()) as again, open_host(config()) as a:
        [tcp, _], peer = host.places, host.raw.get_id()
        for _ in range(20):
            with suppress(BaseLibp2pError):  # it may hear at once that it is one too many
                await again.swarm.dial_addr(tcp, peer)
        assert len(host.swarm.get_connections(again.raw.get_id())) <= 3
        with trio.fail_after(20):
            while not host.is_connected(a.peer_id):
                with suppress(CannotConnect):
                    await a.connect(host.addresses[0], deadline=5)
                await trio.sleep(0.05)  # the last one too many may still be leaving


def test_the_waits_between_dials_grow_and_end_growing() -> None:
    for failures, longest in [(0, 1), (1, 2), (3, 8), (6, LONGEST_WAIT_SECONDS), (10**6, LONGEST_WAIT_SECONDS)]:
        waits = [wait_after(failures) for _ in range(100)]
        assert longest / 2 <= min(waits) < max(waits) <= longest
