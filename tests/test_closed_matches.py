"""A new kind of request, or a new state, cannot pass by a `match` unseen: mypy, with the settings of this project,
reports the match that lacks it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from pinning_worker.domain.pin import State

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pinning_worker"


def arms_over(subject: str, file: str) -> str:
    """The one `match` over `subject` in that file, as source. Its arms keep their patterns and do nothing."""
    tree = ast.parse((PACKAGE / file).read_text())
    matches = [each for each in ast.walk(tree) if isinstance(each, ast.Match) and ast.unparse(each.subject) == subject]
    (found,) = matches
    found.subject = ast.Name("it")
    for case in found.cases:
        case.body = [ast.Pass()]
    return "\n".join(f"    {line}" for line in ast.unparse(found).splitlines())


def probe() -> str:
    """Two matches of the product, each over its own members and over those and one more."""
    requests, states = (
        arms_over("request", "adapters/p2p/gossip/request_reader.py"),
        arms_over("pin.state", "lifecycle.py"),
    )
    members = "\n".join(f"    {member.name} = {member.value!r}" for member in State)
    return f"""
import enum
from pinning_worker.domain.pin import State as Today
from pinning_worker.domain.topic.requests import Ask, BadAsk, ListRequest

class Added: ...

class Tomorrow(enum.Enum):
{members}
    ADDED = "added"

def requests_today(it: Ask | BadAsk | ListRequest) -> None:
{requests}

def requests_tomorrow(it: Ask | BadAsk | ListRequest | Added) -> None:
{requests}

def states_today(it: Today) -> None:
{states.replace("State.", "Today.")}

def states_tomorrow(it: Tomorrow) -> None:
{states.replace("State.", "Tomorrow.")}
"""


def test_a_member_that_is_added_is_missed_by_mypy_where_a_match_lacks_it(tmp_path: Path) -> None:
    file = tmp_path / "probe.py"
    file.write_text(probe())
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--cache-dir", str(tmp_path / "cache")]
    run = subprocess.run([*command, str(file)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    errors = [line for line in run.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 2, run.stdout + run.stderr
    assert all("[exhaustive-match]" in error for error in errors)
    assert '"Added"' in errors[0]
    assert "Tomorrow.ADDED" in errors[1]
