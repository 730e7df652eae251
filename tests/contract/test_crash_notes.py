"""The notes of crashes: the twin and the file keep the same promises; the file over the death of a real process too."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pinning_worker.adapters.machine.crash_file import AT_WORK, CRASHES, SLOT_BYTES, read_crash_file
from pinning_worker.adapters.memory.crash_notes import MemoryCrashNotes
from pinning_worker.ports.world import CrashNotes, Trouble

FETCH, STEP = "fetch bafyart", "step bafyart 0123456789abcdef"


@pytest.fixture(params=["memory", "file"])
def notes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CrashNotes]:
    if request.param == "memory":
        yield MemoryCrashNotes()
        return
    file = read_crash_file(tmp_path, "1")
    with file.open():
        yield file


def test_work_that_ends_well_is_not_counted(notes: CrashNotes) -> None:
    notes.begin(FETCH)
    assert notes.end(FETCH) == 0
    assert dict(notes.counts()) == {}


def test_crashes_add_up_until_the_work_ends_well_once(notes: CrashNotes) -> None:
    for count in (1, 2):
        notes.begin(FETCH)
        assert notes.end(FETCH, crashed=True) == count
    notes.begin(STEP)
    notes.end(STEP, crashed=True)
    assert dict(notes.counts()) == {FETCH: 2, STEP: 1}
    notes.begin(FETCH)
    assert notes.end(FETCH) == 0
    assert dict(notes.counts()) == {STEP: 1}


def test_the_same_work_may_be_under_way_twice(notes: CrashNotes) -> None:
    notes.begin(FETCH)
    notes.begin(FETCH)
    notes.end(FETCH)
    assert notes.end(FETCH, crashed=True) == 1


DYING = f"""
import os, sys
from pathlib import Path
from pinning_worker.adapters.machine.crash_file import read_crash_file
file = read_crash_file(Path(sys.argv[1]), "1")
with file.open():
    file.begin("{FETCH}")
    file.begin("step done 0")
    file.begin("{STEP}")
    file.end("step done 0")
    os.kill(os.getpid(), {int(signal.SIGKILL)})
"""


def die_at_work(folder: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DYING, str(folder)], check=False)
    assert died.returncode == -signal.SIGKILL


def counts(folder: Path, version: str = "1") -> dict[str, int]:
    """As the next run sees them, which ends in order."""
    file = read_crash_file(folder, version)
    with file.open():
        return dict(file.counts())


def test_a_killed_process_leaves_what_it_was_at_and_each_death_counts_once(tmp_path: Path) -> None:
    die_at_work(tmp_path)
    assert counts(tmp_path) == {FETCH: 1, STEP: 1}
    assert counts(tmp_path) == {FETCH: 1, STEP: 1}, "the run in between ended in order"
    die_at_work(tmp_path)
    assert counts(tmp_path) == {FETCH: 2, STEP: 2}


def test_a_fault_of_ours_that_ends_the_run_leaves_the_notes_and_trouble_or_an_order_does_not(tmp_path: Path) -> None:
    for error, left in ((RuntimeError, {FETCH: 1}), (Trouble, {FETCH: 1})):
        file = read_crash_file(tmp_path, "1")
        with suppress(error), file.open():
            file.begin(FETCH)
            raise error
        assert counts(tmp_path) == left


def test_a_machine_that_was_started_since_blames_nobody(tmp_path: Path) -> None:
    """Catches: three power cuts set aside whatever takes long. A note of half a minute has reached the disk."""
    booted_at = 1_800_000_000
    for booted_again_at, counted in (
        (booted_at + 3, {FETCH: 1}),
        (booted_at + 60, {FETCH: 1}),
        (booted_at, {FETCH: 2}),
    ):
        (tmp_path / AT_WORK).write_text(f"{booted_at}\n{FETCH}\n")
        file = read_crash_file(tmp_path, "1", booted_again_at)
        with file.open():
            assert dict(file.counts()) == counted


def test_another_version_forgets(tmp_path: Path) -> None:
    die_at_work(tmp_path)
    counts(tmp_path)
    assert counts(tmp_path, "2") == {}


def test_the_operator_forgives_by_cid(tmp_path: Path) -> None:
    die_at_work(tmp_path)
    counts(tmp_path)
    file = read_crash_file(tmp_path, "1")
    assert (file.forgive("bafyother"), file.forgive("bafyart")) == (0, 2)
    assert counts(tmp_path) == {}


@pytest.mark.parametrize("damage", [b"", b"\xff\x00{", b"[]", b'{"version": "1", "crashes": {"fetch x": "many"}}'])
def test_damaged_files_cost_the_counts_and_not_the_start(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / CRASHES).write_bytes(damage)
    (tmp_path / AT_WORK).write_bytes(damage * SLOT_BYTES)
    assert set(counts(tmp_path).values()) <= {1}


@pytest.mark.parametrize("name", ["fetch", "fetch\tx", " fetch", "\ufffd \ufffd", ""])
def test_what_names_no_work_is_not_counted(tmp_path: Path, name: str) -> None:
    """Catches: a name without a subject, of which the story looks for the subject at every start and dies."""
    (tmp_path / CRASHES).write_text(json.dumps({"version": "1", "crashes": {name: 3, "fetch bafyart": 3}}))
    (tmp_path / AT_WORK).write_bytes(name.encode().ljust(SLOT_BYTES - 1) + b"\n")
    assert set(counts(tmp_path)) == {"fetch bafyart"}


def test_files_that_cannot_be_had_cost_the_notes_and_not_the_run(tmp_path: Path) -> None:
    (tmp_path / CRASHES).mkdir()
    (tmp_path / AT_WORK).mkdir()
    file = read_crash_file(tmp_path, "1")
    with file.open():
        file.begin(FETCH)
        assert file.end(FETCH, crashed=True) == 1


def test_a_thousand_pieces_of_work_one_after_the_other_need_one_slot(tmp_path: Path) -> None:
    file = read_crash_file(tmp_path, "1")
    with file.open():
        for number in range(1000):
            file.begin(f"fetch bafy{number}")
            file.end(f"fetch bafy{number}")
        assert (tmp_path / AT_WORK).stat().st_size == 2 * SLOT_BYTES
    assert not (tmp_path / AT_WORK).exists()


def test_at_work_is_for_this_user_alone(tmp_path: Path) -> None:
    file = read_crash_file(tmp_path, "1")
    with file.open():
        assert (tmp_path / AT_WORK).stat().st_mode & 0o077 == 0
