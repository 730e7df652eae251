"""A PostgreSQL server as a process of ours, where its binaries are: in a folder of its own, on a socket, no port."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
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
        control = [*as_user, str(binaries / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log")]
        options = f"-c listen_addresses='' -k {folder} -c fsync=off"
        subprocess.run([*control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, timeout=120)
        try:
            yield folder
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, timeout=120)
    finally:
        shutil.rmtree(folder)


def _binaries() -> Path | None:
    newest_last = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or (newest_last and str(newest_last[-1]))
    return Path(found).resolve().parent if found else None


def _make_folder_usable(folder: Path) -> list[str]:
    """The server refuses to run as root: then as the user that its package made."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, "postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
