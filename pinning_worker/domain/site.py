"""Which addresses are one site's. An address costs money, but one customer is given 256 IPv6 networks, or 65 536.

So where things are given to whoever has less, sites are compared first: of an IPv6 /64 its /48, of all else itself. No
limit counts connections by site, for many people may be at one.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Network, ip_network


@lru_cache(maxsize=4096)
def site_of(address: str) -> str:
    """`address`: as it is counted (p2p/host/whereabouts.py), or whatever else stands for one."""
    if ":" not in address:
        return address
    try:
        network = ip_network(address)
    except ValueError:
        return address
    wide = isinstance(network, IPv6Network) and network.prefixlen > 48
    return str(network.supernet(new_prefix=48)) if wide else address
