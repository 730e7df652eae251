"""`pinning-worker`: the commands, each in `commands/`, and the meaning of their exit codes. Commands import other parts
when they run, so that `--help` answers at once."""

from __future__ import annotations

import click

from pinning_worker import __version__
from pinning_worker.commands.ask import ask
from pinning_worker.commands.backup import backup
from pinning_worker.commands.blocks import blocks
from pinning_worker.commands.check_config import check_config
from pinning_worker.commands.id import id_
from pinning_worker.commands.keygen import keygen
from pinning_worker.commands.ledger import ledger
from pinning_worker.commands.migrate import migrate
from pinning_worker.commands.names import names
from pinning_worker.commands.peers import peers
from pinning_worker.commands.pins import pins
from pinning_worker.commands.quote import quote
from pinning_worker.commands.receipt import receipt
from pinning_worker.commands.recover import recover
from pinning_worker.commands.restore import restore
from pinning_worker.commands.retry import retry
from pinning_worker.commands.run import run
from pinning_worker.commands.sandbox import sandbox
from pinning_worker.commands.tariff import tariff


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="pinning-worker")
def main() -> None:
    """A paid IPFS pinning node: quotes on gossipsub, payment on Doichain, proof before pin.

    Settings are environment variables PINNING_…, lines of a file .env in the current folder, or systemd credentials;
    .env.example explains each.

    \b
    For the first time:
      pinning-worker check-config      names every fault in the settings, and its remedy
      pinning-worker migrate           makes or upgrades the database
      pinning-worker run               the worker, until SIGTERM or Ctrl-C
      pinning-worker ask FILE          asks it as a customer would, from another terminal

    \b
    Without any coins:
      pinning-worker sandbox           a Doichain regtest of your own, with a real ElectrumX

    \b
    Exit codes:
      0   done
      1   a fault of this program: please report it with the log
      2   the command line is wrong
      3   quote, receipt, retry: nothing is known of that CID; names: no name with that text
      65  refused: by the worker that was asked, or because a receipt, data or a backup are damaged; the reason is said
      69  something outside is not there: a port, the database, a sandbox, a worker to ask
      75  another worker, or another sandbox, holds the directory
      78  the settings, or a file that is opened (database, key, certificate …), need mending
      130 ask: ended by Ctrl-C
    """


for command in (
    run, migrate, check_config, keygen, id_, peers, quote, pins, receipt, names, tariff, ledger, retry, blocks, recover,
    backup, restore, ask, sandbox,
):  # fmt: skip
    main.add_command(command)
