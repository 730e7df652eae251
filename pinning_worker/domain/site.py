"""Sites: the addresses of one customer. An address costs money, but one customer gets 256 IPv6 networks, or 65 536.

So a fair share compares sites first: the site of an IPv6 /64 is its /48, that of any other address is the address. No
limit counts connections by site, for many people may be at one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv6Network, ip_network

Part = tuple[str, ...]
"""A site, an address, or what is narrower: a connection, a peer."""


@lru_cache(maxsize=4096)
def site_of(address: str) -> str:
    """`address`: as counted in p2p/host/whereabouts.py, or another text that stands for one."""
    if ":" not in address:
        return address
    try:
        network = ip_network(address)
    except ValueError:
        return address
    wide = isinstance(network, IPv6Network) and network.prefixlen > 48
    return str(network.supernet(new_prefix=48)) if wide else address


def lead(counts: Mapping[Part, int], parts: Iterable[Part], over: Iterable[Part]) -> int:
    """How many more the one has than the other, at the first part in which the two differ. The parts of each go from
    the widest (its site) to the narrowest."""
    return next((counts[one] - counts[two] for one, two in zip(parts, over, strict=True) if one != two), 0)
