"""`backup`: copies a worker's data to another folder, while it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings
from pinning_worker.commands.telling import ExitCode, Told, say_json, telling

if TYPE_CHECKING:
    from pinning_worker.adapters.sql.snapshot import Contents
    from pinning_worker.backup.source import Source
    from pinning_worker.backup.taking import Taken

_SHOWN = 5


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--again", is_flag=True, help="Read the blocks that DIR has again, and replace those that are damaged.")
@click.option("--prune", is_flag=True, help="Remove blocks from DIR that the worker no longer keeps.")
@click.option("--without-database", is_flag=True, help="With PostgreSQL: everything else. Run pg_dump before.")
@env_file_option
@json_option
def backup(
    directory: Path, again: bool, prune: bool, without_database: bool, env_file: Path | None, as_json: bool
) -> None:
    """Copy this worker's data to DIR, while it runs or not.

    DIR is new, empty, or an earlier backup of this worker, to which the command adds everything new. DIR then has the
    database of one moment, every block that this database calls kept (each verified), the worker's keys, and
    backup.json, which says that the backup is whole. It lacks the headers, which the worker downloads again, and a
    certificate, a swarm key or settings that lie elsewhere. Keep DIR as secret as the key in it. Run the command as the
    worker's user.

    If a block is nowhere whole, the command names it and copies everything else; the exit code is then 65.

    \b
    Examples:
      pinning-worker backup /srv/backup
      pinning-worker backup --prune --json /srv/backup
    """
    settings = store_settings(env_file)

    from pinning_worker.backup.source import Source

    source = Source(settings.data_dir.resolve(), settings.network, settings.database_url)
    if source.database is None and not without_database:
        raise Told(
            "the database is PostgreSQL, which is copied by its own program: run pg_dump first, then this with "
            "--without-database",
            ExitCode.CONFIGURATION,
        )
    with telling(_outcomes()):
        taken = _take(source, directory.resolve(), without_database, again=again, prune=prune)
    _say(source, directory, taken, as_json)


def _take(source: Source, directory: Path, without_database: bool, *, again: bool, prune: bool) -> Taken:
    from pinning_worker.adapters.sql.migrate import require_current
    from pinning_worker.backup.errors import disk_trouble
    from pinning_worker.backup.folder import BackupFolder
    from pinning_worker.backup.taking import take

    source.require_ours()
    source.require_apart(directory)
    require_current(source.database_url)
    contents = _contents(source)
    assert contents.mark is not None
    folder = BackupFolder(directory)
    with disk_trouble(f"the backup into {directory}"), folder.held_for(contents.mark.id):
        return take(
            source,
            folder,
            contents if without_database else None,
            lambda: _count_backup(source),
            again=again,
            prune=prune,
        )


def _contents(source: Source) -> Contents:
    """The live database's mark, and its kept blocks if it is PostgreSQL. Raises NotItsBlocks, Trouble, WrongPlace."""
    import trio

    from pinning_worker.adapters.sql.snapshot import Contents
    from pinning_worker.adapters.sql.store_mark import all_held
    from pinning_worker.backup.errors import WrongPlace
    from pinning_worker.wiring.pairing import Store

    async def look(store: Store) -> Contents:
        found = await store.look()
        store.require_pair(found)
        if found.books is None:
            raise WrongPlace(f"no worker was ever started on {source.data_dir}: there is nothing to copy yet")
        return Contents(None, found.books, await all_held(store.database) if source.database is None else ())

    contents: Contents = trio.run(_with_store, source, look)
    return contents


def _count_backup(source: Source) -> None:
    import trio

    trio.run(_with_store, source, lambda store: store.count_backup())


async def _with_store(source: Source, work: Callable[[Any], Any]) -> Any:
    from pinning_worker.adapters.sql.database import open_database
    from pinning_worker.wiring.pairing import Store

    async with open_database(source.database_url) as database:
        return await work(Store(database, source.database_url, source.blocks))


def _say(source: Source, directory: Path, taken: Taken, as_json: bool) -> None:
    from pinning_worker.adapters.blocks.disk import file_of
    from pinning_worker.domain.content.sizes import human_size

    missing = [file_of(str(source.blocks), block) for block in taken.missing]
    if as_json:
        say_json(
            {
                "directory": str(directory),
                "blocks": taken.held - len(missing),
                "bytes": taken.held_bytes,
                "copiedBlocks": taken.copied,
                "copiedBytes": taken.copied_bytes,
                "removedBlocks": taken.removed,
                "missing": missing,
            }
        )
    else:
        click.echo(
            f"{directory}: {taken.held - len(missing)} blocks ({human_size(taken.held_bytes)}), of which "
            f"{taken.copied} are new ({human_size(taken.copied_bytes)}); {taken.removed} removed"
        )
    if missing:
        names = "\n".join(f"  - {name}" for name in missing[:_SHOWN])
        more = f"\n  and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise Told(
            f"{len(missing)} blocks that are kept are missing or damaged, and not in the backup:\n{names}{more}\n"
            "Everything else is. A worker that runs looks for them again; then take the backup again",
            ExitCode.REFUSED,
        )


def _outcomes() -> dict[type[Exception], ExitCode]:
    from pinning_worker.adapters.sql.migrate import UnusableDatabase
    from pinning_worker.adapters.sql.snapshot import UnreadableDatabase
    from pinning_worker.backup.errors import Damaged, OutOfReach, WrongPlace
    from pinning_worker.backup.folder import BackupBusy
    from pinning_worker.ports.world import NeedsMending, Trouble
    from pinning_worker.wiring.pairing import NotItsBlocks

    return {
        WrongPlace: ExitCode.CONFIGURATION,
        NeedsMending: ExitCode.CONFIGURATION,
        NotItsBlocks: ExitCode.CONFIGURATION,
        Damaged: ExitCode.REFUSED,
        BackupBusy: ExitCode.IN_USE,
        OutOfReach: ExitCode.UNAVAILABLE,
        UnusableDatabase: ExitCode.UNAVAILABLE,
        UnreadableDatabase: ExitCode.UNAVAILABLE,
        Trouble: ExitCode.UNAVAILABLE,
    }
