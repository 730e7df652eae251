"""An address through a relay must keep the relay.

The fault: a host that announces itself at `/ip4/…/p2p/RELAY/p2p-circuit` tells its peers `/ip4/…/p2p/ITSELF`, which is
the relay's door with its own name on it; nobody reaches it. Why: the library takes the first /p2p/ of an address for
the host's own, and cuts it off with all that follows. Where: `BasicHost.get_addrs`.

The cure: in a circuit's address only the part behind /p2p-circuit is replaced.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Callable

from libp2p.host.basic_host import BasicHost
from multiaddr import Multiaddr

from pinning_worker.adapters.p2p.cures.once import replace
from pinning_worker.adapters.p2p.peer_ids import peer_id

Get = Callable[[BasicHost], list[Multiaddr]]
CIRCUIT = "/p2p-circuit"


def mend() -> None:
    replace(BasicHost, "get_addrs", _keep_the_relay)


def _keep_the_relay(stock: Get) -> Get:
    def mended(self: BasicHost) -> list[Multiaddr]:
        factory = self._addrs_factory
        if factory is None:
            return stock(self)
        told = list(factory(list(self.get_transport_addrs())))
        circuits = [str(address) for address in told if CIRCUIT in str(address)]
        if not circuits:
            return stock(self)
        own = f"/p2p/{peer_id(self.get_id())}"
        direct = [str(address).partition("/p2p/")[0] for address in told if CIRCUIT not in str(address)]
        through = [each.partition(CIRCUIT)[0] + CIRCUIT for each in circuits]
        return [Multiaddr(each + own) for each in direct + through]

    return mended
