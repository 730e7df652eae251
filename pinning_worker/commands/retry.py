"""`retry`: resumes work that was set aside after crashes."""

from __future__ import annotations

import re
from pathlib import Path

import click

from pinning_worker.commands.configured import env_file_option, store_settings
from pinning_worker.commands.store import store_outcomes
from pinning_worker.commands.telling import ExitCode, Told, telling


@click.command()
@click.argument("cid_or_txid", metavar="CID|TXID")
@env_file_option
def retry(cid_or_txid: str, env_file: Path | None) -> None:
    """Take up again the work that was set aside.

    Work on a CID or a payment that crashed three times is set aside, so that the rest goes on: the log says
    "work.set_aside", and names it. The worker frees nothing of it meanwhile. A new version of this program takes it up
    by itself; this command does so with the same one. The worker must not run meanwhile.

    \b
    Example:
      pinning-worker retry bafybei… && pinning-worker run
    """
    settings = store_settings(env_file)

    from pinning_worker import __version__
    from pinning_worker.adapters.machine.crash_file import read_crash_file
    from pinning_worker.adapters.machine.datadir import hold_data_dir
    from pinning_worker.domain.content.cid import BadCid, cid_text, parse_cid
    from pinning_worker.logs import configure_logs

    try:
        about = cid_or_txid if re.fullmatch("[0-9a-f]{64}", cid_or_txid) else cid_text(parse_cid(cid_or_txid).key)
    except BadCid as error:
        raise click.BadParameter(f"neither a CID nor a txid: {error}") from error
    configure_logs("warning", settings.log_format)
    with telling(store_outcomes()), hold_data_dir(settings.data_dir, settings.network):
        crashes = read_crash_file(settings.data_dir, __version__)
        if not crashes.forgive(about):
            raise Told(f"nothing of {about} has crashed in this version", ExitCode.NOT_FOUND)
    click.echo(f"{about} is taken up by the next `pinning-worker run`: asked for at once, due within a day")
