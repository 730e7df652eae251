"""Whom to ask: the rule as transcripts."""

from collections.abc import Sequence

from pinning_worker.adapters.p2p.bitswap.asking import FANOUT, MOST_ASKED, MOST_GIVERS, Crowd, Open, whom_to_ask
from pinning_worker.adapters.p2p.bitswap.wire import WantType
from pinning_worker.domain.content.cid import RAW, cid_of

BLOCK, HAVE = WantType.BLOCK, WantType.HAVE
STRANGERS = ["s1", "s2", "s3", "s4", "s5"]


def fresh() -> Open:
    return Open([(cid_of(RAW, b""), 0)], missing=True)


def ask(
    want: Open,
    peers: Sequence[str],
    favourite: str | None = None,
    slow: Sequence[str] = (),
    *,
    silent: int = 0,
    broke: int = 0,
) -> list[tuple[str, WantType]]:
    """Asks, and notes what was asked, as the session does."""
    asked = list(whom_to_ask(want, Crowd(peers, favourite, slow, silent, broke)))
    want.asked.update(asked)
    return asked


def test_nobody_is_asked_before_the_store_was() -> None:
    assert ask(Open([(cid_of(RAW, b""), 0)]), STRANGERS, "s1") == []


def test_the_favourite_alone_is_asked_for_the_block_and_once() -> None:
    want = fresh()
    assert ask(want, ["asker", *STRANGERS], "asker") == [("asker", BLOCK)]
    assert ask(want, ["asker", *STRANGERS], "asker") == []


def test_when_it_refuses_a_few_others_are_asked_whether_they_have_it() -> None:
    want = fresh()
    ask(want, ["asker", *STRANGERS], "asker")
    want.refuse("asker")
    assert ask(want, ["asker", *STRANGERS], "asker") == [(peer, HAVE) for peer in STRANGERS[:FANOUT]]
    assert ask(want, ["asker", *STRANGERS], "asker") == []
    want.refuse("s2")
    assert ask(want, ["asker", *STRANGERS], "asker") == [("s4", HAVE)], "one refusal, one more is asked"


def test_who_has_it_is_asked_for_it() -> None:
    want = fresh()
    ask(want, STRANGERS)
    want.has["s3"] = None
    assert ask(want, STRANGERS) == [("s3", BLOCK)]
    want.has["s1"] = None
    assert ask(want, STRANGERS) == [], "one is enough"


def test_a_slow_one_is_passed_over_and_not_forgotten() -> None:
    want = fresh()
    ask(want, ["asker", "s1"], "asker")
    assert ask(want, ["asker", "s1"], "asker", slow=["asker"]) == [("s1", HAVE)]
    assert ask(want, ["asker", "s1"], "asker", slow=["asker", "s1"]) == []
    assert want.asked == {"asker": BLOCK, "s1": HAVE}


def test_silent_strangers_do_not_use_up_the_places_of_others() -> None:
    want = fresh()
    ask(want, STRANGERS)
    assert ask(want, STRANGERS, slow=STRANGERS[:FANOUT]) == [("s4", HAVE), ("s5", HAVE)]


def test_while_nobody_answers_twice_as_many_are_asked_each_time() -> None:
    want, crowd = fresh(), [f"s{number}" for number in range(200)]
    rounds: list[int] = []
    while sum(rounds) < 100:
        rounds.append(len(ask(want, crowd, slow=list(want.asked), silent=len(want.asked))))
    assert rounds == [3, 6, 12, 24, 48, MOST_ASKED]


def test_while_holders_give_nothing_more_of_them_are_asked_for_the_block() -> None:
    want, liars = fresh(), [f"s{number}" for number in range(30)]
    want.asked.update(dict.fromkeys(liars, HAVE))
    want.has.update(dict.fromkeys(liars))
    rounds, slow = [], list[str]()
    while len(slow) < 20:
        asked = ask(want, liars, slow=slow, broke=len(slow))
        assert {kind for _, kind in asked} == {BLOCK}
        slow += [peer for peer, _ in asked]
        rounds.append(len(asked))
    assert rounds == [1, 2, 4, MOST_GIVERS, MOST_GIVERS]


def test_who_comes_back_is_asked_again() -> None:
    want = fresh()
    ask(want, ["asker"], "asker")
    want.forget("asker")
    assert ask(want, [], "asker") == []
    assert ask(want, ["asker"], "asker") == [("asker", BLOCK)]


def test_nobody_is_there() -> None:
    assert ask(fresh(), []) == []
