"""The sandbox as a process of its own: told what to do from outside, and gone without a trace when it ends."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio

from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.sandbox.control import SandboxControl
from pinning_worker.sandbox.rejected import Rejected
from pinning_worker.sandbox.rpc_client import SandboxUnreachable, call

pytestmark = pytest.mark.interop

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
SERVE = """
import sys, trio
from pathlib import Path
from pinning_worker.sandbox.control import serve_sandbox
trio.run(serve_sandbox, Path(sys.argv[1]), lambda line: print(line, flush=True))
"""


@dataclass
class Running:
    process: trio.Process
    directory: Path
    said: str

    @property
    def control(self) -> SandboxControl:
        return SandboxControl.in_directory(self.directory)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    directory = tmp_path / "sandbox"
    arguments = [sys.executable, "-c", SERVE, str(directory)]
    process = await trio.lowlevel.open_process(arguments, stdout=subprocess.PIPE)
    try:
        yield Running(process, directory, await until_said(process, "PINNING_CLOCK_OFFSET_FILE=.*\n"))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        assert process.stdout is not None
        await process.stdout.aclose()


async def until_said(process: trio.Process, pattern: str) -> str:
    assert process.stdout is not None
    said = ""
    with trio.fail_after(30):
        while not re.search(pattern, said):
            chunk = await process.stdout.receive_some()
            assert chunk, f"it ended: {said}"
            said += chunk.decode()
    return said


async def until_silent(url: str) -> None:
    """Waits until nobody listens there."""
    where = urlsplit(url)
    with trio.fail_after(20):
        while True:
            try:
                await (await trio.open_tcp_stream(str(where.hostname), where.port or 0)).aclose()
            except OSError:
                return
            await trio.sleep(0.05)


async def test_it_says_where_it_is(running: Running) -> None:
    info = await running.control.info()
    for line in (*info.electrum_urls.values(), info.address, info.clock_offset_file, "doichain-regtest"):
        assert line in running.said
    password = urlsplit((running.directory / "control-url").read_text()).password
    assert password
    assert password not in running.said


async def test_another_process_pays_mines_reorgs_and_moves_time(running: Running) -> None:
    control = running.control
    before = await control.info()
    txid = await control.pay(before.address, Swartz(7_004_482), "art/1", CID)
    assert len(txid) == 64
    assert len(await control.mine(2, auxpow=True)) == 2
    after = await control.info()
    assert after.height == before.height + 2
    assert len(await control.reorg(2)) == 3
    assert (await control.info()).height == before.height + 3
    assert await control.move_time(86_400) == 86_400
    assert await trio.Path(after.clock_offset_file).read_text() == "86400\n"


async def test_what_cannot_be_done_is_refused_with_the_reason(running: Running) -> None:
    control = running.control
    address = (await control.info()).address
    with pytest.raises(Rejected, match="mine first"):
        await control.pay(address, Swartz(10**15), "art/1", CID)
    with pytest.raises(Rejected, match="an address of doichain"):
        await control.pay("N1KHAL5C1CRzy58NdJwp1tbLze3XrkFxx9", Swartz(1), "art/1", CID)
    with pytest.raises(Rejected, match="1 to 1000"):
        await control.mine(10**9)
    with pytest.raises(Rejected, match="height out of range"):
        await control.reorg(10_000)
    url = (running.directory / "control-url").read_text().strip()
    with pytest.raises(Rejected, match="wrong parameters"):
        await call(url, "sandbox.mine", "many", True)
    with pytest.raises(Rejected, match="Method not found"):
        await call(url, "sandbox.rob")
    assert (await control.info()).height == 120


async def test_only_its_owner_can_tell_it_what_to_do(running: Running) -> None:
    file = running.directory / "control-url"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    where = urlsplit(file.read_text().strip())
    assert where.hostname == "127.0.0.1"
    with pytest.raises(SandboxUnreachable, match="401"):
        await call(f"http://sandbox:wrong@127.0.0.1:{where.port}/", "sandbox.mine", 1, False)


@pytest.mark.parametrize("garbage", [b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\n"])
async def test_garbage_on_its_port_ends_that_connection_only(running: Running, garbage: bytes) -> None:
    where = urlsplit((running.directory / "control-url").read_text().strip())
    async with await trio.open_tcp_stream("127.0.0.1", where.port or 0) as stream:
        await stream.send_all(garbage)
    assert (await running.control.info()).height == 120


async def test_asked_to_end_it_takes_everything_with_it(running: Running) -> None:
    urls = (await running.control.info()).electrum_urls
    running.process.send_signal(signal.SIGTERM)
    with trio.fail_after(20):
        assert await running.process.wait() == 0
    for url in urls.values():
        await until_silent(url)
    with pytest.raises(FileNotFoundError):
        SandboxControl.in_directory(running.directory)


async def test_killed_it_leaves_no_electrumx_behind(running: Running) -> None:
    """The leash: ElectrumX's standard input ends with the process that started it."""
    control = running.control
    urls = (await control.info()).electrum_urls
    running.process.kill()
    await running.process.wait()
    for url in urls.values():
        await until_silent(url)
    with pytest.raises(SandboxUnreachable, match="is it running"):
        await control.info()
