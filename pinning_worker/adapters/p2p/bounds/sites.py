"""Which addresses are one site's. An address costs money, but one customer is given 256 IPv6 networks, or 65 536.

So where places are given to whoever has less, sites are compared first: of an IPv6 /64 its /48, of all else itself. No
limit counts by site, for many people may be at one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Network, ip_network


@lru_cache(maxsize=4096)
def site_of(address: str) -> str:
    """`address`: as it is counted (whereabouts.py), or whatever else stands for one."""
    try:
        network = ip_network(address)
    except ValueError:
        return address
    return str(network.supernet(new_prefix=48)) if isinstance(network, IPv6Network) else address


class Counts:
    """How many places each address has, and each site."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._of_address = Counter(addresses)
        self._of_site = Counter[str]()
        for address, places in self._of_address.items():
            self._of_site[site_of(address)] += places

    def of(self, address: str) -> tuple[int, int]:
        """Of its site, and its own: the greatest has the most."""
        return self._of_site[site_of(address)], self._of_address[address]

    def lead(self, address: str, over: str) -> int:
        """How many more it has than the other, where the two first differ."""
        if site_of(address) != site_of(over):
            return self.of(address)[0] - self.of(over)[0]
        return self.of(address)[1] - self.of(over)[1]

    def greediest(self) -> str:
        return max(self._of_address, key=self.of)
