"""The signer's twin: an Ed25519 key of its own, made from a seed, so that a test signs the same every time."""

from __future__ import annotations

from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa
from multiformats import multibase

from pinning_worker.domain.identities import PeerId

_ED25519_PEER = bytes.fromhex("002408011220")


class MemorySigner:
    """Port Signer."""

    def __init__(self, seed: bytes = b"\x01" * 32) -> None:
        self._key = ECC.construct(curve="Ed25519", seed=seed)  # type: ignore[arg-type]  # the stub is wrong: it takes bytes
        public = self._key.public_key().export_key(format="raw")
        self.peer_id = PeerId(multibase.encode(_ED25519_PEER + public, "base58btc")[1:])

    def sign(self, message: bytes) -> bytes:
        return bytes(eddsa.new(self._key, "rfc8032").sign(message))
