"""The README's recipe, as a newcomer follows it: three terminals in one empty folder, and a pin that is paid for.

Real processes, and only their command line: what one prints is what goes into the next.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from pinning_worker.ungroup import one_error
from tests.content import noise
from tests.interop.worker import COMMAND, command_ended

pytestmark = pytest.mark.interop

DEADLINE = 60
MAKE = Path(__file__).resolve().parents[2] / "Makefile"


@dataclass
class Terminal:
    """One command that runs, and what it has printed so far."""

    process: trio.Process
    text: str = ""
    _news: trio.Event = field(default_factory=trio.Event)

    async def shows(self, pattern: str) -> re.Match[str]:
        with trio.move_on_after(DEADLINE):
            while True:
                if found := re.search(pattern, self.text, re.MULTILINE):
                    return found
                await self._news.wait()
        raise AssertionError(f"did not show {pattern!r}:\n{self.text}")

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for chunk in self.process.stdout:
            self.text += chunk.decode()
            self._news.set()
            self._news = trio.Event()


@asynccontextmanager
async def terminal(folder: Path, *arguments: str) -> AsyncIterator[Terminal]:
    process = await trio.lowlevel.open_process(
        [str(COMMAND), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=newcomer(folder),
        cwd=folder,
    )
    opened = Terminal(process)
    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.read)
            try:
                yield opened
            finally:
                with trio.CancelScope(shield=True):
                    process.kill()
                    await process.wait()
                nursery.cancel_scope.cancel()


def newcomer(folder: Path) -> Mapping[str, str]:
    return {"PATH": f"{COMMAND.parent}:/usr/bin:/bin", "HOME": str(folder.parent)}


async def typed(line: str, folder: Path) -> str:
    """A line that somebody copies from one terminal into another."""
    name, *arguments = shlex.split(line)
    assert name == "pinning-worker"
    code, printed, complained = await command_ended(arguments, newcomer(folder), folder)
    assert code == 0, complained
    return printed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "first-steps"
    folder.mkdir()
    return folder


async def test_three_terminals_and_a_paid_pin(folder: Path) -> None:
    (folder / "picture.png").write_bytes(noise(2_500_000))
    async with terminal(folder, "sandbox") as sandbox:
        await sandbox.shows(r"^PINNING_CLOCK_OFFSET_FILE=.*\n")
        (folder / ".env").write_text(sandbox.text)
        await typed("pinning-worker migrate", folder)
        async with terminal(folder, "run") as worker:
            await worker.shows(r"chain\.seen")
            async with terminal(folder, "ask", "picture.png") as asked:
                await asked.shows(r"^ +pinning-worker sandbox mine 6\n")
                pay, mine = re.findall(r"^ +(pinning-worker sandbox .*)$", asked.text, re.MULTILINE)
                txid = (await typed(pay, folder)).strip()
                await asked.shows(f"payment seen: {txid} .* 0 of 6 confirmations")
                await typed(mine, folder)
                await asked.shows(r"^pinned as ask/\w+ until 20")
                with trio.fail_after(DEADLINE):
                    assert await asked.process.wait() == 0
            assert re.search(r"^pinned .* swartz  ask/", await typed("pinning-worker pins", folder))
            again = await typed("pinning-worker ask picture.png --no-follow", folder)
            assert again.startswith("kept already, as ask/")


async def test_ctrl_c_ends_the_asking_and_leaves_nothing(folder: Path) -> None:
    (folder / "picture.png").write_bytes(noise(1000))
    async with terminal(folder, "sandbox") as sandbox:
        await sandbox.shows(r"^PINNING_CLOCK_OFFSET_FILE=.*\n")
        (folder / ".env").write_text(sandbox.text)
        await typed("pinning-worker migrate", folder)
        async with terminal(folder, "run") as worker:
            await worker.shows(r"chain\.seen")
            async with terminal(folder, "ask", "picture.png", "--json") as asked:
                await asked.shows(r'^\{"step":"offer","amount":1000000,')
                asked.process.send_signal(signal.SIGINT)
                with trio.fail_after(DEADLINE):
                    assert await asked.process.wait() == 130
                assert "Traceback" not in asked.text
            code, printed, _ = await command_ended(["ask", "bafybad"], newcomer(folder), folder)
            assert (code, printed) == (2, "")


async def test_a_directory_in_use_is_refused(folder: Path) -> None:
    async with terminal(folder, "sandbox", "--dir", "box") as sandbox:
        await sandbox.shows(r"^PINNING_CLOCK_OFFSET_FILE=.*\n")
        code, printed, complained = await command_ended(["sandbox", "--dir", "box"], newcomer(folder), folder)
        assert (code, printed) == (75, "")
        assert f"another sandbox (pid {sandbox.process.pid}) runs in box" in complained


def test_make_run_without_settings_says_what_to_do_and_makes_nothing(folder: Path) -> None:
    ended = subprocess.run(
        ["make", "-f", str(MAKE), "--assume-old=venv", "run"],
        cwd=with_this_command(folder),
        env=dict(newcomer(folder)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert "PINNING_PAYMENT_ADDRESS is not set" in ended.stderr
    assert "cp .env.example .env" in ended.stderr
    assert {path.name for path in folder.parent.iterdir()} == {folder.name}
    assert {path.name for path in folder.iterdir()} == {".venv"}


def with_this_command(folder: Path) -> Path:
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "pinning-worker").symlink_to(COMMAND)
    return folder
