"""`peers`: introduces two nodes to each other, by one encrypted line of text or by plain multiaddrs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pinning_worker.commands.configured import env_file_option, json_option, store_settings, worker_settings
from pinning_worker.commands.own_peer import ending_in, own_peer, told_addresses
from pinning_worker.commands.telling import ExitCode, Told, say_json, telling

if TYPE_CHECKING:
    from pinning_worker.adapters.p2p.discovery.invitation import Invitation
    from pinning_worker.settings import Settings, StoreSettings

_LONGEST_INPUT = 1 << 20

passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the passphrase from the first line of this file instead of asking for it.",
)


@click.group()
def peers() -> None:
    """Let two nodes know each other.

    `export` prints one line with everything that another node needs: addresses, peer id, and the swarm key of a private
    network. It is encrypted with a passphrase, so the line may go by mail and the passphrase by telephone.

    \b
    Example, from one worker to another:
      pinning-worker peers export > invitation
      pinning-worker peers import < invitation
    """


@peers.command("export")
@click.option("--address", "addresses", multiple=True, help="Tell this multiaddr instead; may be given several times.")
@click.option("--plain", is_flag=True, help="Print the multiaddrs as they are, without the swarm key. No passphrase.")
@passphrase_option
@env_file_option
@json_option
def export(
    addresses: tuple[str, ...], plain: bool, passphrase_file: Path | None, env_file: Path | None, as_json: bool
) -> None:
    """Print this worker's connection string.

    It holds the addresses that the worker announces (PINNING_ANNOUNCE, else those of its interfaces), its peer id, and
    the swarm key if the network is a private one. The line and the passphrase together let anybody connect, and into
    the private network. The command asks for the passphrase, or reads it from a file; it is never part of the command
    line.

    \b
    Examples:
      pinning-worker peers export
      pinning-worker peers export --address /dns4/pin.example.org/tcp/443/tls/ws
      pinning-worker peers export --plain
    """
    settings = worker_settings(env_file)
    invitation = _invitation(settings, addresses)
    if plain:
        _print_plain(invitation, as_json)
        return

    from pinning_worker.adapters.p2p.discovery.invitation import BadInvitation, seal

    with telling({BadInvitation: ExitCode.CONFIGURATION}):
        text = seal(invitation, _passphrase(passphrase_file, confirm=True))
    if as_json:
        say_json({"connection": text, **_shown(invitation)})
    else:
        click.echo(text)


@peers.command("import")
@click.argument("what", nargs=-1)
@passphrase_option
@env_file_option
@json_option
def import_(what: tuple[str, ...], passphrase_file: Path | None, env_file: Path | None, as_json: bool) -> None:
    """Take in what another worker has exported, or plain multiaddrs.

    WHAT is a connection string (pinning1:…) or multiaddrs that end in /p2p/ and a peer id; without it, standard input
    is read. The peers go into bootstrap.peers in the data directory: `run` stays connected with them, besides those of
    PINNING_BOOTSTRAP. A swarm key goes into PINNING_SWARM_KEY, or swarm.key in the data directory (0600); another one
    that is there already is never overwritten. Takes effect at the next start.

    \b
    Examples:
      pinning-worker peers import < invitation
      pinning-worker peers import pinning1:mzxw6ytboi…
      pinning-worker peers import /dns4/pin.example.org/tcp/443/tls/ws/p2p/12D3KooW…
    """
    words = what or tuple(sys.stdin.read(_LONGEST_INPUT).split())
    if not words:
        raise click.UsageError("nothing to import: give a connection string or multiaddrs")
    settings = store_settings(env_file)
    if words[0].startswith("/"):
        told = _store(settings, words, None)
    else:
        invitation = _opened("".join(words), passphrase_file)
        told = _store(settings, invitation.addresses, invitation)
    _tell(told, as_json)


def _invitation(settings: Settings, addresses: Sequence[str]) -> Invitation:
    from pinning_worker.adapters.p2p.addresses import parse
    from pinning_worker.adapters.p2p.discovery.invitation import Invitation
    from pinning_worker.adapters.p2p.errors import BadAddress

    peer = own_peer(settings)
    with telling({BadAddress: ExitCode.CONFIGURATION}):
        told = [str(parse(text)) for text in addresses] or told_addresses(settings)
    return Invitation(peer, tuple(ending_in(text, peer) for text in told), settings.private_network)


def _passphrase(file: Path | None, *, confirm: bool = False) -> str:
    if file is not None:
        return file.read_text("utf-8").partition("\n")[0].strip("\r")
    if not sys.stderr.isatty():
        raise click.UsageError("there is no terminal to ask for the passphrase on: use --passphrase-file")
    answer: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


def _opened(text: str, passphrase_file: Path | None) -> Invitation:
    from pinning_worker.adapters.p2p.discovery.invitation import BadInvitation, require_whole, unseal

    with telling({BadInvitation: ExitCode.CONFIGURATION}):
        require_whole(text)
        return unseal(text, _passphrase(passphrase_file))


def _store(settings: StoreSettings, addresses: Sequence[str], invitation: Invitation | None) -> dict[str, object]:
    """Checks everything before it writes anything. Raises Told."""
    from pinning_worker.adapters.machine import private_file
    from pinning_worker.adapters.machine.datadir import DataDirRefused, prepare_data_dir
    from pinning_worker.adapters.p2p.addresses import parse_peer
    from pinning_worker.adapters.p2p.errors import BadAddress
    from pinning_worker.domain.swarm_key import encode_swarm_key
    from pinning_worker.settings import imported_peers

    key = invitation.swarm_key if invitation else None
    with telling(
        {
            DataDirRefused: ExitCode.CONFIGURATION,
            BadAddress: ExitCode.CONFIGURATION,
            ValueError: ExitCode.CONFIGURATION,
            OSError: ExitCode.CONFIGURATION,
        }
    ):
        _refuse_ourselves(settings, {parse_peer(address).peer_id.to_base58() for address in addresses})
        known = imported_peers.read_imported(settings.data_dir)
        key_is_new = _key_is_new(settings, key) if invitation else False
        prepare_data_dir(settings.data_dir, settings.network)
        new = [address for address in dict.fromkeys(addresses) if address not in known]
        if key_is_new and key is not None:
            private_file.create(settings.swarm_key_place, encode_swarm_key(key))
        if new:
            private_file.replace(settings.data_dir / imported_peers.FILE_NAME, imported_peers.written((*known, *new)))
    return {
        "added": new,
        "known": [address for address in addresses if address in known],
        "file": str(settings.data_dir / imported_peers.FILE_NAME),
        "swarm_key": {True: "stored", False: "the same is there" if key else "none"}[key_is_new],
        "swarm_key_file": str(settings.swarm_key_place) if key else None,
    }


def _refuse_ourselves(settings: StoreSettings, peers: set[str]) -> None:
    from pinning_worker.adapters.p2p.host.identity import load_key, peer_id_of

    if settings.key_file.exists() and peer_id_of(load_key(settings.key_file)) in peers:
        raise Told("this is this worker's own address: import it at the other one", ExitCode.CONFIGURATION)


def _key_is_new(settings: StoreSettings, key: bytes | None) -> bool:
    from pinning_worker.settings.swarm_key import read_swarm_key

    place = settings.swarm_key_place
    present = read_swarm_key(place) if place.exists() else None
    if present is not None and present != key:
        theirs = "is in another private network" if key else "is in the open network"
        raise Told(
            f"{place} holds this worker's swarm key, and the other one {theirs}: they could not speak with each other. "
            "Nothing was changed",
            ExitCode.CONFIGURATION,
        )
    return key is not None and present is None


def _tell(told: dict[str, object], as_json: bool) -> None:
    if as_json:
        say_json(told)
        return
    added, known = told["added"], told["known"]
    assert isinstance(added, list)
    assert isinstance(known, list)
    for address in added:
        click.echo(f"added       {address}")
    for address in known:
        click.echo(f"known       {address}")
    if told["swarm_key_file"]:
        click.echo(f"swarm key   {told['swarm_key']}: {told['swarm_key_file']}")
    if added or told["swarm_key"] == "stored":
        click.echo("the worker uses it from its next start on")


def _print_plain(invitation: Invitation, as_json: bool) -> None:
    if as_json:
        say_json(_shown(invitation))
    else:
        click.echo("\n".join(invitation.addresses))


def _shown(invitation: Invitation) -> dict[str, object]:
    return {
        "peer": invitation.peer,
        "addresses": list(invitation.addresses),
        "private_network": invitation.swarm_key is not None,
    }
