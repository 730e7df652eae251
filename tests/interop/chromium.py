"""A real Chromium as a trio context manager: `async with open_chromium() as browser:`.

The other end of `node/chromium.mjs`: JSON lines, one command at a time, each with a deadline. Elements are named by
the words that a person sees. When something is not there in time, the exception shows the page's own complaints, and a
screenshot is left in `artefacts/`. The browser is ended with the driver's stdin, or by its pid.

`needs_chromium` skips a file's tests where no Chromium is and says how to get it; in CI every skip is a failure.
"""

import json
import math
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import trio

from tests.interop.node_binary import HOW_TO_GET_IT, NODE_PROJECT, node_binary

ARTEFACTS = Path(__file__).resolve().parents[2] / "artefacts"
CHROMIUM = shutil.which("chromium")
DEADLINE = 40
STOP_SECONDS = 10

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: on Debian `apt-get install chromium`")


class ChromiumError(Exception):
    """The page did not do what it should. The text carries its console's errors."""


@dataclass(frozen=True)
class Mark:
    """A message of the topic as the page marked it: its status (or NEW-CID), its fields, and when, in milliseconds."""

    name: str
    ms: float
    said: dict[str, Any]


class Chromium:
    """One running browser with at most one page open. Made by `open_chromium` only."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._unread = b""

    async def open(self, url: str) -> None:
        """A new window without any memory; the one before is gone."""
        await self._ask("open", url=url)

    async def reload(self) -> None:
        """The same window again, with what the page has put away."""
        await self._ask("reload")

    async def click(self, name: str) -> None:
        await self._ask("click", name=name)

    async def fill(self, label: str, text: str) -> None:
        await self._ask("fill", label=label, text=text)

    async def choose(self, label: str, option: str) -> None:
        """One of a list, by its words."""
        await self._ask("choose", label=label, option=option)

    async def upload(self, label: str, path: Path) -> None:
        """A file; or a folder, into a field for folders."""
        await self._ask("upload", label=label, path=str(path))

    async def drop(self, selector: str, *paths: Path) -> None:
        """Drags files and folders from outside onto an element, and lets go."""
        await self._ask("drop", selector=selector, paths=[str(path) for path in paths])

    async def fits(self, width: int) -> None:
        """Raises ChromiumError if the page scrolls sideways on a screen of that width."""
        found = await self._ask("overflow", width=width)
        if found["pixels"] > 0:
            raise ChromiumError(f"{found['pixels']} pixels wider than {width}: {', '.join(found['by'])}")

    async def shows(self, selector: str, pattern: str, deadline: float = DEADLINE) -> str:
        """Waits until the element is visible and its text fits the regular expression; returns that text."""
        return str((await self._ask("shows", deadline, selector=selector, pattern=pattern))["text"])

    async def text(self, selector: str) -> str:
        return str((await self._ask("text", selector=selector))["text"])

    async def value(self, label: str) -> str:
        """What stands in a field."""
        return str((await self._ask("value", label=label))["text"])

    async def download(self, link: str, path: Path) -> str:
        """Saves what a link downloads; returns the file name that it suggests."""
        return str((await self._ask("download", name=link, path=str(path)))["fileName"])

    async def screenshot(self, name: str, *, dark: bool = False, width: int | None = None) -> None:
        """The whole page, into `artefacts/<name>.png`; at another time of day, or on a narrower screen."""
        ARTEFACTS.mkdir(exist_ok=True)
        await self._ask("screenshot", path=str(ARTEFACTS / f"{name}.png"), dark=dark, width=width)

    async def scan(self, selector: str, deadline: float = 60) -> tuple[str, bytes]:
        """Reads an animated QR code from the screen, as a wallet's camera does; (UR type, content)."""
        answer = await self._ask("scan", deadline, selector=selector)
        return str(answer["type"]), bytes.fromhex(answer["hex"])

    async def marks(self) -> list[Mark]:
        return [Mark(**each) for each in (await self._ask("marks"))["marks"]]

    async def is_seen(self, selector: str) -> bool:
        """Whether the element is there to be seen at this moment; `shows` waits."""
        return bool(await self.evaluate(f"document.querySelector({json.dumps(selector)}).checkVisibility()"))

    async def evaluate(self, expression: str) -> Any:
        return (await self._ask("evaluate", expression=expression)).get("value")

    async def traffic(self) -> tuple[list[str], list[str]]:
        """(every address that the page asked for, its console's errors), since it was opened."""
        answer = await self._ask("traffic")
        return answer["traffic"], answer["complaints"]

    async def _ask(self, command: str, deadline: float = DEADLINE, **options: Any) -> Any:
        line = json.dumps({"do": command, "deadlineMs": math.ceil(deadline * 1000), **options})
        assert self._process.stdin is not None
        with trio.move_on_after(deadline + 5):  # the driver's own deadline comes first, and says more
            await self._process.stdin.send_all(line.encode() + b"\n")
            answer = json.loads(await self._line())
            if "error" in answer:
                raise ChromiumError(f"{command} {options}: {answer['error']}")
            return answer["ok"]
        raise ChromiumError(f"{command} {options}: no answer within {deadline} s")

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            chunk = await self._process.stdout.receive_some()
            if not chunk:
                raise ChromiumError("the driver has ended")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line


@asynccontextmanager
async def open_chromium(flags: Sequence[str] = ()) -> AsyncIterator[Chromium]:
    """A headless browser with an empty profile; gone when the block ends. `flags` are Chromium's own."""
    node = node_binary()
    if node is None or CHROMIUM is None:
        raise ChromiumError(HOW_TO_GET_IT if node is None else "no Chromium on this machine")
    command = [str(node), "chromium.mjs"]
    process = await trio.lowlevel.open_process(command, stdin=PIPE, stdout=PIPE, cwd=NODE_PROJECT)
    browser = Chromium(process)
    try:
        await browser._ask("start", 30, executable=CHROMIUM, flags=list(flags))
        yield browser
    except ChromiumError:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + DEADLINE):
            await _last_picture(browser)
        raise
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)


async def _last_picture(browser: Chromium) -> None:
    try:
        await browser.screenshot("failed")
    except (ChromiumError, trio.BrokenResourceError):
        return  # no page, or no browser: the first error says more


async def _end(process: trio.Process) -> None:
    assert process.stdin is not None
    await process.stdin.aclose()
    with trio.move_on_after(STOP_SECONDS):
        await process.wait()
    process.kill()
    await process.wait()
