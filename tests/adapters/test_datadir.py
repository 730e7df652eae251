"""One worker per data directory, one network, and nobody else's home made ours. The other worker is a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pinning_worker.adapters.machine.datadir import DataDirHeld, DataDirRefused, hold_data_dir, prepare_data_dir

HOLD = """
import sys, pathlib
from pinning_worker.adapters.machine.datadir import hold_data_dir
with hold_data_dir(pathlib.Path(sys.argv[1]), "doichain"):
    print("held", flush=True)
    sys.stdin.read()
"""


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_directory_is_ours_alone_and_remembers_its_network(tmp_path: Path) -> None:
    data = tmp_path / "srv" / "data"
    with hold_data_dir(data, "doichain"):
        assert mode(data) == 0o700
        assert (data / "worker.lock").read_text() == f"{os.getpid()}\n"
    with pytest.raises(DataDirRefused, match="of a worker on doichain, and PINNING_NETWORK is doichain-regtest"):
        prepare_data_dir(data, "doichain-regtest")


def test_a_directory_of_ours_that_was_opened_up_is_closed_again(tmp_path: Path) -> None:
    prepare_data_dir(tmp_path / "data", "doichain")
    (tmp_path / "data").chmod(0o755)
    prepare_data_dir(tmp_path / "data", "doichain")
    assert mode(tmp_path / "data") == 0o700


def test_somebody_elses_directory_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(DataDirRefused, match=r"holds holiday\.jpg and is no data directory of a worker"):
        prepare_data_dir(tmp_path, "doichain")
    assert mode(tmp_path) == 0o755
    assert not (tmp_path / "network").exists()


def test_a_fresh_volume_and_what_a_back_up_brings_are_welcome(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "blocks").mkdir()
    for name in ("identity.key", "swarm.key", "bootstrap.peers", "webrtc.pem", "pinning.db", "headers-doichain.bin"):
        (tmp_path / name).touch()
    prepare_data_dir(tmp_path, "doichain")


def test_half_a_restore_is_refused_also_where_all_else_is_there(tmp_path: Path) -> None:
    prepare_data_dir(tmp_path, "doichain")
    (tmp_path / ".restoring").mkdir()
    with pytest.raises(DataDirRefused, match="run the same `pinning-worker restore` again"):
        prepare_data_dir(tmp_path, "doichain")


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(DataDirRefused, match=r"data is no folder: let PINNING_DATA_DIR name one"):
        prepare_data_dir(tmp_path / "data", "doichain")


def test_the_second_worker_learns_the_pid_of_the_first_and_may_run_after_its_kill(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(DataDirHeld, match=rf"another worker \(pid {first.pid}\) runs on {data}"),
            hold_data_dir(data, "doichain"),
        ):
            pass
        first.kill()
        first.wait(10)
        with hold_data_dir(data, "doichain"):
            assert (data / "worker.lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_that_somebody_removed_lets_no_second_worker_in(tmp_path: Path) -> None:
    """Catches: `rm worker.lock` under a worker that runs, as after a crash of other programs."""
    data = tmp_path / "data"
    with subprocess.Popen([sys.executable, "-c", HOLD, data], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        (data / "worker.lock").unlink()
        with pytest.raises(DataDirHeld, match="another worker"), hold_data_dir(data, "doichain"):
            pass
        first.kill()
        first.wait(10)
        with hold_data_dir(data, "doichain"):
            assert (data / "worker.lock").read_text() == f"{os.getpid()}\n"


def test_a_mark_that_a_power_cut_emptied_is_told_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "network").touch()
    with pytest.raises(DataDirRefused, match=r"network is empty, .*echo doichain > "):
        prepare_data_dir(tmp_path, "doichain")


def test_who_was_killed_while_he_wrote_the_mark_may_begin_again(tmp_path: Path) -> None:
    (tmp_path / ".network.0123456789abcdef").write_text("doi")
    prepare_data_dir(tmp_path, "doichain")
    assert (tmp_path / "network").read_text() == "doichain\n"
