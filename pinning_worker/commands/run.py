"""`run`: the worker itself, with notifications to systemd."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pinning_worker.commands.configured import env_file_option, worker_settings
from pinning_worker.commands.store import store_outcomes
from pinning_worker.commands.telling import ExitCode, telling

if TYPE_CHECKING:
    from pinning_worker.settings import Settings


@click.command()
@env_file_option
def run(env_file: Path | None) -> None:
    """Run the worker until SIGTERM or Ctrl-C.

    Logs one line "ready" with the peer id and addresses once everything runs. Tells systemd (Type=notify, watchdog)
    when started by it. Refuses to start, and says why, when a setting is wrong or unknown, the database is not
    migrated, a port is taken, or another worker runs on the same data directory.

    \b
    Example:
      PINNING_PAYMENT_ADDRESS=N… pinning-worker run
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the daemon listens, and after it: SIGHUP never ends a worker
    settings = worker_settings(env_file)

    import structlog
    import trio

    from pinning_worker.logs import configure_logs
    from pinning_worker.settings import advice, read_sources

    configure_logs(settings.log_level, settings.log_format)
    notes = read_sources(os.environ, env_file or Path(".env")).notes
    for sentence in (*notes, *advice(settings, env_file or Path(".env"))):
        structlog.get_logger(__name__).warning("settings.advice", advice=sentence)
    with telling(outcomes()):
        trio.run(_run, settings)


def set_the_program_aside() -> None:
    """Excludes all objects loaded by now from garbage collection: they are never garbage. A full collection over them
    stopped the event loop for 100 ms; a busy worker has several a minute."""
    gc.collect()
    gc.freeze()


async def _run(settings: Settings) -> None:
    """Runs the worker inside the watchdog, which sends signals as long as the loop turns, also during the shutdown."""
    import trio

    from pinning_worker import daemon
    from pinning_worker.adapters.electrum.sight import Blindness
    from pinning_worker.adapters.machine.systemd import Systemd
    from pinning_worker.adapters.p2p.host.host import Host
    from pinning_worker.ungroup import one_error

    systemd = Systemd.from_environment()
    place, trouble = "starting", "has not seen the chain yet, sells nothing"

    def status() -> str:
        return f"{trouble} ({place})" if trouble else place

    async def tell(host: Host) -> None:
        nonlocal place
        place = f"{host.peer_id} on {' '.join(settings.listen)}"
        set_the_program_aside()
        systemd.ready(status())

    def tell_sight(reason: Blindness | None) -> None:
        nonlocal trouble
        trouble = f"cannot see the chain, sells nothing: {reason}" if reason else ""
        systemd.status(status())

    with one_error():
        async with trio.open_nursery() as nursery:
            await nursery.start(systemd.watch)
            await daemon.run(settings, tell, systemd.stopping, tell_sight)
            nursery.cancel_scope.cancel()


def outcomes() -> dict[type[Exception], ExitCode]:
    """The exit code for each error that refuses a start."""
    from pinning_worker.adapters.p2p.errors import BadAddress, BadCertificate, HostError
    from pinning_worker.adapters.p2p.host.identity import BadKey
    from pinning_worker.domain.chain.anchor import WrongCheckpoint
    from pinning_worker.domain.chain.networks import BadCheckpoint

    return {
        BadCheckpoint: ExitCode.CONFIGURATION,
        WrongCheckpoint: ExitCode.CONFIGURATION,
        BadCertificate: ExitCode.CONFIGURATION,
        BadAddress: ExitCode.CONFIGURATION,
        BadKey: ExitCode.CONFIGURATION,
        PermissionError: ExitCode.CONFIGURATION,
        HostError: ExitCode.UNAVAILABLE,
        **store_outcomes(),
    }
