"""`recover`: makes a new or older database fit the existing blocks."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pinning_worker.commands.configured import env_file_option, json_option, worker_settings
from pinning_worker.commands.store import store_outcomes
from pinning_worker.commands.telling import ExitCode, Told, say_json, telling

if TYPE_CHECKING:
    from pinning_worker.settings import Settings


@click.command()
@click.option("--this-database", is_flag=True, help="Also one that holds other blocks: another worker may need it.")
@click.option(
    "--blocks-are-lost", is_flag=True, help="Go on without the blocks: the worker fetches all paid content again."
)
@env_file_option
@json_option
def recover(this_database: bool, blocks_are_lost: bool, env_file: Path | None, as_json: bool) -> None:
    """Make a new or older database that of the blocks which are there.

    For the day when the database was lost, or an older copy was put back: `run` refuses such a database, because it
    would take paid blocks for orphans. The command takes the promises (months, prices) from the receipts that lie
    beside the blocks. The next `run` then reads every payment from the chain, proves it, and finds the content on disk;
    until it has read the chain, it frees nothing. The command deletes nothing, and may be repeated.

    Payments are found by PINNING_PAYMENT_ADDRESS: let it name every address that you were ever paid at. The worker
    must not run meanwhile.

    \b
    Examples:
      pinning-worker migrate && pinning-worker recover && pinning-worker run
      pinning-worker recover --blocks-are-lost
    """
    settings = worker_settings(env_file)

    import trio

    from pinning_worker.adapters.machine.datadir import hold_data_dir
    from pinning_worker.adapters.sql.migrate import require_ready
    from pinning_worker.logs import configure_logs

    configure_logs("warning", settings.log_format)
    with telling(store_outcomes()), hold_data_dir(settings.data_dir, settings.network):
        require_ready(settings.database_url)
        promises = trio.run(_recover, settings, this_database, blocks_are_lost)
    if as_json:
        say_json({"receipts": promises})
        return
    click.echo(f"the database is now that of {settings.data_dir}/blocks; {promises} receipts were taken from there")
    click.echo("next: `pinning-worker run` reads the payments from the chain; nothing is freed before that is done")


async def _recover(settings: Settings, this_database: bool, blocks_are_lost: bool) -> int:
    """Returns how many receipts were new to the database. Raises Told, Trouble."""
    from sqlalchemy import make_url

    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.adapters.sql.database import open_database
    from pinning_worker.adapters.sql.receipts import SqlReceipts
    from pinning_worker.domain.store_mark import Mismatch, mismatch, next_mark
    from pinning_worker.wiring.pairing import Store
    from pinning_worker.wiring.stores import BLOCKS_FOLDER, take_journals

    async with open_database(settings.database_url) as database:
        store = Store(database, settings.database_url, settings.data_dir / BLOCKS_FOLDER)
        found = await store.look()
        kind = mismatch(found)
        if kind is Mismatch.LOST and not blocks_are_lost:
            store.require_pair(found)
        if kind is Mismatch.OTHER and found.books_hold and not found.shared and not this_database:
            shown = make_url(settings.database_url).render_as_string()
            raise Told(
                f"{shown} holds other blocks than {store.blocks} has: it may be another worker's, who would lose "
                "it. Put the right one back; or say --this-database",
                ExitCode.REFUSED,
            )
        if blocks_are_lost and found.has_blocks:
            raise Told(
                f"{store.blocks} has blocks: without --blocks-are-lost the database becomes theirs", ExitCode.REFUSED
            )
        taken = await take_journals(settings, SqlBooks(database), SqlReceipts(database), store.blocks)
        await store.write(next_mark(found, secrets.token_hex(16)))
        return taken
