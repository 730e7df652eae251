"""A PostgreSQL server as a process of ours, where its binaries are: in a folder of its own, on a socket, no port."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path

import pytest

_databases = count(1)


def new_database(socket_folder: Path) -> str:
    """The URL of a new, empty database."""
    name = f"pinning_{next(_databases)}"
    command = ["psql", "-h", str(socket_folder), "-U", "postgres", "-c", f"CREATE DATABASE {name}"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return f"postgresql://postgres@/{name}?host={socket_folder}"


@contextmanager
def a_server() -> Iterator[Path]:
    """Its socket's folder. Skips the test where there is no server or no driver for it."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server on this machine")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pinning-pg-"))
    as_user = _make_folder_usable(folder)
    try:
        data = str(folder / "data")
        initdb = [str(binaries / "initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run([*as_user, *initdb, "--locale=C"], check=True, capture_output=True, timeout=120)
        with _running([*as_user, str(binaries / "postgres"), "-D", data, "-k", str(folder), *_OPTIONS]):
            yield folder
    finally:
        shutil.rmtree(folder)


# It listens on its socket alone; and says nothing but that it is ready, so that nobody must empty its pipe.
_OPTIONS = ("-c", "listen_addresses=", "-c", "fsync=off", "-c", "log_min_messages=log", "-c", "log_checkpoints=off")


@contextmanager
def _running(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            said = list(takewhile(lambda line: "ready to accept connections" not in line, server.stderr))
            assert server.poll() is None, "".join(said)
            yield
        finally:
            server.send_signal(signal.SIGINT)  # ends the connections, then itself


def _binaries() -> Path | None:
    newest_last = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or (newest_last and str(newest_last[-1]))
    return Path(found).resolve().parent if found else None


def _make_folder_usable(folder: Path) -> list[str]:
    """The server ends with us, even if we are killed; and refuses to be root: then it is its package's user."""
    ends_with_us = ["setpriv", "--pdeathsig=INT"]
    if os.geteuid() != 0:
        return ends_with_us
    shutil.chown(folder, "postgres")
    return [*ends_with_us, "--reuid=postgres", "--regid=postgres", "--clear-groups"]
