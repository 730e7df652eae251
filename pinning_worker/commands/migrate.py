"""`migrate`: makes the database, or upgrades it to this version's tables."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings
from pinning_worker.commands.store import store_outcomes
from pinning_worker.commands.telling import say_json, telling


@click.command()
@env_file_option
@json_option
def migrate(env_file: Path | None, as_json: bool) -> None:
    """Make the database, or upgrade it to this version.

    One transaction: it happens wholly or not at all. Nothing is done where nothing is to be done, so it may stand
    before every start. There is no way down; copy the database before an upgrade. An upgrade wants the worker stopped.

    \b
    Example:
      pinning-worker migrate && pinning-worker run
    """
    settings = store_settings(env_file)

    from pinning_worker.adapters.machine.datadir import hold_data_dir, prepare_data_dir
    from pinning_worker.adapters.sql import migrate as sql

    with telling(store_outcomes()):
        prepare_data_dir(settings.data_dir, settings.network)
        changed = not _is_current(settings.database_url)
        # A worker of another version must not find its tables changed under it.
        with hold_data_dir(settings.data_dir, settings.network) if changed else nullcontext():
            revision = sql.migrate(settings.database_url)
    if as_json:
        say_json({"revision": revision, "changed": changed})
    else:
        click.echo(f"the database is {'now' if changed else 'already'} at revision {revision}")


def _is_current(url: str) -> bool:
    from pinning_worker.adapters.sql.migrate import UnusableDatabase, require_current

    try:
        require_current(url)
    except UnusableDatabase:
        return False
    return True
