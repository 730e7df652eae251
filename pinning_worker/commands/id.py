"""`id`: prints this worker's peer id and addresses."""

from __future__ import annotations

from pathlib import Path

import click

from pinning_worker.commands.configured import env_file_option, json_option, peer_settings
from pinning_worker.commands.own_peer import addresses_from_here, ending_in, own_peer, told_addresses
from pinning_worker.commands.telling import say_json


@click.command("id")
@env_file_option
@json_option
def id_(env_file: Path | None, as_json: bool) -> None:
    """Print this worker's peer id, and the addresses to dial.

    The command reads the key file and the settings, whether the worker runs or not, and makes nothing. The addresses
    come from PINNING_ANNOUNCE, else from PINNING_LISTEN on this machine's interfaces. Addresses of webrtc-direct are in
    the log line "ready" only: they hold the hash of a certificate that the first start makes.

    \b
    Examples:
      pinning-worker id
      pinning-worker id --json | jq -r .addresses[0]
    """
    settings = peer_settings(env_file)
    peer = own_peer(settings)
    # Other peers dial the announced name or proxy; a process on this machine dials the sockets themselves.
    told = dict.fromkeys((*told_addresses(settings), *addresses_from_here(settings)))
    addresses = [ending_in(text, peer) for text in told]
    if as_json:
        say_json({"peer": peer, "addresses": addresses})
    else:
        click.echo("\n".join((peer, *addresses)))
