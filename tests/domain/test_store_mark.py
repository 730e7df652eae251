"""Books and blocks that belong together are opened; all others are refused, by the reason."""

from __future__ import annotations

import pytest

from pinning_worker.domain.store_mark import Found, Mark, Mismatch, mismatch, next_mark

OURS, LATER, OTHERS = Mark("a" * 32, 3), Mark("a" * 32, 5), Mark("b" * 32, 9)


def found(
    books: Mark | None, blocks: Mark | None, *, hold: bool = True, there: bool = True, shared: bool = True
) -> Found:
    return Found(books, blocks, books_hold=hold, has_blocks=there, shared=shared and hold and there)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        pytest.param(found(None, None, hold=False, there=False), None, id="the first start"),
        pytest.param(found(OURS, OURS), None, id="as they were left"),
        pytest.param(found(LATER, OURS), None, id="killed between the two marks, or older blocks"),
        pytest.param(found(None, None), None, id="of a version without marks"),
        pytest.param(found(OURS, None), None, id="the blocks' mark was lost"),
        pytest.param(found(OURS, OURS, there=False), None, id="every block lost by a power cut: each is checked"),
        pytest.param(found(OURS, None, hold=False, there=False), None, id="nothing was ever kept"),
        pytest.param(found(None, OURS, hold=False, there=False), None, id="new books, and nothing to lose"),
        pytest.param(found(None, OURS, hold=False), Mismatch.NEW, id="rm pinning.db; migrate; run"),
        pytest.param(found(None, None, hold=False), Mismatch.NEW, id="the same, of a version without marks"),
        pytest.param(found(OTHERS, OURS, hold=False), Mismatch.OTHER, id="another worker's empty database"),
        pytest.param(found(OTHERS, OURS, shared=False), Mismatch.OTHER, id="another worker's database"),
        pytest.param(found(OTHERS, OURS), Mismatch.OTHER, id="another worker's, with a block in common"),
        pytest.param(found(None, None, shared=False), Mismatch.OTHER, id="no marks, and no block in common"),
        pytest.param(found(None, OURS), Mismatch.OTHER, id="a backup from before the upgrade that brought marks"),
        pytest.param(found(OURS, LATER), Mismatch.OLDER, id="an older backup put back"),
        pytest.param(found(OURS, None, there=False), Mismatch.LOST, id="a disk that is not mounted"),
        pytest.param(found(None, None, there=False), Mismatch.LOST, id="the same, of a version without marks"),
        pytest.param(found(OURS, OTHERS, there=False), Mismatch.OTHER, id="another worker's disk, empty"),
    ],
)
def test_what_belongs_together(what: Found, expected: Mismatch | None) -> None:
    assert mismatch(what) is expected


def test_each_start_is_counted_in_both_and_the_id_stays() -> None:
    first = next_mark(found(None, None, hold=False, there=False), "c" * 32)
    assert first == Mark("c" * 32, 1)
    assert next_mark(found(first, first), "d" * 32) == Mark("c" * 32, 2)
    assert next_mark(found(LATER, OURS), "d" * 32) == Mark(OURS.id, 6)


def test_books_that_are_taken_to_blocks_take_their_id() -> None:
    """What `recover` writes: books of another time or worker become those of the blocks that are there."""
    assert next_mark(found(OTHERS, OURS), "d" * 32) == Mark(OURS.id, 4)
    assert next_mark(found(OURS, LATER), "d" * 32) == Mark(OURS.id, 6)
    assert next_mark(found(OURS, None), "d" * 32) == Mark(OURS.id, 4)
    assert next_mark(found(OURS, OTHERS, there=False), "d" * 32) == Mark(OURS.id, 4)
