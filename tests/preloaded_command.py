"""`pinning-worker` commands that start at once, for tests that run many: each is a process, and none imports anything.

Imports are nine tenths of what a short command does. Here a server process has imported the package once, and each
command is a fork of the server, with its own environment, folder, user, output and exit code. A module that a command
forgets to import is not missed here: `tests/adapters/test_cli.py` and its neighbours start the installed script.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired

ENDS_WITHIN_SECONDS = 60
_PRELOADED = ["pinning_worker.cli", "pinning_worker.daemon", "pinning_worker.commands.openings", __name__]
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(_PRELOADED)


def preloaded_command(
    *arguments: str, environment: Mapping[str, str], folder: Path, user: int | None = None
) -> CompletedProcess[str]:
    """One command that ends by itself, run in `folder`. `user`: not this one, but that, in its own group."""
    with tempfile.TemporaryDirectory() as written:
        out, err = Path(written, "out"), Path(written, "err")
        process = _FORKS.Process(target=_run, args=(arguments, dict(environment), folder, user, out, err), daemon=True)
        process.start()
        process.join(ENDS_WITHIN_SECONDS)
        if process.exitcode is None:
            process.kill()
            raise TimeoutExpired(arguments, ENDS_WITHIN_SECONDS)
        return CompletedProcess(arguments, process.exitcode, out.read_text(), err.read_text())


def _run(
    arguments: tuple[str, ...], environment: dict[str, str], folder: Path, user: int | None, out: Path, err: Path
) -> None:
    """In the fork: becomes the command."""
    from pinning_worker.cli import main

    for path, stream in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    main(arguments, prog_name="pinning-worker")
