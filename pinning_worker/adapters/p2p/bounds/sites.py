"""How many places each address and each site (domain/site.py) has: one with more gives up a place to one with less."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pinning_worker.domain.site import site_of


class Counts:
    """How many places each address has, and each site."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._of_address = Counter(addresses)
        self._of_site = Counter[str]()
        for address, places in self._of_address.items():
            self._of_site[site_of(address)] += places

    def of(self, address: str) -> tuple[int, int]:
        """The places of its site, and its own: the greatest pair has the most."""
        return self._of_site[site_of(address)], self._of_address[address]

    def lead(self, address: str, over: str) -> int:
        """How many more places it has than the other, where the two first differ."""
        if site_of(address) != site_of(over):
            return self.of(address)[0] - self.of(over)[0]
        return self.of(address)[1] - self.of(over)[1]

    def greediest(self) -> str:
        return max(self._of_address, key=self.of)
