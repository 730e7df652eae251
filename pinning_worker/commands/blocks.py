"""`blocks`: what is kept, held back and in quarantine; `blocks release`: lets go of what is held back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings
from pinning_worker.commands.store import store_outcomes
from pinning_worker.commands.telling import ExitCode, Told, say_json, telling

if TYPE_CHECKING:
    from pinning_worker.settings import StoreSettings
    from pinning_worker.steps.shelf import Orphans


@click.group(invoke_without_command=True)
@env_file_option
@json_option
@click.pass_context
def blocks(context: click.Context, env_file: Path | None, as_json: bool) -> None:
    """Show what lies in the block folder, and what of it nothing in the database holds.

    Only reads; the worker may run meanwhile. What was freed waits in quarantine, by the day it was freed on, until
    PINNING_QUARANTINE is over. "Held back" is what no record explains and what is too much to be left by a crash: the
    worker does not free it. It may be that the database is not the right one.

    \b
    Examples:
      pinning-worker blocks
      pinning-worker blocks --json | jq .heldBack
      pinning-worker blocks release --yes
    """
    if context.invoked_subcommand is not None:
        return
    found = _look(store_settings(env_file))
    if as_json:
        say_json(found)
        return
    click.echo(f"here         {_size(found['bytes'])}")
    orphans = found["unexplained"]
    held = "held back: see `pinning-worker blocks release --help`" if found["heldBack"] else "freed by the next sweep"
    words = f" ({held})" if orphans["blocks"] else ""
    click.echo(f"unexplained  {_size(orphans['bytes'])} in {orphans['blocks']} blocks that nothing holds{words}")
    for day in found["quarantine"]:
        paid = "paid for" if day["paid"] else "never paid for"
        click.echo(f"quarantine   {_size(day['bytes'])} in {day['blocks']} blocks, freed {day['day']}, {paid}")


@blocks.command()
@click.option("--yes", is_flag=True, help="Do it. Without, only says what would be done.")
@env_file_option
def release(yes: bool, env_file: Path | None) -> None:
    """Let go of the blocks that nothing in the database holds, however many they are.

    They go into quarantine at the next quiet moment of a worker that has read the chain (within an hour), and are
    deleted when PINNING_QUARANTINE is over. First make sure that the database is the right one: `pinning-worker pins`
    lists what it knows to be paid.

    \b
    Example:
      pinning-worker blocks release --yes
    """
    settings = store_settings(env_file)
    orphans = _look(settings)["unexplained"]
    amount = f"{orphans['blocks']} blocks, {_size(orphans['bytes'])}"
    if not orphans["blocks"]:
        click.echo("nothing is held back: something in the database holds every block")
        return
    if not yes:
        raise Told(f"{amount} would be let go: say --yes if the database is the right one", ExitCode.REFUSED)

    from pinning_worker.adapters.blocks.release_file import ReleaseFile
    from pinning_worker.daemon import BLOCKS_FOLDER

    with telling({OSError: ExitCode.CONFIGURATION}):
        ReleaseFile(settings.data_dir / BLOCKS_FOLDER).write(orphans["bytes"])
    click.echo(f"{amount} are released: the worker puts them into quarantine within an hour")


def _look(settings: StoreSettings) -> dict[str, Any]:
    """Raises Told."""
    import trio

    from pinning_worker.adapters.blocks.disk import DiskBlocks
    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.adapters.sql.database import open_database
    from pinning_worker.adapters.sql.migrate import require_current
    from pinning_worker.daemon import BLOCKS_FOLDER
    from pinning_worker.steps.shelf import count_orphans

    async def look() -> tuple[Orphans, list[dict[str, Any]]]:
        store = DiskBlocks(settings.data_dir / BLOCKS_FOLDER)
        async with open_database(settings.database_url) as database:
            days = [
                {"day": each.day.isoformat(), "paid": each.was_paid, "blocks": each.blocks, "bytes": each.bytes}
                for each in await store.quarantined()
            ]
            return await count_orphans(SqlBooks(database), store), days

    with telling(store_outcomes()):
        require_current(settings.database_url)
        orphans, days = trio.run(look)
    return {
        "bytes": orphans.store_bytes,
        "unexplained": {"blocks": orphans.blocks, "bytes": orphans.bytes},
        "heldBack": orphans.bytes > orphans.may_go,
        "quarantine": days,
    }


def _size(size: int) -> str:
    from pinning_worker.domain.sizes import human_size

    return human_size(size)
