"""`make demo` and `make demo-browser` themselves: what they tell, and that nothing they started is left."""

import os
import signal
import sys
from subprocess import PIPE, STDOUT

import psutil
import pytest
import trio

from tests.interop.node_binary import needs_node

pytestmark = [pytest.mark.interop, needs_node]

LONGEST = 240
TOLD = ("FETCHING-CID", "ADDING-CID", "txid ", "PAYMENT-SEEN", "ADDED-CID", "CID-PINNED-WITH-NAME", "EXPIRED-CID")


async def demo(
    interrupt_at: str | None = None, module: str = "tests.interop.demo"
) -> tuple[int, str, list[psutil.Process]]:
    """(exit code, what it printed, processes left of its session); with a line at which it gets a SIGTERM."""
    command = [sys.executable, "-m", module]
    process = await trio.lowlevel.open_process(command, stdout=PIPE, stderr=STDOUT, start_new_session=True)
    assert process.stdout is not None
    said = b""
    try:
        with trio.fail_after(LONGEST):
            async for chunk in process.stdout:
                said += chunk
                if interrupt_at and interrupt_at.encode() in said:
                    process.send_signal(signal.SIGTERM)
                    interrupt_at = None
            exit_code = await process.wait()
    finally:
        process.kill()
        with trio.CancelScope(shield=True), trio.move_on_after(10):  # who is ending may take a moment
            while left := _left(process.pid):  # noqa: ASYNC110  they tell nobody
                await trio.sleep(0.1)
        for each in left:
            each.kill()
    return exit_code, said.decode(), left


def _left(session: int) -> list[psutil.Process]:
    return [each for each in psutil.process_iter() if _session(each.pid) == session]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


async def test_it_tells_the_whole_story_and_leaves_nothing_behind() -> None:
    exit_code, said, left = await demo()
    assert exit_code == 0, said
    assert left == []
    places = [said.find(each) for each in TOLD]
    assert places == sorted(places), said
    assert -1 not in places, said


async def test_interrupted_it_takes_everything_along() -> None:
    exit_code, said, left = await demo(interrupt_at="Alice adds")
    assert said.endswith("interrupted by SIGTERM\n"), said
    assert exit_code == 1
    assert left == []


async def test_the_page_is_served_until_it_is_interrupted() -> None:
    exit_code, said, left = await demo("Ctrl-C ends everything", "tests.interop.demo_browser")
    assert "http://127.0.0.1:" in said, said
    assert said.endswith("Everything that was started has ended.\n"), said
    assert exit_code == 0
    assert left == []
