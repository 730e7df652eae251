"""The connection string: opened by its passphrase, and by nothing else; a slip of the hand is told from a wrong one."""

from __future__ import annotations

import secrets

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinning_worker.adapters.p2p.discovery.invitation import (
    PREFIX,
    BadInvitation,
    Invitation,
    WrongPassphrase,
    require_whole,
    seal,
    unseal,
)
from pinning_worker.adapters.p2p.host.identity import new_key, peer_id_of
from pinning_worker.domain.identities import PeerId

PEER = peer_id_of(new_key())
ADDRESSES = (f"/ip4/192.0.2.7/tcp/4001/p2p/{PEER}", f"/dns4/pin.example.org/tcp/443/tls/ws/p2p/{PEER}")
KEY = secrets.token_bytes(32)
FULL = Invitation(PEER, ADDRESSES, KEY)
PASSPHRASE = "correct horse battery staple"
TEXT = seal(FULL, PASSPHRASE)


def test_what_was_sealed_is_had_back() -> None:
    assert unseal(TEXT, PASSPHRASE) == FULL
    open_network = Invitation(PEER, ADDRESSES[:1])
    assert unseal(seal(open_network, PASSPHRASE), PASSPHRASE) == open_network


def test_what_a_later_worker_says_besides_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    dumps = cbor2.dumps
    monkeypatch.setattr(cbor2, "dumps", lambda inside: dumps({**inside, "more": ["of later"]}))
    assert unseal(seal(FULL, PASSPHRASE), PASSPHRASE) == FULL


def test_it_may_be_wrapped_indented_and_shouted() -> None:
    lines = [TEXT[start : start + 60].upper() for start in range(0, len(TEXT), 60)]
    assert unseal("\r\n  ".join(lines) + "\n", PASSPHRASE) == FULL


def test_a_passphrase_typed_on_another_keyboard() -> None:
    composed, decomposed = "schl\u00fcssel\u00df", "schlu\u0308ssel\u00df"
    assert unseal(seal(FULL, composed), decomposed) == FULL


def test_it_is_another_one_each_time_and_shows_nothing() -> None:
    assert seal(FULL, PASSPHRASE) != TEXT
    assert KEY.hex() not in repr(FULL)


def test_another_passphrase_does_not_open_it() -> None:
    with pytest.raises(WrongPassphrase, match="the text is whole"):
        unseal(TEXT, PASSPHRASE + " ")
    with pytest.raises(BadInvitation, match="at least 8 characters"):
        seal(FULL, "short")


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(min_value=0, max_value=len(TEXT) - 1), st.sampled_from("abcxyz234567"))
def test_any_letter_that_is_wrong_is_noticed_before_a_passphrase_is_asked_for(position: int, letter: str) -> None:
    mistyped = TEXT[:position] + letter + TEXT[position + 1 :]
    if mistyped != TEXT:
        with pytest.raises(BadInvitation):
            require_whole(mistyped)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", f"one begins with {PREFIX}"),
        ("/ip4/192.0.2.7/tcp/4001", f"one begins with {PREFIX}"),
        ("pinning2:abc", "of another version"),
        (PREFIX, "damaged"),
        (TEXT[:-1], "damaged"),
        (TEXT[:-20], "damaged"),
        (TEXT + "a", "damaged"),
        (PREFIX + "a" * 70_000, "too long"),
        (PREFIX + "ä", "damaged"),
    ],
)
def test_what_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadInvitation, match=said):
        require_whole(text)


@pytest.mark.parametrize(
    "invitation",
    [
        Invitation(PEER, ()),
        Invitation(PeerId("nobody"), ADDRESSES),
        Invitation(peer_id_of(new_key()), ADDRESSES),
        Invitation(PEER, ("/ip4/192.0.2.7/tcp/4001",)),
        Invitation(PEER, ADDRESSES * 40),
        Invitation(PEER, ADDRESSES, b"short"),
    ],
    ids=["no address", "no peer", "another peer", "an address without one", "too many", "half a key"],
)
def test_what_cannot_be_used_is_not_sealed(invitation: Invitation) -> None:
    with pytest.raises(BadInvitation):
        seal(invitation, PASSPHRASE)
