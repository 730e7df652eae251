"""The wants of one peer: transcripts of messages, stored blocks and answers."""

from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.adapters.p2p.bitswap.peer_wants import MOST_WANTS, Ledger
from pinning_worker.adapters.p2p.bitswap.wire import Message, Want
from pinning_worker.domain.content.cid import RAW, Cid, CidBytes, cid_of

A, B, C = (cid_of(RAW, bytes([n])) for n in range(3))


def wants(*cids: Cid, full: bool = False, cancel: bool = False) -> Message:
    return Message([Want(cid.binary, cancel=cancel) for cid in cids], full=full)


def todo(ledger: Ledger) -> list[bytes]:
    """Everything to answer, taken and answered."""
    answered = list(iter(ledger.next, None))
    ledger.answered(answered)
    return [want.cid for want in answered]


def look_and_miss(ledger: Ledger) -> None:
    for want in list(iter(ledger.next, None)):
        ledger.not_here(want)


def test_wants_are_answered_in_order_and_once() -> None:
    ledger = Ledger()
    assert ledger.receive(wants(A, B)) == (0, 0, 0)
    assert todo(ledger) == [A.binary, B.binary]
    assert todo(ledger) == []
    assert not ledger


def test_an_unmet_want_is_answered_when_its_block_comes() -> None:
    ledger = Ledger()
    ledger.receive(wants(A, B))
    look_and_miss(ledger)
    assert len(ledger) == 2
    assert ledger.stored(B.multihash)
    assert not ledger.stored(C.multihash)
    assert todo(ledger) == [B.binary]


def test_a_block_wanted_under_two_cids_answers_both() -> None:
    ledger = Ledger()
    node = Cid(1, 0x70, A.multihash)
    ledger.receive(wants(A, node))
    look_and_miss(ledger)
    assert ledger.stored(A.multihash)
    assert set(todo(ledger)) == {A.binary, node.binary}


def test_a_cancel_takes_back_what_is_todo_and_what_is_unmet() -> None:
    ledger = Ledger()
    ledger.receive(wants(A))
    look_and_miss(ledger)
    ledger.receive(wants(B))
    ledger.receive(wants(A, B, cancel=True))
    assert not ledger
    assert not ledger.stored(A.multihash)


def test_a_full_wantlist_replaces_everything() -> None:
    ledger = Ledger()
    ledger.receive(wants(A))
    look_and_miss(ledger)
    ledger.receive(wants(B))
    ledger.receive(wants(C, full=True))
    assert todo(ledger) == [C.binary]
    assert not ledger.stored(A.multihash)


def test_an_answer_that_was_lost_is_given_again_and_first() -> None:
    ledger = Ledger()
    ledger.receive(wants(A, B))
    lost = [want for _ in range(2) if (want := ledger.next())]
    ledger.not_here(lost[1])
    ledger.receive(wants(C))
    ledger.put_back(lost)
    assert todo(ledger) == [A.binary, B.binary, C.binary]
    assert not ledger.unmet


def test_a_block_that_is_stored_while_we_look_for_it_is_looked_for_again() -> None:
    ledger = Ledger()
    ledger.receive(wants(A))
    look = ledger.next()
    assert look is not None
    assert ledger.stored(A.multihash)
    assert not ledger.not_here(look)
    assert todo(ledger) == [A.binary]
    assert not ledger.stored(A.multihash)


def test_what_is_taken_back_while_we_look_for_it_is_not_remembered() -> None:
    for word in (wants(A, cancel=True), wants(full=True)):
        ledger = Ledger()
        ledger.receive(wants(A))
        look = ledger.next()
        assert look is not None
        ledger.receive(word)
        assert not ledger.not_here(look)
        assert not ledger.stored(A.multihash)


def test_what_is_taken_back_while_its_answer_is_lost_is_not_given_again() -> None:
    for word in (wants(A, cancel=True), wants(full=True)):
        ledger = Ledger()
        ledger.receive(wants(A, B))
        lost = [want for _ in range(2) if (want := ledger.next())]
        ledger.not_here(lost[1])
        ledger.receive(word)
        ledger.put_back(lost)
        assert A.binary not in todo(ledger)


def test_what_is_asked_anew_while_it_is_in_hand_is_answered_anew() -> None:
    ledger = Ledger()
    ledger.receive(wants(A))
    answered = ledger.next()
    assert answered is not None
    ledger.receive(wants(A))
    ledger.answered([answered])
    assert todo(ledger) == [A.binary]


def test_wants_beyond_measure_are_dropped_and_counted() -> None:
    ledger = Ledger()
    many = [cid_of(RAW, n.to_bytes(4, "big")) for n in range(MOST_WANTS + 5)]
    assert ledger.receive(wants(*many)) == (5, 0, 0)
    assert len(ledger) == MOST_WANTS
    assert ledger.receive(wants(many[0])) == (0, 0, 0), "one that stands already costs no place"


def test_what_is_taken_back_and_was_never_wanted_is_counted() -> None:
    ledger = Ledger()
    ledger.receive(wants(A))
    back = [Want(A.binary, cancel=True), Want(B.binary, cancel=True), Want(B.binary, cancel=True)]
    assert ledger.receive(Message(back)).idle == 2


def test_what_is_no_cid_is_dropped() -> None:
    assert Ledger().receive(Message([Want(CidBytes(odd)) for odd in (b"", b"\x01\x55\x12\x20short")])) == (0, 2, 0)


STEPS = st.sampled_from(["want", "cancel", "full", "miss", "answer", "stored", "lose", "sent"])


@given(st.lists(st.tuples(STEPS, st.sampled_from([A, B, C])), max_size=40))
def test_a_want_is_never_in_two_places_and_its_index_is_true(told: list[tuple[str, Cid]]) -> None:
    ledger = Ledger()
    answered: list[Want] = []
    for step, cid in told:
        if step in ("want", "full", "cancel"):
            ledger.receive(wants(cid, full=step == "full", cancel=step == "cancel"))
        elif step == "stored":
            ledger.stored(cid.multihash)
        elif step == "lose":
            ledger.put_back(answered)
            answered = []
        elif step == "sent":
            ledger.answered(answered)
            answered = []
        elif want := ledger.next():
            answered.append(want)
            if step == "miss":
                ledger.not_here(want)
        places = [*ledger.todo, *ledger.in_hand, *ledger.unmet]
        assert len(places) == len(set(places))
        assert ledger._cids == {cid[-34:]: {cid} for cid in (*ledger.in_hand, *ledger.unmet)}
