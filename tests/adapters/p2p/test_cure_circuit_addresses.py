"""The circuit-addresses cure: what a host says of a relay leads to the host, and not to the relay."""

from __future__ import annotations

from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.cures.identify import circuit_addresses
from tests.adapters.p2p.cure_rig import bare_host, outcome, play

DIRECT = "/ip4/127.0.0.1/tcp/1"
RELAY = "/ip4/127.0.0.1/tcp/2/p2p/12D3KooWA8gYAdWLvVhMQ7j34xw4355AmKhfyNCuqFFFygZqu6Jo"


async def what_is_told() -> str:
    told = [Multiaddr(DIRECT), Multiaddr(RELAY + "/p2p-circuit")]
    async with bare_host(addrs_factory=lambda _: told) as host:
        own = str(host.get_id())
        return " ".join(str(address).replace(own, "OWN") for address in host.get_addrs())


def test_it_leads_through_the_relay() -> None:
    assert outcome(what_is_told, stock=False) == f"{DIRECT}/p2p/OWN {RELAY}/p2p-circuit/p2p/OWN"


def test_in_the_stock_library_it_leads_to_the_relay() -> None:
    assert outcome(what_is_told, stock=True) == f"{DIRECT}/p2p/OWN /ip4/127.0.0.1/tcp/2/p2p/OWN"


if __name__ == "__main__":
    play(globals(), circuit_addresses)
