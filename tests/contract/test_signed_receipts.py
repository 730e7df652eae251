"""What every SignedReceipts must do."""

from __future__ import annotations

from pinning_worker.domain.money.signed_receipt import receipt_cid
from pinning_worker.ports.books import SignedReceipts
from tests.contract.samples import block_name


async def test_a_receipt_is_found_by_its_key_and_by_its_multihash(signed_receipts: SignedReceipts) -> None:
    for key, block in (("bafy/aa", b"one\x00\xff"), ("bafy/bb", b"two")):
        await signed_receipts.put(key, block)
        assert await signed_receipts.get(key) == block
        assert await signed_receipts.block(receipt_cid(block).multihash) == block
    assert await signed_receipts.get("bafy/aa") == b"one\x00\xff"


async def test_the_same_key_is_replaced(signed_receipts: SignedReceipts) -> None:
    """Catches: a receipt for a block that a reorg took away, which peers can still fetch."""
    await signed_receipts.put("bafy/aa", b"one")
    await signed_receipts.put("bafy/aa", b"two")
    assert await signed_receipts.get("bafy/aa") == b"two"
    assert await signed_receipts.block(receipt_cid(b"one").multihash) is None


async def test_a_dropped_one_is_gone(signed_receipts: SignedReceipts) -> None:
    await signed_receipts.put("bafy/aa", b"one")
    await signed_receipts.drop("bafy/aa")
    await signed_receipts.drop("bafy/aa")
    assert await signed_receipts.get("bafy/aa") is None
    assert await signed_receipts.block(receipt_cid(b"one").multihash) is None


async def test_one_that_was_never_put_is_none(signed_receipts: SignedReceipts) -> None:
    assert await signed_receipts.get("bafy/none") is None
    assert await signed_receipts.block(block_name(1)) is None
