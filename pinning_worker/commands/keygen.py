"""`keygen`: makes or imports the key that names this worker."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings
from pinning_worker.commands.telling import ExitCode, say_json, telling

_LARGEST_KEY = 64 * 1024


@click.command()
@click.option("--import", "source", type=click.File("rb"), help="Take the key in this file; - is standard input.")
@env_file_option
@json_option
def keygen(source: BinaryIO | None, env_file: Path | None, as_json: bool) -> None:
    """Make this worker's key, or import one; print the peer id.

    The key goes into identity.key in the data directory (mode 0600). It is never overwritten: browsers know a worker by
    its peer id. `run` makes a key by itself where there is none. --import takes Ed25519 keys as js-libp2p, Kubo
    (keystore file, config) and the old relay (hex) keep them.

    \b
    Examples:
      pinning-worker keygen
      pinning-worker keygen --import ~/.ipfs/config
      echo 08011240… | pinning-worker keygen --import -
    """
    settings = store_settings(env_file)

    from pinning_worker.adapters.machine.datadir import DataDirRefused, prepare_data_dir
    from pinning_worker.adapters.p2p.host.identity import BadKey, KeyExists, import_key, new_key, peer_id_of, save_key

    with telling(
        {
            BadKey: ExitCode.CONFIGURATION,
            KeyExists: ExitCode.CONFIGURATION,
            DataDirRefused: ExitCode.CONFIGURATION,
            PermissionError: ExitCode.CONFIGURATION,
        }
    ):
        key = import_key(source.read(_LARGEST_KEY)) if source is not None else new_key()
        prepare_data_dir(settings.data_dir, settings.network)
        save_key(key, settings.key_file)
    if as_json:
        say_json({"peer": peer_id_of(key), "file": str(settings.key_file)})
    else:
        click.echo(peer_id_of(key))
