"""Keys: made, kept, brought along. The texts that Kubo, js-libp2p and the old relay write, as they write them."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.serialization import deserialize_private_key

from pinning_worker.adapters.p2p.host.identity import (
    BadKey,
    KeyExists,
    decode_key,
    encode_key,
    import_file,
    import_key,
    load_key,
    load_or_create,
    new_key,
    peer_id_of,
    save_key,
)

KEY = create_new_key_pair(bytes(range(32)))
PROTOBUF = encode_key(KEY)
# The peer id that js-libp2p derives from this seed (generateKeyPairFromSeed).
PEER = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"


def test_the_form_is_that_of_every_libp2p_and_py_libp2p_refuses_it() -> None:
    assert b"\x08\x01\x12\x40" + bytes(range(32)) + KEY.public_key.to_bytes() == PROTOBUF
    with pytest.raises(ValueError, match="32 bytes"):
        deserialize_private_key(PROTOBUF)
    assert len(KEY.private_key.serialize()) == 36  # what py-libp2p writes, and others refuse


@pytest.mark.parametrize(
    "source",
    [
        PROTOBUF,
        PROTOBUF.hex().encode(),
        PROTOBUF.hex().upper().encode() + b"\n",
        base64.b64encode(PROTOBUF),
        base64.b64encode(PROTOBUF).rstrip(b"="),
        json.dumps({"Identity": {"PeerID": PEER, "PrivKey": base64.b64encode(PROTOBUF).decode()}, "API": {}}).encode(),
        json.dumps({"id": PEER, "privKey": base64.b64encode(PROTOBUF).decode(), "pubKey": "CAES"}).encode(),
        KEY.private_key.serialize(),
        b"\x08\x01\x12\x60" + bytes(range(32)) + KEY.public_key.to_bytes() * 2,
    ],
    ids=["protobuf", "hex", "HEX", "base64", "unpadded", "kubo config", "js json", "py-libp2p", "old go"],
)
def test_import_reads(source: bytes) -> None:
    assert peer_id_of(import_key(source)) == PEER


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"", "not a libp2p private key"),
        (b"hello world", "neither hex nor base64"),
        (b"\xff\xfe\x00", "neither a libp2p private key nor text"),
        (b"{", "is not"),
        (b'{"Identity": 7}', "no Identity"),
        (b'{"Identity": {}}', "no private key"),
        (PROTOBUF[:-1], "not a libp2p private key"),
        (PROTOBUF + b"\x00", "not a libp2p private key"),
        (PROTOBUF[:-1] + b"\x00", "damaged"),
        (b"\x08\x01\x12\x10" + bytes(16), "has 16"),
        (b"\x08\x00\x12\x04abcd".hex().encode(), "RSA"),
        (b"\x08\x02\x12\x20" + bytes(32), "not a libp2p|Secp256k1|neither"),
        (json.dumps({"Identity": {"PeerID": "12D3KooWother", "PrivKey": PROTOBUF.hex()}}).encode(), "12D3KooWother"),
    ],
)
def test_import_refuses_and_says_why(source: bytes, said: str) -> None:
    with pytest.raises(BadKey, match=said) as refused:
        import_key(source)
    assert PROTOBUF[4:36].hex() not in str(refused.value)


@given(st.binary(max_size=200))
def test_import_of_anything_is_a_key_or_bad_key(source: bytes) -> None:
    try:
        key = import_key(source)
    except BadKey:
        return
    assert decode_key(encode_key(key)).private_key == key.private_key


def test_a_saved_key_is_the_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "key"
    save_key(KEY, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert peer_id_of(load_key(path)) == peer_id_of(import_file(path)) == PEER
    with pytest.raises(KeyExists, match="never overwritten"):
        save_key(new_key(), path)
    assert path.read_bytes() == PROTOBUF
    assert list(path.parent.iterdir()) == [path]  # no draft is left behind


def test_the_first_start_makes_a_key_and_later_ones_keep_it(tmp_path: Path) -> None:
    first = load_or_create(tmp_path / "key")
    assert peer_id_of(load_or_create(tmp_path / "key")) == peer_id_of(first)
    assert peer_id_of(load_or_create(tmp_path / "other")) != peer_id_of(first)


def test_a_broken_file_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"")
    with pytest.raises(BadKey):
        load_or_create(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == b""


def test_a_huge_file_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(bytes(10**6))
    with pytest.raises(BadKey, match="too large"):
        load_key(tmp_path / "key")
