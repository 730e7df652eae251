"""The exclusive-port cure: a second host on the same port does not start."""

from __future__ import annotations

from pinning_worker.adapters.p2p.cures.ports import exclusive_port
from tests.adapters.p2p.cure_rig import bare_host, outcome, play


async def twice_on_one_port() -> str:
    async with bare_host() as first:
        listening = str(first.get_transport_addrs()[0])
        async with bare_host(listening) as second:
            shared = [str(address) for address in second.get_transport_addrs()] == [listening]
    async with bare_host(listening) as again:  # a restart is not kept out
        restarted = bool(again.get_transport_addrs())
    return f"shared={shared} restarted={restarted}"


def test_a_port_has_one_owner() -> None:
    assert outcome(twice_on_one_port, stock=False) == "shared=False restarted=True"


def test_the_stock_library_shares_it_in_silence() -> None:
    assert outcome(twice_on_one_port, stock=True) == "shared=True restarted=True"


if __name__ == "__main__":
    play(globals(), exclusive_port)
