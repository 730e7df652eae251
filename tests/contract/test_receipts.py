"""What every Receipts must do."""

from __future__ import annotations

from dataclasses import replace

from pinning_worker.ports.books import Receipts
from tests.contract.samples import HOUR, NOW, OTHER_TXID, receipt


async def test_each_field_comes_back_as_it_went_in(receipts: Receipts) -> None:
    """Catches: lost microseconds, 32-bit sizes, text that the database refuses."""
    for stored in (receipt(), receipt(txid=OTHER_TXID, released_at=NOW + HOUR)):
        await receipts.put(stored)
        assert await receipts.get(stored.key) == stored


async def test_a_second_payer_has_a_receipt_of_their_own(receipts: Receipts) -> None:
    """Catches: one record per CID, where a second payer overwrote the first."""
    first, second = receipt(), receipt(txid=OTHER_TXID)
    await receipts.put(second)
    await receipts.put(first)
    assert await receipts.all() == [first, second]


async def test_the_same_key_is_replaced(receipts: Receipts) -> None:
    await receipts.put(receipt())
    released = replace(receipt(), released_at=NOW)
    await receipts.put(released)
    assert await receipts.all() == [released]


async def test_one_that_was_never_put_is_none(receipts: Receipts) -> None:
    assert await receipts.get("bafy1/none") is None
    assert await receipts.all() == []
