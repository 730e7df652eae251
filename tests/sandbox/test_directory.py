"""Which directories a sandbox takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pinning_worker.sandbox.directory import DirectoryHeld, DirectoryRefused, hold_directory


def test_a_new_one_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    with hold_directory(tmp_path / "a" / "box"):
        assert (tmp_path / "a" / "box").stat().st_mode & 0o777 == 0o700


def test_that_of_a_former_sandbox_is_taken_with_its_workers(tmp_path: Path) -> None:
    for name in ("clock-offset", "electrumx", "control-url", "worker-20261129-060745"):
        (tmp_path / name).touch()
    with hold_directory(tmp_path):
        pass


def test_one_sandbox_at_a_time(tmp_path: Path) -> None:
    with hold_directory(tmp_path), pytest.raises(DirectoryHeld, match=rf"pid {os.getpid()}\) runs in"):
        hold_directory(tmp_path).__enter__()
    with hold_directory(tmp_path):
        pass


@pytest.mark.parametrize("other", ["photo.jpg", "network", ".ssh"])
def test_what_somebody_else_has_made_is_refused_and_untouched(tmp_path: Path, other: str) -> None:
    (tmp_path / other).touch()
    with pytest.raises(DirectoryRefused, match=f"holds {other}, which no sandbox has made"):
        hold_directory(tmp_path).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == [other]


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryRefused, match="is no directory"):
        hold_directory(tmp_path / "file").__enter__()
