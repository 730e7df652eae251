"""The message codec against py-libp2p's generated one, both ways; and everything that is no message."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.bitswap.pb import bitswap_pb2

from pinning_worker.adapters.p2p.bitswap.wire import (
    CIDV0_PREFIX,
    LONGEST_CID,
    MOST_ENTRIES,
    MOST_FIELDS,
    BadMessage,
    Block,
    Message,
    Presence,
    Want,
    WantType,
    decode,
    encode,
    prefix_of,
)
from pinning_worker.domain.content.cid import Cid, CidBytes, cid_of
from tests.domain.dagpb import field

CIDS = st.binary(max_size=LONGEST_CID)
WANTS = st.builds(
    Want,
    cid=CIDS,
    kind=st.sampled_from(WantType),
    cancel=st.booleans(),
    send_dont_have=st.booleans(),
    priority=st.integers(-(2**31), 2**31 - 1),
)
MESSAGES = st.builds(
    Message,
    wants=st.lists(WANTS, max_size=5),
    full=st.booleans(),
    blocks=st.lists(st.builds(Block, prefix=CIDS, data=st.binary(max_size=300)), max_size=3),
    presences=st.lists(st.builds(Presence, cid=CIDS, have=st.booleans()), max_size=5),
)


def generated(message: Message) -> bytes:
    """The same message, written by the generated codec."""
    pb = bitswap_pb2.Message()
    for want in message.wants:
        pb.wantlist.entries.add(
            block=want.cid,
            priority=want.priority,
            cancel=want.cancel,
            wantType=int(want.kind),
            sendDontHave=want.send_dont_have,
        )
    if message.full:
        pb.wantlist.full = True
    for block in message.blocks:
        pb.payload.add(prefix=block.prefix, data=bytes(block.data))
    for presence in message.presences:
        pb.blockPresences.add(cid=presence.cid, type=int(not presence.have))
    pb.pendingBytes = 7
    return bytes(pb.SerializeToString())


@given(MESSAGES)
def test_what_we_write_we_read(message: Message) -> None:
    assert decode(encode(message)) == message


@given(MESSAGES)
def test_we_read_what_the_generated_codec_writes(message: Message) -> None:
    assert decode(generated(message)) == message


@given(MESSAGES)
def test_the_generated_codec_reads_what_we_write(message: Message) -> None:
    pb = bitswap_pb2.Message.FromString(encode(message))
    assert decode(bytes(pb.SerializeToString())) == message
    assert [bytes(entry.block) for entry in pb.wantlist.entries] == [want.cid for want in message.wants]


@given(st.binary(max_size=200))
def test_garbage_is_a_bad_message_or_a_message(frame: bytes) -> None:
    with suppress(BadMessage):
        decode(frame)


def test_an_empty_message_says_nothing() -> None:
    assert not decode(b"")
    assert encode(Message()) == b""
    assert Message(full=True), "an empty full wantlist says that nothing is wanted any more"


def test_as_many_wants_as_are_allowed_with_all_that_is_said_of_each() -> None:
    wants = [Want(CidBytes(b"\x01"), WantType.HAVE, cancel=True, send_dont_have=True)] * MOST_ENTRIES
    assert decode(encode(Message(wants, full=True))).wants == wants


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff",
        field(1, b"\xff"),
        field(4, field(1, 5)),
        field(1, 5),
        field(1, field(1, b"")) * (MOST_ENTRIES + 1),
        field(1, field(1, field(1, bytes(LONGEST_CID + 1)))) * (MOST_ENTRIES + 1),
        field(4, b"") * (MOST_ENTRIES + 1),
        field(3, b"") * (MOST_ENTRIES + 1),
        field(1, b"") * (MOST_FIELDS + 1),
        field(9, 1) * (MOST_FIELDS + 1),
        field(1, field(2, 1) * MOST_FIELDS),
        field(1, field(1, field(2, 1) * MOST_FIELDS)),
        field(3, field(9, 1) * MOST_FIELDS),
        field(4, field(9, 1) * MOST_FIELDS),
    ],
)
def test_bad_messages(frame: bytes) -> None:
    with pytest.raises(BadMessage):
        decode(frame)


def test_an_entry_with_a_cid_beyond_all_measure_is_left_out_and_counted() -> None:
    good = Message([Want(CidBytes(b"w"))], False, [Block(b"p", b"d")], [Presence(CidBytes(b"c"), True)])
    beyond = CidBytes(bytes(LONGEST_CID + 1))
    odd = Message([Want(beyond)], False, [Block(beyond, b"d")], [Presence(beyond, True)])
    read = decode(encode(odd) + encode(good) + encode(odd))
    assert (read.wants, read.blocks, read.presences) == (good.wants, good.blocks, good.presences)
    assert read.odd == 6
    assert not decode(encode(odd)), "alone they say nothing"


def test_a_block_of_the_oldest_bitswap_is_a_cidv0() -> None:
    (block,) = decode(field(2, b"data")).blocks
    assert (block.prefix, bytes(block.data)) == (CIDV0_PREFIX, b"data")


def test_the_data_of_a_block_is_a_window_and_not_a_copy() -> None:
    frame = encode(Message(blocks=[Block(b"p", b"x" * 1000)]))
    data = decode(frame).blocks[0].data
    assert isinstance(data, memoryview)
    assert data.obj is frame


def test_the_prefix_of_a_cid_is_all_but_its_digest() -> None:
    cid = cid_of(0x55, b"")
    assert prefix_of(cid.binary) == b"\x01\x55\x12\x20"
    assert prefix_of(Cid(0, 0x70, cid.multihash).binary) == CIDV0_PREFIX
