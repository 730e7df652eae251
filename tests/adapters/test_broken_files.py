"""What is broken, and what is said of it: real files, broken as a disk or a hand breaks them, and the commands as
processes (tests/preloaded_command.py).

`check-config` finds what `run` would refuse, and says it in the same sentence. Where rights are the matter, the
commands run as a user who is not root.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import trio

from pinning_worker.adapters.sql.books import SqlBooks
from pinning_worker.adapters.sql.database import Database
from pinning_worker.domain.identities import Txid
from pinning_worker.ports.books import Change
from tests.adapters.test_cli import CID_V0, settings, told
from tests.certificates import self_signed
from tests.contract.samples import OTHER, ROOT, bare_payment, pin
from tests.interop.worker import free_port, worker_environment
from tests.preloaded_command import preloaded_command

READERS = [["run"], ["pins"], ["quote", CID_V0], ["blocks"], ["recover"], ["check-config"]]
USER, SOMEBODY = 12321, 12322


def command(folder: Path, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """One command in `folder`, whose data are in `folder/data`; it ends by itself."""
    return preloaded_command(*arguments, environment=its_environment(folder, changed), folder=folder)


def as_user(folder: Path, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    return preloaded_command(*arguments, environment=its_environment(folder, changed), folder=folder, user=USER)


def its_environment(folder: Path, changed: dict[str, str]) -> dict[str, str]:
    return worker_environment(folder, settings(free_port(), **changed))


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory after `migrate` and `keygen`, with an empty block folder; copied for each test."""
    folder = tmp_path_factory.mktemp("migrated")
    for name in ("migrate", "keygen"):
        assert command(folder, name).returncode == 0
    for last_byte in range(256):
        (folder / "data" / "blocks" / f"{last_byte:02x}").mkdir(parents=True)
    return folder / "data"


@pytest.fixture
def data(tmp_path: Path, migrated: Path) -> Path:
    return Path(shutil.copytree(migrated, tmp_path / "data"))


def last(text: str) -> str:
    """`run` may log before it refuses."""
    return text.splitlines()[-1].removeprefix("Error: ")


def alike(start: Callable[[str], subprocess.CompletedProcess[str]], words: str) -> None:
    """`run` and `check-config`, side by side, refuse with the same sentence, in which these words stand."""
    with ThreadPoolExecutor() as both:
        run, check = both.map(start, ("run", "check-config"))
    sentence = last(told(run, 78))
    assert words in sentence
    problems = [line.removeprefix("  - ") for line in told(check, 78).splitlines()]
    assert sentence.removeprefix("  - ") in problems


# ---------------------------------------------------------------- the database, in every command


def damage_every_table(database: Path) -> None:
    """All pages but those of the revision: the file opens, and whoever reads on meets the damage."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=DELETE")
    roots = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE tbl_name != 'alembic_version' AND rootpage > 1"
    )
    pages = [page for (page,) in roots]
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    with database.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * size)
            file.write(b"\xee" * size)


@pytest.mark.parametrize("arguments", [["run"], ["migrate"], ["check-config"]], ids=" ".join)
def test_a_letter_instead_of_a_database(arguments: list[str], data: Path) -> None:
    database = data / "pinning.db"
    database.write_bytes(b"a letter to my aunt " * 100)
    text = last(told(command(data.parent, *arguments), 78))
    assert f"{database} is no SQLite database: let PINNING_DATABASE_URL name ours" in text
    assert database.read_bytes() == b"a letter to my aunt " * 100


@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
def test_damaged_pages(arguments: list[str], data: Path) -> None:
    (data / "blocks" / "7f" / "ciqaaaaa").touch()  # one block, for which `blocks` asks the books
    damage_every_table(data / "pinning.db")
    text = last(told(command(data.parent, *arguments), 78))
    assert f"the database {data}/pinning.db is damaged" in text
    assert "put the newest backup in its place" in text
    assert "`pinning-worker recover` then brings it up to date" in text


# ---------------------------------------------------------------- what `run` opens


def another_programs_database(data: Path) -> None:
    (data / "pinning.db").unlink()
    with sqlite3.connect(data / "pinning.db") as connection:
        connection.execute("CREATE TABLE recipes (cake TEXT)")


def a_folder_for_a_database(data: Path) -> None:
    (data / "pinning.db").unlink()
    (data / "pinning.db").mkdir()


def a_file_for_a_shelf(data: Path) -> None:
    (data / "blocks" / "7f").rmdir()
    (data / "blocks" / "7f").touch()


def a_file_for_the_data(data: Path) -> None:
    shutil.rmtree(data)
    data.write_text("a file")


def a_block_of_nobody(data: Path) -> None:
    (data / "blocks" / "7f" / "ciqovs").write_bytes(b"paid for")


BROKEN: list[tuple[Callable[[Path], object], str]] = [
    (lambda data: (data / "identity.key").write_bytes(b"\x08\x02oops"), "data/identity.key cannot be used: "),
    (
        lambda data: (data / "network").write_text("doichain-test\n"),
        "is the data directory of a worker on doichain-test",
    ),
    (lambda data: (data / "blocks" / "store.json").write_text("{"), "data/blocks/store.json is damaged"),
    (a_file_for_a_shelf, "data/blocks/7f is no folder"),
    (a_block_of_nobody, "data/blocks has some: is PINNING_DATABASE_URL right?"),
    (a_file_for_the_data, "data is no folder: let PINNING_DATA_DIR name one"),
    (a_folder_for_a_database, "pinning.db is a folder: let PINNING_DATABASE_URL name"),
    (another_programs_database, "pinning.db is another program's (it has a table recipes)"),
]


@pytest.mark.parametrize(("break_it", "words"), BROKEN, ids=[words for _, words in BROKEN])
def test_check_config_finds_what_run_refuses(break_it: Callable[[Path], object], words: str, data: Path) -> None:
    break_it(data)
    alike(lambda name: command(data.parent, name), words)


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("one.pem", "two.key", "one.pem with {}/two.key for wss: KEY_VALUES_MISMATCH: the key is not that of the"),
        ("letter.txt", "one.key", "letter.txt with {}/one.key for wss: "),
        ("one.pem", "letter.txt", "one.pem with {}/letter.txt for wss: "),
        ("one.pem", "nothing.key", "names {}/nothing.key, which is not there"),
    ],
)
def test_certificates_that_are_no_pair(certificate: str, key: str, words: str, data: Path) -> None:
    folder = data.parent
    for name in ("one", "two"):
        self_signed(folder, name)
    (folder / "letter.txt").write_text("Dear aunt")
    files = {"PINNING_TLS_CERT": str(folder / certificate), "PINNING_TLS_KEY": str(folder / key)}
    alike(lambda name: command(folder, name, **files), words.format(folder))


def test_a_damaged_certificate_of_webrtc_direct(data: Path) -> None:
    (data / "webrtc.pem").write_text("oops")
    listen = {"PINNING_LISTEN": f"/ip4/127.0.0.1/udp/{free_port()}/webrtc-direct"}
    words = f"{data}/webrtc.pem holds no key and certificate for webrtc-direct. Put it back from a backup"
    alike(lambda name: command(data.parent, name, **listen), words)


def test_all_that_is_broken_is_told_at_once(data: Path) -> None:
    (data / "identity.key").write_bytes(b"oops")
    (data / "pinning.db").write_bytes(b"a letter to my aunt " * 100)
    head, *problems = told(command(data.parent, "check-config"), 78).splitlines()
    assert head == "the settings can be read, and `run` would refuse to start:"
    assert len(problems) == 2


def test_looking_makes_and_changes_nothing(data: Path) -> None:
    def everything() -> dict[str, tuple[int, int]]:
        found = (Path(folder) / name for folder, _, names in os.walk(data) for name in names)
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in found}

    before = everything()
    assert command(data.parent, "check-config").returncode == 0
    assert everything() == before


# ---------------------------------------------------------------- rights


@pytest.fixture
def his(migrated: Path) -> Iterator[Path]:
    """A data directory of a user who is not root, where that user can get at it."""
    if os.geteuid() != 0 or as_user(Path("/"), "--version").returncode:
        pytest.skip("takes root, and a Python that other users may run")
    folder = Path(tempfile.mkdtemp(prefix="worker"))
    try:
        shutil.copytree(migrated, folder / "data")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, USER, USER)
        yield folder / "data"
    finally:
        shutil.rmtree(folder)


def give_away_the_lock(data: Path) -> None:
    (data / "worker.lock").touch()
    give_away(data / "worker.lock")


def give_away(path: Path, mode: int = 0o600) -> None:
    os.chown(path, SOMEBODY, SOMEBODY)
    path.chmod(mode)


RIGHTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda data: give_away(data, 0o777), f"data is that of user {SOMEBODY}, and this is user {USER}: run it as that"),
    (lambda data: data.chmod(0o500), "data is not to be read and written by user"),
    (
        give_away_the_lock,
        "data/worker.lock is",
    ),
    (lambda data: give_away(data / "identity.key"), "data/identity.key (this is user 12321). It must be the worker's"),
    (lambda data: give_away(data / "pinning.db", 0o644), "data/pinning.db cannot be written): this file and those"),
    (lambda data: give_away(data / "pinning.db"), "data/pinning.db cannot be opened for reading and writing by user"),
    (lambda data: give_away(data / "blocks" / "7f", 0o755), "data/blocks/7f is not to be read and written by user"),
    (lambda data: give_away(data / "blocks", 0o700), "data/blocks is not to be read and written by user"),
]


@pytest.mark.parametrize(("break_it", "words"), RIGHTS, ids=[words for _, words in RIGHTS])
def test_files_of_somebody_else(break_it: Callable[[Path], object], words: str, his: Path) -> None:
    break_it(his)
    alike(lambda name: as_user(his.parent, name), words)


def test_a_certificate_that_only_root_may_read(his: Path) -> None:
    """As certbot leaves them: the folder is closed."""
    closed = his.parent / "live"
    closed.mkdir(mode=0o700)
    files = self_signed(closed)
    named = {"PINNING_TLS_CERT": str(files.certificate), "PINNING_TLS_KEY": str(files.key)}
    words = f"for wss: Permission denied: {files.certificate} (this is user {USER})"
    alike(lambda name: as_user(his.parent, name, **named), words)


def test_a_directory_on_the_way_that_is_closed(his: Path) -> None:
    give_away(his.parent, 0o700)
    data = {"PINNING_DATA_DIR": str(his)}
    with tempfile.TemporaryDirectory() as elsewhere:
        Path(elsewhere).chmod(0o755)
        for name in ("run", "check-config", "id"):
            assert str(his) in told(as_user(Path(elsewhere), name, **data), 78)


@pytest.mark.parametrize("name", ["migrate", "pins", "recover", "keygen"])
def test_a_directory_that_cannot_be_written_is_named_by_every_command(name: str, his: Path) -> None:
    shutil.rmtree(his)
    his.parent.chmod(0o500)
    ended = as_user(his.parent, name)
    assert "Traceback" not in ended.stderr
    assert ended.returncode == (69 if name == "pins" else 78), ended.stderr


@pytest.mark.parametrize(
    ("days", "words"),
    [(-1, "THE CERTIFICATE HAS EXPIRED: {} was good until 20"), (10, "the certificate {} ends in 9 days"), (30, None)],
)
def test_a_certificate_that_ends(days: int, words: str | None, data: Path) -> None:
    files = self_signed(data.parent, until=timedelta(days=days))
    named = {"PINNING_TLS_CERT": str(files.certificate), "PINNING_TLS_KEY": str(files.key)}
    ended = command(data.parent, "check-config", **named)
    assert ended.returncode == 0, ended.stderr
    said = [line for line in ended.stdout.splitlines() if line.startswith("!")]
    assert [line.startswith("! " + words.format(files.certificate)) for line in said] if words else said == []


def test_root_is_warned_of_what_it_leaves_in_a_users_directory(his: Path) -> None:
    ended = command(his.parent, "check-config")
    assert ended.returncode == 0
    assert f"! the data directory {his} is that of user {USER}, and this is root" in ended.stdout


def test_two_workers_that_share_a_payment_address(data: Path) -> None:
    async def pay_for_two() -> None:
        database = Database(f"sqlite:///{data}/pinning.db")
        paid = (bare_payment(Txid("aa" * 32), ROOT), bare_payment(Txid("bb" * 32), OTHER))
        assert await SqlBooks(database).commit(Change(pins=(pin(ROOT), pin(OTHER)), payments=paid))
        await database.close()

    trio.run(pay_for_two)
    ended = command(data.parent, "check-config")
    assert ended.returncode == 0, ended.stderr
    assert "! 2 CIDs were paid for at PINNING_PAYMENT_ADDRESS, and this worker had never quoted them" in ended.stdout
