"""`check-config`: what is wrong with the settings and how to mend it; what they are, and where each comes from.

With `--connect` also what the Electrum servers say: a worker that cannot see the chain sells nothing.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pinning_worker.commands.configured import as_list, checked_settings, env_file_option, json_option
from pinning_worker.commands.telling import ExitCode, Told, say_json

if TYPE_CHECKING:
    from pinning_worker.adapters.electrum.probe import Probe
    from pinning_worker.domain.chain import Network
    from pinning_worker.settings import Settings


@click.command("check-config")
@env_file_option
@json_option
@click.option("--connect", is_flag=True, help="Ask every Electrum server, too: its chain, tip, age and round trip.")
def check_config(env_file: Path | None, as_json: bool, connect: bool) -> None:
    """Say what is wrong with the settings and how to mend it.

    Starts nothing and changes nothing. Prints every setting with where it comes from, passwords masked; then what is
    allowed and still deserves a word. Ends with 78 when the worker would refuse to start, and with 69 when --connect
    finds no server through which it would see the chain.

    \b
    Examples:
      pinning-worker check-config
      pinning-worker check-config --connect
      pinning-worker check-config --env-file /etc/pinning-worker/worker.env
      pinning-worker check-config --json | jq .advice
    """
    from pinning_worker.settings import Refused

    _log_to_stderr()
    try:
        settings = checked_settings(env_file)
        network = _network(settings)
    except Refused as refused:
        if as_json:
            say_json({"ok": False, "problems": refused.problems, "advice": [], "settings": {}})
            raise SystemExit(ExitCode.CONFIGURATION) from None
        raise Told(as_list(refused.problems), ExitCode.CONFIGURATION) from None
    probes = _ask_servers(settings, network) if connect else None
    _show(settings, probes, env_file or Path(".env"), as_json)
    if probes is not None and all(probe.fault for probe in probes):
        raise SystemExit(ExitCode.UNAVAILABLE)


def _show(settings: Settings, probes: list[Probe] | None, env_file: Path, as_json: bool) -> None:
    from pinning_worker.settings import advice, read_sources, spell

    sources = read_sources(os.environ, env_file)
    found = sources.found
    shown = {
        name: {"value": value, "from": found[name].where if name in found else "default"}
        for name, value in spell(settings).items()
    }
    words = [*sources.notes, *advice(settings), *_about_the_store(settings)]
    if as_json:
        servers = {} if probes is None else {"servers": [_as_json(probe) for probe in probes]}
        say_json({"ok": True, "problems": [], "advice": words, "settings": shown, **servers})
        return
    width = max(len(name) for name in shown)
    for name, entry in shown.items():
        click.echo(f"{name:<{width}}  {entry['value'] or '-'}  ({entry['from']})")
    for sentence in words:
        click.echo(f"! {sentence}")
    for probe in probes or ():
        click.echo(_line(settings, probe))
    click.echo("the settings are good" + (", and the lines with ! deserve a look" if words else ""))
    if probes is not None:
        click.echo(_verdict(probes))


def _log_to_stderr() -> None:
    """Standard output is for what was asked for; it may be JSON."""
    import sys

    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def _network(settings: Settings) -> Network:
    """The rules that `run` would follow, books and stored headers considered. Raises Refused where `run` would."""
    import trio

    from pinning_worker.adapters.electrum.header_file import HeaderFile
    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.adapters.sql.database import Database
    from pinning_worker.adapters.sql.migrate import UnusableDatabase, require_current
    from pinning_worker.adapters.sql.name_index import SqlNameIndex
    from pinning_worker.daemon import network_followed
    from pinning_worker.domain.anchor import WrongCheckpoint
    from pinning_worker.domain.chain import NETWORKS, BadCheckpoint, with_checkpoint
    from pinning_worker.ports import Trouble
    from pinning_worker.settings import Refused

    async def followed() -> Network:
        database = Database(settings.database_url)
        try:
            return await network_followed(settings, SqlBooks(database), SqlNameIndex(database))
        finally:
            await database.close()

    try:
        try:
            require_current(settings.database_url)
            network = trio.run(followed)
        except (UnusableDatabase, Trouble):  # advice tells of the first; the second may pass: a worker is writing
            network = with_checkpoint(NETWORKS[settings.network], settings.checkpoint)
        HeaderFile(settings.data_dir, network).load()
    except (BadCheckpoint, WrongCheckpoint) as error:
        raise Refused([str(error)]) from error
    return network


def _ask_servers(settings: Settings, network: Network) -> list[Probe]:
    import trio

    from pinning_worker.adapters.clock import SystemClock
    from pinning_worker.adapters.electrum.endpoint import parse_server_url
    from pinning_worker.adapters.electrum.patience import Patience
    from pinning_worker.adapters.electrum.probe import Prober

    clock, patience = SystemClock(settings.clock_offset_file), Patience(answer=10.0)
    prober = Prober(network, clock, settings.longest_unseen, patience, settings.payment_scripts)
    return trio.run(prober.probe_all, [parse_server_url(url) for url in settings.electrum_servers])


def _line(settings: Settings, probe: Probe) -> str:
    if probe.height is None or probe.age is None or probe.round_trip is None:
        return f"! {probe.url}  {probe.fault}. What to do: {probe.mend}"
    pace = f"{probe.round_trip * 1000:.0f} ms"
    shown = f"{probe.url}  {settings.network}, block {probe.height}, {_age(probe.age)}, {pace}"
    return f"! {shown}; {probe.fault}. What to do: {probe.mend}" if probe.fault else f"  {shown}"


def _age(age: timedelta) -> str:
    from pinning_worker.adapters.electrum.sight import readable

    return f"{readable(abs(age))} {'ahead' if age.total_seconds() < 0 else 'old'}"


def _verdict(probes: list[Probe]) -> str:
    good = sum(not probe.fault for probe in probes)
    if good:
        return f"{good} of {len(probes)} Electrum servers are in order"
    return "no Electrum server is in order: a worker started now would not see the chain and would sell nothing"


def _as_json(probe: Probe) -> dict[str, object]:
    return {
        "url": probe.url,
        "height": probe.height,
        "age_seconds": probe.age.total_seconds() if probe.age is not None else None,
        "round_trip_seconds": probe.round_trip,
        "fault": probe.fault,
        "mend": probe.mend,
    }


def _about_the_store(settings: Settings) -> list[str]:
    from pinning_worker.adapters.sql.migrate import UnusableDatabase, require_current

    words = []
    try:
        require_current(settings.database_url)
    except UnusableDatabase as error:
        words.append(str(error))
    if not settings.key_file.exists():
        words.append(f"there is no key in {settings.key_file} yet: `run` makes one, `keygen --import` brings one along")
    return words
