"""`ask`: asks a worker to keep something, as a customer's peer does, and follows the answers."""

from __future__ import annotations

import secrets
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pinning_worker.commands.ask_conversation import NoAnswer, follow, serve
from pinning_worker.commands.ask_shown import Shown
from pinning_worker.commands.configured import env_file_option, peer_settings
from pinning_worker.commands.own_peer import addresses_from_here, ending_in, own_peer
from pinning_worker.commands.sandbox import DEFAULT_DIRECTORY
from pinning_worker.commands.telling import ExitCode, Told, telling

if TYPE_CHECKING:
    from datetime import timedelta

    from pinning_worker.domain.content.cid import Cid
    from pinning_worker.settings import PeerSettings


def _as_seconds(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    from pinning_worker.settings.values import as_duration

    if text is None:
        return None
    try:
        meant: timedelta = as_duration(text)  # type: ignore[assignment]  # it passes other types on, for pydantic
    except ValueError as error:
        raise click.BadParameter(f"{text} {error}") from None
    if not meant:
        raise click.BadParameter("no time is too short")
    return meant.total_seconds()


@click.command()
@click.argument("what", metavar="CID|FILE")
@click.option(
    "--to", metavar="MULTIADDR", help="Ask the worker there (…/p2p/12D3…) instead of the one of the settings."
)
@click.option(
    "--months", type=click.IntRange(min=1), help="The term of the quote. By default the longest that the worker sells."
)
@click.option("--no-follow", is_flag=True, help="End after the quote.")
@click.option(
    "--timeout",
    metavar="DURATION",
    callback=_as_seconds,
    help="The longest wait (90s, 15m) for the quote, and again for the pin.  [default: 20m, and 24h]",
)
@env_file_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line for each step.")
def ask(
    what: str,
    to: str | None,
    months: int | None,
    no_follow: bool,
    timeout: float | None,
    env_file: Path | None,
    as_json: bool,
) -> None:
    """Ask a worker to keep a CID or a file, as a customer does; print the quote, and follow until it is pinned.

    The command cuts a file into blocks as Kubo and Helia do, and serves them while the worker fetches. A peer that the
    worker knows must have the blocks of a CID. By default the command asks the worker of the same settings, on this
    machine, while it runs; it uses the swarm key of a private network and PINNING_TOPIC too. It pays nothing.

    Ends with 0 when it is pinned (with --no-follow: quoted), 65 when the worker refuses (its code and message are
    printed), 69 when no worker is there or it says nothing in time, 130 after Ctrl-C.

    \b
    Examples:
      pinning-worker ask picture.png
      pinning-worker ask bafy… --months 3 --no-follow
      pinning-worker ask picture.png --to /dns4/pin.example.org/tcp/443/tls/ws/p2p/12D3KooW…
    """
    settings = peer_settings(env_file)
    wanted = _wanted(what)
    addresses = [to] if to is not None else _own_addresses(settings)

    import trio

    from pinning_worker.adapters.p2p.errors import BadAddress, HostError
    from pinning_worker.logs import configure_logs
    from pinning_worker.ports.world import Trouble

    configure_logs("error", settings.log_format)
    question = _Question(wanted, addresses, to is None, months, not no_follow, timeout, as_json)
    outcomes: dict[type[Exception], ExitCode] = {
        BadAddress: ExitCode.CONFIGURATION,
        HostError: ExitCode.UNAVAILABLE,
        NoAnswer: ExitCode.UNAVAILABLE,
        Trouble: ExitCode.UNAVAILABLE,
        OSError: ExitCode.UNAVAILABLE,
    }
    with telling(outcomes):
        code = trio.run(_until_signal, settings, question)
    raise SystemExit(code)


@dataclass(frozen=True)
class _Question:
    wanted: Cid | Path
    addresses: list[str]
    is_own: bool
    months: int | None
    follow: bool
    timeout: float | None
    as_json: bool


def _wanted(what: str) -> Cid | Path:
    """A file of that name wins over a CID. Raises click.BadParameter."""
    from pinning_worker.domain.content.cid import BadCid, UnsupportedCid, parse_cid

    path = Path(what)
    if path.is_dir():
        raise click.BadParameter(
            f"{what} is a folder: ask for a file, or for the CID of the folder", param_hint="CID|FILE"
        )
    if path.is_file():
        if path.stat().st_size == 0:
            raise click.BadParameter(f"{what} is empty: there is nothing to keep", param_hint="CID|FILE")
        return path
    try:
        return parse_cid(what).require_supported()
    except UnsupportedCid as error:
        raise click.BadParameter(f"{what}: {error}", param_hint="CID|FILE") from None
    except BadCid:
        raise click.BadParameter(f"there is no file {what}, and it is no CID", param_hint="CID|FILE") from None


def _own_addresses(settings: PeerSettings) -> list[str]:
    """Raises Told."""
    peer = own_peer(settings)
    found = [ending_in(text, peer) for text in addresses_from_here(settings)]
    if not found:
        raise Told("PINNING_LISTEN names webrtc-direct only: say where the worker is with --to", ExitCode.CONFIGURATION)
    return found


async def _until_signal(settings: PeerSettings, question: _Question) -> int:
    """Returns the exit code. SIGINT and SIGTERM end and clean up our side; the worker keeps its quote."""
    import trio

    from pinning_worker.ungroup import one_error

    code = int(ExitCode.INTERRUPTED)

    async def end_on_signal(scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            await anext(aiter(signals))
            click.echo("\nstopped; a quote that was given stands at the worker: ask again to follow it", err=True)
            scope.cancel()

    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_on_signal, nursery.cancel_scope)
            code = await _ask(settings, question)
            nursery.cancel_scope.cancel()
    return code


async def _ask(settings: PeerSettings, question: _Question) -> int:
    import tempfile

    from pinning_worker.adapters.blocks.disk import DiskBlocks
    from pinning_worker.adapters.p2p.asker import open_asker
    from pinning_worker.adapters.p2p.errors import CannotConnect
    from pinning_worker.domain.topic.following import Following

    with tempfile.TemporaryDirectory(prefix="pinning-ask-") as folder:
        blocks = await DiskBlocks.open(Path(folder) / "blocks")
        if isinstance(question.wanted, Path):
            cid, size = await serve(question.wanted, blocks)
        else:
            cid, size = question.wanted, None
        following = Following(cid, secrets.token_hex(8), question.months)
        shown = _shown(settings, cid, size, question.as_json)
        shown.note(f"asking for {cid}")
        try:
            async with open_asker(question.addresses, settings.topic, settings.private_network, blocks) as asker:
                return await follow(asker, following, shown, to_the_pin=question.follow, timeout=question.timeout)
        except CannotConnect as error:
            if not question.is_own:
                raise
            raise NoAnswer(f"{error}: does the worker run, with these settings? `pinning-worker run`") from error


def _shown(settings: PeerSettings, cid: Cid, size: int | None, as_json: bool) -> Shown:
    sandbox = None
    if settings.clock_offset_file is not None and settings.clock_offset_file.parent != DEFAULT_DIRECTORY.expanduser():
        sandbox = settings.clock_offset_file.parent
    return Shown(cid, as_json, size, f"ask/{secrets.token_hex(3)}", sandbox, sys.stderr.isatty())
