"""What routers say that miniupnpd never does. With miniupnpd itself: tests/interop/test_upnp.py."""

from __future__ import annotations

import pytest

from pinning_worker.adapters.p2p.discovery.upnp_router import NAME, NotMapped, Router, public_address


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
