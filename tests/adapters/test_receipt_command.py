"""`pinning-worker receipt`: what a stranger's receipt may do to a terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.test_cli import command, printed, told
from tests.domain.receipts import payment, purchase, receipt

pytestmark = pytest.mark.slow  # it starts the command


def test_a_strangers_receipt_moves_no_cursor(tmp_path: Path) -> None:
    content = replace(purchase(payment(b"a\x1b[2J\n1")), name_id="a\x1b[2J\n1", quote="\x07")
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt(content).fields()))
    shown = printed(command(tmp_path, "receipt", "verify", str(file)))
    assert r"a\x1b[2J\x0a1" in shown
    assert not {"\x1b", "\x07"} & set(shown)


def test_a_name_that_is_no_utf8_has_no_receipt_and_no_traceback(tmp_path: Path) -> None:
    printed(command(tmp_path, "migrate"))
    assert "no signed receipt" in told(command(tmp_path, "receipt", "show", purchase().cid, "\udcff"), 3)
