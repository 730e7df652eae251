"""The port Signer: the worker signs quotes and receipts with the key that its peer id is made of."""

from __future__ import annotations

from libp2p.crypto.keys import KeyPair

from pinning_worker.adapters.p2p.host.identity import peer_id_of
from pinning_worker.domain.identities import PeerId


class PeerSigner:
    def __init__(self, key: KeyPair) -> None:
        self._key, self._peer_id = key, peer_id_of(key)

    @property
    def peer_id(self) -> PeerId:
        return self._peer_id

    def sign(self, message: bytes) -> bytes:
        return bytes(self._key.private_key.sign(message))
