"""SIGHUP and the worker as a process: it reads again what may be read again, and never ends."""

import signal
from pathlib import Path

import trio

from tests.adapters.test_cli import settings
from tests.interop.worker import free_port, open_worker


async def test_sighup_never_ends_a_worker_that_runs_or_ends(tmp_path: Path) -> None:
    """Catches: the default handler, by which `kill -HUP` or a closed terminal ended the worker."""
    async with open_worker(tmp_path, settings(free_port())) as worker:
        worker.process.send_signal(signal.SIGHUP)
        await worker.logged(r"settings\.reread")
        worker.process.send_signal(signal.SIGTERM)
        await worker.logged(r"worker\.ending")
        while worker.process.poll() is None:
            worker.process.send_signal(signal.SIGHUP)
            await trio.sleep(0.01)
        assert worker.process.returncode == 0, worker.end_of_log()
