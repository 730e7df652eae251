"""`swarm.key`: what Kubo writes is read, what is not one is refused in words, and never with the key in them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.swarm_key import BadSwarmKey, decode_swarm_key, encode_swarm_key, unprotected

KEY = bytes(range(32))
HEAD = b"/key/swarm/psk/1.0.0/\n"


@given(st.binary(min_size=32, max_size=32))
def test_what_is_written_is_read(key: bytes) -> None:
    assert decode_swarm_key(encode_swarm_key(key)) == key


@pytest.mark.parametrize(
    "file",
    [
        HEAD + b"/base16/\n" + KEY.hex().encode(),
        HEAD.replace(b"\n", b"\r\n") + b"/base16/\r\n" + KEY.hex().upper().encode() + b"\r\n",
        HEAD + b"/base64/\n" + base64.b64encode(KEY) + b"\n",
        HEAD + b"/bin/\n" + KEY,
        HEAD + b"/bin/\n" + KEY + b"\n",
    ],
    ids=["no last newline", "windows", "base64", "bin", "bin and newline"],
)
def test_every_form_that_kubo_reads(file: bytes) -> None:
    assert decode_swarm_key(file) == KEY


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (b"", "its first line must be /key/swarm/psk/1.0.0/"),
        (KEY.hex().encode(), "its first line must be"),
        (HEAD, "its second line must be"),
        (HEAD + b"/base58/\nabc", "its second line must be"),
        (HEAD + b"/base16/\n" + KEY.hex().encode()[:-1], "what follows /base16/ is not that"),
        (HEAD + b"/base16/\n" + KEY.hex().encode()[:-2], "has 31 bytes, not 32"),
        (HEAD + b"/base16/\n\xff\xfe", "what follows /base16/ is not that"),
        (HEAD + b"/base64/\n!", "what follows /base64/ is not that"),
        (HEAD + b"/bin/\n" + KEY[:5], "has 5 bytes, not 32"),
    ],
)
def test_what_is_none_is_refused(file: bytes, said: str) -> None:
    with pytest.raises(BadSwarmKey, match=said) as refused:
        decode_swarm_key(file)
    assert KEY.hex()[:20] not in str(refused.value)


@given(st.binary(max_size=120))
def test_garbage_is_refused_by_name(file: bytes) -> None:
    for data in (file, HEAD + file, HEAD + b"/base16/\n" + file, HEAD + b"/base64/\n" + file):
        try:
            assert len(decode_swarm_key(data)) == 32
        except BadSwarmKey:
            continue


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/ip4/0.0.0.0/tcp/4001", False),
        ("/ip4/0.0.0.0/tcp/4001/tls/ws", False),
        ("/ip4/0.0.0.0/udp/4001/quic-v1", True),
        ("/ip4/0.0.0.0/udp/4001/webrtc-direct", True),
        ("/dns4/quic.example.org/tcp/4001/ws", False),
    ],
)
def test_which_transports_a_swarm_key_does_not_protect(address: str, expected: bool) -> None:
    assert unprotected(address) is expected
