"""Which peers are asked: the rule as transcripts."""

from collections.abc import Sequence

from pinning_worker.adapters.p2p.bitswap.asking import FANOUT, MOST_ASKED, MOST_GIVERS, Crowd, Open, choose_peers
from pinning_worker.adapters.p2p.bitswap.wire import WantType
from pinning_worker.domain.content.cid import RAW, cid_of
from pinning_worker.domain.identities import PeerId

BLOCK, HAVE = WantType.BLOCK, WantType.HAVE
ASKER = PeerId("asker")
STRANGERS = S1, S2, S3, S4, S5 = [PeerId(f"s{number}") for number in range(1, 6)]


def fresh() -> Open:
    return Open([(cid_of(RAW, b""), 0)], missing=True)


def ask(
    want: Open,
    peers: Sequence[PeerId],
    favourite: PeerId | None = None,
    slow: Sequence[PeerId] = (),
    *,
    silent: int = 0,
    broke: int = 0,
) -> list[tuple[PeerId, WantType]]:
    """Asks, and notes what was asked, as the session does."""
    asked = list(choose_peers(want, Crowd(peers, favourite, slow, silent, broke)))
    want.asked.update(asked)
    return asked


def test_nobody_is_asked_before_the_store_was() -> None:
    assert ask(Open([(cid_of(RAW, b""), 0)]), STRANGERS, S1) == []


def test_the_favourite_alone_is_asked_for_the_block_and_once() -> None:
    want = fresh()
    assert ask(want, [ASKER, *STRANGERS], ASKER) == [(ASKER, BLOCK)]
    assert ask(want, [ASKER, *STRANGERS], ASKER) == []


def test_when_it_refuses_a_few_others_are_asked_whether_they_have_it() -> None:
    want = fresh()
    ask(want, [ASKER, *STRANGERS], ASKER)
    want.refuse(ASKER)
    assert ask(want, [ASKER, *STRANGERS], ASKER) == [(peer, HAVE) for peer in STRANGERS[:FANOUT]]
    assert ask(want, [ASKER, *STRANGERS], ASKER) == []
    want.refuse(S2)
    assert ask(want, [ASKER, *STRANGERS], ASKER) == [(S4, HAVE)], "one refusal, one more is asked"


def test_who_has_it_is_asked_for_it() -> None:
    want = fresh()
    ask(want, STRANGERS)
    want.has[S3] = None
    assert ask(want, STRANGERS) == [(S3, BLOCK)]
    want.has[S1] = None
    assert ask(want, STRANGERS) == [], "one is enough"


def test_a_slow_one_is_passed_over_and_not_forgotten() -> None:
    want = fresh()
    ask(want, [ASKER, S1], ASKER)
    assert ask(want, [ASKER, S1], ASKER, slow=[ASKER]) == [(S1, HAVE)]
    assert ask(want, [ASKER, S1], ASKER, slow=[ASKER, S1]) == []
    assert want.asked == {ASKER: BLOCK, S1: HAVE}


def test_silent_strangers_do_not_use_up_the_places_of_others() -> None:
    want = fresh()
    ask(want, STRANGERS)
    assert ask(want, STRANGERS, slow=STRANGERS[:FANOUT]) == [(S4, HAVE), (S5, HAVE)]


def test_while_nobody_answers_twice_as_many_are_asked_each_time() -> None:
    want, crowd = fresh(), [PeerId(f"s{number}") for number in range(200)]
    rounds: list[int] = []
    while sum(rounds) < 100:
        rounds.append(len(ask(want, crowd, slow=list(want.asked), silent=len(want.asked))))
    assert rounds == [3, 6, 12, 24, 48, MOST_ASKED]


def test_while_holders_give_nothing_more_of_them_are_asked_for_the_block() -> None:
    want, liars = fresh(), [PeerId(f"s{number}") for number in range(30)]
    want.asked.update(dict.fromkeys(liars, HAVE))
    want.has.update(dict.fromkeys(liars))
    rounds, slow = [], list[PeerId]()
    while len(slow) < 20:
        asked = ask(want, liars, slow=slow, broke=len(slow))
        assert {kind for _, kind in asked} == {BLOCK}
        slow += [peer for peer, _ in asked]
        rounds.append(len(asked))
    assert rounds == [1, 2, 4, MOST_GIVERS, MOST_GIVERS]


def test_who_comes_back_is_asked_again() -> None:
    want = fresh()
    ask(want, [ASKER], ASKER)
    want.forget(ASKER)
    assert ask(want, [], ASKER) == []
    assert ask(want, [ASKER], ASKER) == [(ASKER, BLOCK)]


def test_nobody_is_there() -> None:
    assert ask(fresh(), []) == []
