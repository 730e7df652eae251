"""The commands of docs/operating.md, as they stand there: what an operator would copy into a shell.

Blocks of commands are fenced with ```sh. `commands("Back-up")` is the first below that heading; other paths than the
page's are put in with `replaced`, and nothing else is changed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import trio

from tests.interop.worker import COMMAND

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operating.md"
RUN = "pinning-worker run\n"
SECONDS = 120


def commands(heading: str) -> list[str]:
    """The blocks below that heading, up to the next."""
    found = re.search(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", _without_comments(PAGE.read_text("utf-8")), re.M | re.S)
    assert found is not None, f"no heading {heading!r} in {PAGE}"
    blocks = re.findall(r"^```sh\n(.*?)^```$", found[1], re.M | re.S)
    assert blocks, f"no commands below {heading!r} in {PAGE}"
    return blocks


def replaced(block: str, places: Mapping[str, Path]) -> str:
    for path, ours in places.items():
        assert path in block, f"{path} is not in\n{block}"
        block = block.replace(path, str(ours))
    return block


async def run_in_shell(script: str, environment: Mapping[str, str], folder: Path) -> str:
    """What it printed. Every command must succeed."""
    with trio.fail_after(SECONDS):
        ended = await trio.run_process(
            ["sh", "-e", "-u"],
            stdin=script.encode(),
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            env={**environment, "PATH": f"{COMMAND.parent}:/usr/bin:/bin"},
            cwd=folder,
        )
    assert ended.returncode == 0, f"{script}\n{ended.stdout.decode()}"
    return ended.stdout.decode()


def _without_comments(page: str) -> str:
    """A # in a block is no heading."""
    return re.sub(r"^```.*?^```$", lambda block: re.sub(r"^#", " #", block[0], flags=re.M), page, flags=re.M | re.S)
