"""What each LIST filter selects, by name and by value."""

from __future__ import annotations

import pytest

from pinning_worker.domain.identities import NameBytes, Txid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.topic.listing import NameFilter
from pinning_worker.domain.topic.name_row import NameRow

IPFS = b"ipfs://bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"


def row(name: NameBytes, value: bytes = b"") -> NameRow:
    return NameRow(Txid("aa"), 1, 0, 0, 0, Swartz(1_000_000), name, value)


@pytest.mark.parametrize(
    ("name", "value", "selected_by"),
    [
        (b"e/abc", b"", {"e"}),
        (b"e", b"x", set()),
        (b"pe/x", b"", {"pe"}),
        (b"poe/x", b"y", {"pe"}),
        (b"bp/x", b" ", {"bp"}),
        (b"nft/x", b"", set()),
        (b"alice", b"", {"names"}),
        (b"alice", b" ", {"names"}),
        (b"alice", b"empty", {"names"}),
        (b"alice", b"  ", set()),
        (b"alice", b"Empty", set()),
        (b"art/1", IPFS, {"nfc", "collections"}),
        (b"e/1", b"ipfs://undefined", {"e", "nfc", "collections"}),
        (b"art/1", b"IPFS://x", set()),
        (b"art/1", b"/ipfs/x", set()),
        (b"art/1", b"https://gateway.example/ipfs/x", set()),
        (b"\xff\xfe", b"\xff", set()),
    ],
)
def test_filters(name: NameBytes, value: bytes, selected_by: set[str]) -> None:
    selecting = {wanted.value for wanted in NameFilter if row(name, value).matches(wanted)}
    assert selecting == selected_by | {"all"}


def test_collections_are_those_with_images_and_those_not_yet_known() -> None:
    art = row(NameBytes(b"art/1"), IPFS)
    assert [art.matches(NameFilter.COLLECTIONS, known) for known in (None, True, False)] == [True, True, False]
    assert [art.matches(NameFilter.NFC, known) for known in (None, True, False)] == [True, True, True]
