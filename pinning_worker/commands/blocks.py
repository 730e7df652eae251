"""`blocks`: shows kept, held-back and quarantined blocks; `blocks release`: releases the held-back ones."""

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
    """Show the contents of the block folder, and the blocks that nothing in the database holds.

    The command only reads, and the worker may run meanwhile. Freed blocks wait in quarantine, by the day on which they
    were freed, until PINNING_QUARANTINE is over. "Held back" are blocks that no record explains, and that are more than
    a crash leaves: the worker does not free them. The database may be the wrong one, or a receipt may promise content
    for which no payment was found.

    \b
    Examples:
      pinning-worker blocks
      pinning-worker blocks --json | jq .heldBack
      pinning-worker blocks release --yes
    """
    if context.invoked_subcommand is not None:
        context.obj = env_file
        return
    found = _look(store_settings(env_file))
    if as_json:
        say_json(found)
        return
    click.echo(f"here         {_size(found['bytes'])}")
    orphans = found["unexplained"]
    words = f" ({_fate(found)})" if orphans["blocks"] else ""
    click.echo(f"unexplained  {_size(orphans['bytes'])} in {orphans['blocks']} blocks that nothing holds{words}")
    for day in found["quarantine"]:
        paid = "paid for" if day["paid"] else "never paid for"
        click.echo(f"quarantine   {_size(day['bytes'])} in {day['blocks']} blocks, freed {day['day']}, {paid}")


@blocks.command()
@click.option("--yes", is_flag=True, help="Do it. Without this option the command only says what it would do.")
@env_file_option
@click.pass_obj
def release(env_file_before: Path | None, yes: bool, env_file: Path | None) -> None:
    """Let go of the blocks that nothing in the database holds, however many they are.

    They go into quarantine at the next quiet moment of a worker that has read the chain (within an hour), and are
    deleted when PINNING_QUARANTINE is over. First make sure that the database is the right one: `pinning-worker pins`
    lists what it knows to be paid.

    \b
    Example:
      pinning-worker blocks release --yes
    """
    settings = store_settings(env_file or env_file_before)
    found = _look(settings)
    orphans = found["unexplained"]
    amount = f"{orphans['blocks']} blocks, {_size(orphans['bytes'])}"
    if not orphans["blocks"]:
        click.echo("nothing is held back: something in the database holds every block")
        return
    if found["promised"]:
        raise Told(f"{amount} are {_fate(found)}: they cannot be let go before that", ExitCode.REFUSED)
    if not yes:
        raise Told(f"{amount} would be let go: say --yes if the database is the right one", ExitCode.REFUSED)

    from pinning_worker.adapters.blocks.release_file import ReleaseFile
    from pinning_worker.wiring.stores import BLOCKS_FOLDER

    with telling({OSError: ExitCode.CONFIGURATION}):
        ReleaseFile(settings.data_dir / BLOCKS_FOLDER).write(orphans["bytes"])
    click.echo(f"{amount} are released: the worker puts them into quarantine within an hour")


def _look(settings: StoreSettings) -> dict[str, Any]:
    """Raises Told."""
    import trio

    from pinning_worker.adapters.blocks.disk import DiskBlocks
    from pinning_worker.adapters.machine.clock import SystemClock
    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.adapters.sql.database import open_database
    from pinning_worker.adapters.sql.migrate import require_current
    from pinning_worker.adapters.sql.receipts import SqlReceipts
    from pinning_worker.logs import configure_logs
    from pinning_worker.steps.recovering import promised_to_nobody
    from pinning_worker.steps.shelf import count_orphans
    from pinning_worker.wiring.pairing import Store
    from pinning_worker.wiring.stores import BLOCKS_FOLDER

    async def look() -> tuple[Orphans, int, list[dict[str, Any]]]:
        folder = settings.data_dir / BLOCKS_FOLDER
        store, now = DiskBlocks(folder), SystemClock(settings.clock_offset_file).now()
        async with open_database(settings.database_url) as database:
            pair = Store(database, settings.database_url, folder)
            pair.require_pair(await pair.look())
            days = [
                {"day": each.day.isoformat(), "paid": each.was_paid, "blocks": each.blocks, "bytes": each.bytes}
                for each in await store.quarantined()
            ]
            books = SqlBooks(database)
            promised = await promised_to_nobody(books, SqlReceipts(database), now)
            return await count_orphans(books, store), len(promised), days

    configure_logs("error", settings.log_format)  # standard output is for the answer alone
    with telling(store_outcomes()):
        require_current(settings.database_url)
        orphans, promised, days = trio.run(look)
    return {
        "bytes": orphans.store_bytes,
        "unexplained": {"blocks": orphans.blocks, "bytes": orphans.bytes},
        "heldBack": bool(orphans.blocks and promised) or orphans.bytes > orphans.may_go,
        "promised": promised,
        "quarantine": days,
    }


def _fate(found: dict[str, Any]) -> str:
    if found["promised"]:
        return (
            f"held back: {found['promised']} receipts promise what no payment was found for. Let "
            "PINNING_PAYMENT_ADDRESS name every address that you were ever paid at, and start the worker"
        )
    return "held back: see `pinning-worker blocks release --help`" if found["heldBack"] else "freed by the next sweep"


def _size(size: int) -> str:
    from pinning_worker.domain.content.sizes import human_size

    return human_size(size)
