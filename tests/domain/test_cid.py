"""The text of a CID: what we write by hand is what multiformats writes and what we read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from multiformats import multibase

from pinning_worker.domain.content.cid import DAG_PB, RAW, SHA2_256, Cid, encode_varint, parse_cid
from pinning_worker.domain.content.multihash import Multihash

DIGESTS = st.binary(min_size=0, max_size=128)


@given(codec=st.sampled_from([DAG_PB, RAW]), digest=DIGESTS)
def test_the_text_of_version_1_is_base32_whatever_its_length(codec: int, digest: bytes) -> None:
    cid = Cid(1, codec, Multihash(encode_varint(SHA2_256) + encode_varint(len(digest)) + digest))
    assert str(cid) == multibase.encode(cid.key, "base32")
    assert parse_cid(str(cid)) == cid
