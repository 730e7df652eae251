"""The key of a private network, in the format of Kubo's `swarm.key`.

    /key/swarm/psk/1.0.0/
    /base16/
    <64 hex digits>

A peer with the 32 bytes is in the network; without them it sees noise. `/base64/` and `/bin/` are read too, as in Kubo.
Sources: go-libp2p core/pnet/codec.go; https://github.com/libp2p/specs/blob/master/pnet/Private-Networks-PSK-V1.md.
"""

from __future__ import annotations

import base64

KEY_BYTES = 32
_HEADER = b"/key/swarm/psk/1.0.0/"
_WITHOUT_PROTECTION = frozenset({"quic", "quic-v1", "webtransport", "webrtc", "webrtc-direct", "udp"})


class BadSwarmKey(ValueError):
    """Not a swarm key. The text names the fault, never the key."""


def decode_swarm_key(file: bytes) -> bytes:
    """The 32 bytes in a `swarm.key`. Raises BadSwarmKey."""
    header, _, rest = file.partition(b"\n")
    encoding, _, body = rest.partition(b"\n")
    if header.strip() != _HEADER:
        raise BadSwarmKey(f"is no swarm key: its first line must be {_HEADER.decode()}")
    try:
        key = _decoded(encoding.strip(), body)
    except BadSwarmKey:
        raise
    except ValueError:
        raise BadSwarmKey(f"is damaged: what follows {encoding.decode().strip()} is not that") from None
    if len(key) != KEY_BYTES:
        raise BadSwarmKey(f"is damaged: the key has {len(key)} bytes, not {KEY_BYTES}")
    return key


def _decoded(encoding: bytes, body: bytes) -> bytes:
    match encoding:
        case b"/base16/":
            return bytes.fromhex(body.decode("ascii"))
        case b"/base64/":
            return base64.b64decode(body.strip(), validate=True)
        case b"/bin/":
            return body[:KEY_BYTES]
        case _:
            raise BadSwarmKey("is no swarm key: its second line must be /base16/, /base64/ or /bin/")


def encode_swarm_key(key: bytes) -> bytes:
    """The file, as `ipfs-swarm-key-gen` writes it and js-libp2p and Kubo read it."""
    return b"%s\n/base16/\n%s\n" % (_HEADER, key.hex().encode())


def unprotected(multiaddr: str) -> bool:
    """Whether this address uses a transport with encryption of its own, which the swarm key does not protect."""
    return not _WITHOUT_PROTECTION.isdisjoint(multiaddr.split("/"))
