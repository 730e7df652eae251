"""docs/money.md says what is so: each row of its table is worked through by the rule."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.account import Account, Rates, account_of
from pinning_worker.domain.money.payment import Payment, Proof
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import MIB, Tariff
from tests.domain.ledger_rows import payment

PAGE = Path(__file__).parents[2] / "docs/money.md"
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AFTER = START + timedelta(days=3_000)


def rows() -> list[list[str]]:
    """The cells of the worked cases."""
    table = PAGE.read_text("utf-8").split("## Worked cases")[1].split("##")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| case")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def worked(story: str) -> Account:
    """`day 0: pays 150; day 5: tariff 40/150` as payments and tariffs, judged long after."""
    log, payments = [Tariff(1, START - timedelta(days=9), Swartz(100), Swartz(150))], list[Payment]()
    for number, event in enumerate(story.split("; ")):
        found = re.fullmatch(r"day (\d+): (?:pays (\d+)|tariff (\d+)/(\d+))", event)
        assert found, event
        moment = START + timedelta(days=int(found[1]))
        if found[2]:
            row = payment(Txid(f"t{number}"), int(found[2]), number, settled=True)
            payments.append(replace(row, proof=Proof(number, "", moment)))
        else:
            log.append(Tariff(len(log) + 1, moment, Swartz(int(found[3])), Swartz(int(found[4]))))
    return account_of(payments, Rates(log, {1: MIB}), LONG_AFTER)


@pytest.mark.parametrize(("case", "story", "months", "credit", "ends"), rows())
def test_a_worked_case_is_as_the_page_says(case: str, story: str, months: str, credit: str, ends: str) -> None:
    account = worked(story)
    shown = account.ends.date().isoformat() if account.ends else "-"
    assert (str(account.due.months), str(account.credit.amount), shown) == (months, credit, ends), case


def test_the_page_has_its_table() -> None:
    assert len(rows()) >= 12
