"""Who answers: what a word, a silence and a broken promise are worth."""

from pinning_worker.adapters.p2p.bitswap.hearing import MOST_PEERS, Hearing, Rank


def test_who_was_silent_is_cleared_by_any_word() -> None:
    hearing = Hearing()
    assert hearing.rank("a") is Rank.UNKNOWN
    hearing.kept_silent("a", promised=False)
    assert hearing.rank("a") is Rank.SILENT
    hearing.promised("a")
    assert hearing.rank("a") is Rank.UNKNOWN


def test_a_broken_promise_is_cleared_by_a_block_and_not_by_another_promise() -> None:
    hearing = Hearing()
    hearing.kept_silent("a", promised=True)
    hearing.promised("a")
    hearing.kept_silent("a", promised=False)
    assert hearing.rank("a") is Rank.BROKE_ITS_WORD
    hearing.gave("a")
    assert hearing.rank("a") is Rank.GAVE
    hearing.refused("a")
    assert hearing.rank("a") is Rank.GAVE, "that it has not everything is no fault"


def test_a_crowd_of_the_silent_is_forgotten_from_its_oldest_on() -> None:
    hearing = Hearing()
    for number in range(MOST_PEERS + 1):
        hearing.kept_silent(str(number), promised=False)
    assert [hearing.is_silent(str(number)) for number in (0, 1, MOST_PEERS)] == [False, True, True]
