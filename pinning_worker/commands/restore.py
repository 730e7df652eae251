"""`restore`: puts a backup back into an empty place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings
from pinning_worker.commands.telling import ExitCode, say_json, telling

if TYPE_CHECKING:
    from pinning_worker.backup.checking import Checked
    from pinning_worker.backup.folder import BackupFolder
    from pinning_worker.backup.putting_back import Destination

_NEXT_STEPS = ("pinning-worker migrate", "pinning-worker check-config", "pinning-worker run")


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Only say whether the backup is whole; write nothing.")
@click.option("--quick", is_flag=True, help="Check blocks by name and size before copying; each is verified then.")
@click.option("--incomplete", is_flag=True, help="Restore what is whole, though blocks are missing or damaged.")
@env_file_option
@json_option
def restore(
    directory: Path, only_check: bool, quick: bool, incomplete: bool, env_file: Path | None, as_json: bool
) -> None:
    """Put the backup in DIR, made by `pinning-worker backup`, into PINNING_DATA_DIR.

    Nothing is overwritten: the data directory must be new or empty, and an SQLite database not there. Before anything
    is written the whole backup is read and checked. If it is cut short, run it again; no worker starts on half of it.
    PostgreSQL is restored by pg_restore before.

    Never run two workers with one key: the old one must not come back.

    \b
    Examples:
      pinning-worker restore /srv/backup
      pinning-worker restore --check /srv/backup
    """
    settings = store_settings(env_file)

    from pinning_worker.adapters.sql.sqlite_file import sqlite_path
    from pinning_worker.backup.folder import BackupFolder
    from pinning_worker.backup.putting_back import Destination

    database = sqlite_path(settings.database_url)
    there = Destination(
        settings.data_dir.absolute(), database.absolute() if database is not None else None, settings.network
    )
    folder = BackupFolder(directory.resolve())
    with telling(_outcomes()):
        checked = _check(folder, quick, incomplete) if only_check else _restore(folder, there, quick, incomplete)
    _say(checked, directory, there, only_check, as_json)


def _check(folder: BackupFolder, quick: bool, incomplete: bool) -> Checked:
    from pinning_worker.backup.checking import check, require_complete
    from pinning_worker.backup.errors import disk_trouble

    with disk_trouble(f"the backup in {folder.path}"):
        checked = check(folder, quick=quick)
    if not incomplete:
        require_complete(folder, checked.lost)
    return checked


def _restore(folder: BackupFolder, there: Destination, quick: bool, incomplete: bool) -> Checked:
    from pinning_worker.adapters.machine.datadir import hold_for_restore, require_not_held
    from pinning_worker.backup.errors import disk_trouble
    from pinning_worker.backup.putting_back import put_back, require_fit

    require_not_held(there.data_dir)
    with disk_trouble(f"the backup in {folder.path}"):
        require_fit(folder.manifest(), there)
    checked = _check(folder, quick, incomplete)
    with hold_for_restore(there.data_dir):
        require_fit(checked.manifest, there)
        put_back(folder, checked, there, incomplete=incomplete)
    return checked


def _say(checked: Checked, directory: Path, there: Destination, only_check: bool, as_json: bool) -> None:
    from pinning_worker.domain.content.sizes import human_size

    if as_json:
        say_json(
            {
                "directory": str(directory),
                "made": checked.manifest.made,
                "blocks": len(checked.blocks),
                "lost": len(checked.lost),
                "bytes": checked.bytes,
                "restoredTo": None if only_check else str(there.data_dir),
            }
        )
        return
    what = f"{len(checked.blocks)} blocks, {human_size(checked.bytes)}, of {checked.manifest.made}"
    lost = f"; {len(checked.lost)} blocks are lost" if checked.lost else ""
    if only_check:
        click.echo(f"the backup {directory} is whole: {what}{lost}")
        return
    click.echo(f"restored to {there.data_dir}: {what}{lost}. Next, where the old worker runs no more:")
    for step in _NEXT_STEPS:
        click.echo(f"  {step}")


def _outcomes() -> dict[type[Exception], ExitCode]:
    from pinning_worker.adapters.machine.datadir import DataDirHeld, DataDirRefused
    from pinning_worker.adapters.sql.migrate import UnusableDatabase
    from pinning_worker.adapters.sql.snapshot import UnreadableDatabase
    from pinning_worker.backup.errors import Damaged, OutOfReach, WrongPlace
    from pinning_worker.ports.world import NeedsMending

    return {
        WrongPlace: ExitCode.CONFIGURATION,
        DataDirHeld: ExitCode.IN_USE,
        DataDirRefused: ExitCode.CONFIGURATION,
        Damaged: ExitCode.REFUSED,
        NeedsMending: ExitCode.REFUSED,
        UnusableDatabase: ExitCode.REFUSED,
        UnreadableDatabase: ExitCode.REFUSED,
        OutOfReach: ExitCode.UNAVAILABLE,
    }
