"""This worker's peer id and addresses, read from the key file and the settings without starting anything.

Addresses of webrtc-direct are left out: they end in the hash of a certificate, which is known only while it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinning_worker.commands.telling import ExitCode, Told, telling
from pinning_worker.domain.identities import PeerId

if TYPE_CHECKING:
    from pinning_worker.settings import PeerSettings, StoreSettings

_LOOPBACK = (("/ip4/0.0.0.0/", "/ip4/127.0.0.1/"), ("/ip6/::/", "/ip6/::1/"))


def own_peer(settings: StoreSettings) -> PeerId:
    """The peer id. Makes no key where there is none. Raises Told."""
    from pinning_worker.adapters.p2p.host.identity import BadKey, load_key, peer_id_of

    try:
        with telling({BadKey: ExitCode.CONFIGURATION}):
            return peer_id_of(load_key(settings.key_file))
    except FileNotFoundError:
        raise Told(
            f"there is no key in {settings.key_file} yet: `pinning-worker keygen` makes one, and so does the first "
            "`pinning-worker run`",
            ExitCode.CONFIGURATION,
        ) from None


def told_addresses(settings: PeerSettings) -> list[str]:
    """The announced addresses: PINNING_ANNOUNCE, else those of the interfaces; loopback only if there are no others."""
    from pinning_worker.adapters.p2p.addresses import parse, reachable

    if settings.announce:
        return list(settings.announce)
    found = [str(address) for address in reachable(parse(text) for text in _without_webrtc(settings))]
    return [text for text in found if not text.startswith(("/ip4/127.", "/ip6/::1/"))] or found


def addresses_from_here(settings: PeerSettings) -> list[str]:
    """The addresses to dial from this machine. /tls/ws comes last: its certificate is for another name."""
    found = [_on_loopback(text) for text in _without_webrtc(settings)]
    return sorted(found, key=lambda text: "/tls/" in text or text.endswith("/wss"))


def ending_in(address: str, peer: str) -> str:
    return address if f"/p2p/{peer}" in address else f"{address}/p2p/{peer}"


def _without_webrtc(settings: PeerSettings) -> list[str]:
    return [text for text in settings.listen if "webrtc" not in text]


def _on_loopback(address: str) -> str:
    for any_, loopback in _LOOPBACK:
        address = address.replace(any_, loopback)
    return address
