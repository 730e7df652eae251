"""`check-config`: shows the faults of the settings with their remedies, every value with its source, and the files
that `run` would refuse (`openings.py`).

With `--connect` also the answers of the Electrum servers: a worker that cannot see the chain sells nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from pinning_worker.commands.configured import as_list, checked_settings, env_file_option, json_option
from pinning_worker.commands.telling import ExitCode, Told, say_json

if TYPE_CHECKING:
    from pinning_worker.adapters.electrum.probe import Probe
    from pinning_worker.domain.chain.networks import Network
    from pinning_worker.settings import Settings


@click.command("check-config")
@env_file_option
@json_option
@click.option("--connect", is_flag=True, help="Ask every Electrum server, too: its chain, tip, age and round trip.")
def check_config(env_file: Path | None, as_json: bool, connect: bool) -> None:
    """Name every fault in the settings and the files of a worker, and its remedy.

    The command starts and makes nothing, and the worker may run meanwhile. It opens all that `run` opens: data
    directory, database (each page), key, certificates, blocks. Run it as the worker's user. It prints every setting
    with its source, passwords masked; then advice about allowed values. It ends with 78 when the worker would refuse to
    start, and with 69 when --connect finds no server through which it would see the chain.

    \b
    Examples:
      pinning-worker check-config
      pinning-worker check-config --connect
      pinning-worker check-config --env-file /etc/pinning-worker/worker.env
      pinning-worker check-config --json | jq .advice
    """
    from pinning_worker.adapters.electrum.probe import about_the_clock
    from pinning_worker.commands.openings import look
    from pinning_worker.settings import Refused

    _log_to_stderr()
    try:
        settings = checked_settings(env_file)
    except Refused as refused:
        _refuse(as_list(refused.problems), refused.problems, as_json)
    found = look(settings)
    if found.problems:
        _refuse(_refusal(found.problems), found.problems, as_json)
    probes = _ask_servers(settings, found.network) if connect and found.network else None
    if probes is not None and not (found.network and found.network.blocks_on_demand):
        found.advice += filter(None, [about_the_clock(probes)])
    _show(settings, found.advice, probes, env_file or Path(".env"), as_json)
    if probes is not None and all(probe.fault for probe in probes):
        raise SystemExit(ExitCode.UNAVAILABLE)


def _refuse(text: str, problems: Sequence[str], as_json: bool) -> NoReturn:
    if not as_json:
        raise Told(text, ExitCode.CONFIGURATION)
    say_json({"ok": False, "problems": list(problems), "advice": [], "settings": {}})
    raise SystemExit(ExitCode.CONFIGURATION)


def _refusal(problems: Sequence[str]) -> str:
    return "the settings can be read, and `run` would refuse to start:\n" + "\n".join(
        f"  - {each}" for each in problems
    )


def _show(settings: Settings, found: Sequence[str], probes: list[Probe] | None, env_file: Path, as_json: bool) -> None:
    from pinning_worker.settings import advice, read_sources, spell

    sources = read_sources(os.environ, env_file)
    places = sources.found
    shown = {
        name: {"value": value, "from": places[name].where if name in places else "default"}
        for name, value in spell(settings).items()
    }
    words = [*sources.notes, *advice(settings, env_file), *found]
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
    """Sends logs to standard error: standard output is for the result, which may be JSON."""
    import sys

    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def _ask_servers(settings: Settings, network: Network) -> list[Probe]:
    import trio

    from pinning_worker.adapters.electrum.endpoint import parse_server_url
    from pinning_worker.adapters.electrum.patience import Patience
    from pinning_worker.adapters.electrum.probe import Prober
    from pinning_worker.adapters.machine.clock import SystemClock

    clock, patience = SystemClock(settings.clock_offset_file), Patience(answer_seconds=10.0)
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
