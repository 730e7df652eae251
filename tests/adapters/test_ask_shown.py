"""What `ask` prints of the steps: figures as a person reads them, and nothing that a stranger's text can do."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from pinning_worker.commands.ask_shown import Shown, json_line, lines, progress
from pinning_worker.domain.content.cid import cid_of
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.topic.following import Kept, Offer, Refused, Seen

CID = cid_of(0x55, b"a picture")
FEE = Swartz(7_004_482)


def offer(address: str = "ncrt1qpaid", network: str = "doichain-regtest", foreign: tuple[str, ...] = ()) -> Offer:
    return Offer(FEE, 8, address, "q1", "2026-11-30T12:00:00.000Z", network, 1_237_320, 7, foreign)


def test_the_bar_is_full_when_everything_is_there() -> None:
    assert progress(2, 1_572_864, 3_145_728) == "fetching [############------------] 1.5 MB of 3 MB, 2 blocks"
    assert progress(4, 9, 9).startswith("fetching [########################]")
    assert progress(4, 9, None) == "fetching 9 Bytes, 4 blocks"


def test_the_quote_says_what_is_paid_and_what_besides() -> None:
    told = "\n".join(lines(offer(), CID, "ask/1", None))
    assert "0.07004482 DOI (7004482 swartz)" in told
    assert f"ipfs://{CID}" in told
    assert "0.01000000 DOI for the name" in told
    assert "0.00102720 DOI network fee" in told


def test_in_a_sandbox_it_says_which_command_pays() -> None:
    told = lines(offer(), CID, "ask/1", Path("/a b/box"))
    assert told[-2] == f"  pinning-worker sandbox --dir '/a b/box' pay ncrt1qpaid 7004482 ask/1 {CID}"
    assert told[-1] == "  pinning-worker sandbox --dir '/a b/box' mine 6"


def test_elsewhere_no_sandbox_is_named() -> None:
    assert "sandbox" not in "\n".join(lines(offer(network="doichain"), CID, "ask/1", None))


def test_an_address_cannot_smuggle_a_command() -> None:
    words = shlex.split(lines(offer("$(reboot); x"), CID, "ask/1", None)[-2])
    assert words[3] == "$(reboot); x"


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(CID, as_json=False)
    shown.step(Refused("BUSY", "\x1b]0;owned\x07\nsecond line", 60))
    shown.step(offer(foreign=("https://\x1b[2Jx",)))
    printed = capsys.readouterr().out
    assert not {"\x1b", "\x07"} & set(printed)
    assert printed.startswith("BUSY: \ufffd]0;owned\ufffd\ufffdsecond line (again in 60 s)\n")


def test_what_is_kept_is_paid_for_under_its_own_name(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(CID, as_json=False)
    shown.step(Kept("art/1", "2027-07-29T12:00:00.000Z"))
    shown.step(offer())
    assert f" 7004482 art/1 {CID}" in capsys.readouterr().out


def test_json_is_one_line_with_whole_amounts() -> None:
    assert json.loads(json_line(Seen("art/1", Txid("1f0e"), FEE, 0, 6))) == {
        "step": "seen",
        "name": "art/1",
        "txid": "1f0e",
        "amount": 7_004_482,
        "confirmations": 0,
        "needed": 6,
    }
