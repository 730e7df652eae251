"""How many places each address and each site (domain/site.py) has: one with more gives up a place to one with less."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pinning_worker.domain.site import Part, lead, site_of


class Counts:
    """How many places each address has, and each site."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._of = Counter[Part]()
        self._addresses = Counter(addresses)
        for address, places in self._addresses.items():
            for part in _parts(address):
                self._of[part] += places

    def of(self, address: str) -> tuple[int, ...]:
        """The places of its site, and its own: the greatest pair has the most."""
        return tuple(self._of[part] for part in _parts(address))

    def lead(self, address: str, over: str) -> int:
        """How many more places it has than the other, where the two first differ."""
        return lead(self._of, _parts(address), _parts(over))

    def greediest(self) -> str:
        return max(self._addresses, key=self.of)


def _parts(address: str) -> tuple[Part, ...]:
    return ("site", site_of(address)), (address,)
