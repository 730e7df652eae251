"""The settings of a command: read, and checked as far as possible without starting anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pinning_worker.commands.telling import ExitCode, Told

if TYPE_CHECKING:
    from pinning_worker.settings import PeerSettings, Settings, StoreSettings

_Command = TypeVar("_Command", bound=Callable[..., Any])

env_file_option = click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read this file instead of .env in the current folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def store_settings(env_file: Path | None) -> StoreSettings:
    """The places of the data; no payment address is needed. Raises Told."""
    from pinning_worker.settings import Refused, StoreSettings, load

    try:
        return load(StoreSettings, env_file=env_file or Path(".env"))
    except Refused as refused:
        raise Told(as_list(refused.problems), ExitCode.CONFIGURATION) from None


def peer_settings(env_file: Path | None) -> PeerSettings:
    """The places of the data, and the worker's addresses; no payment address is needed. Raises Told."""
    from pinning_worker.settings import PeerSettings, Refused, load

    try:
        return load(PeerSettings, env_file=env_file or Path(".env"))
    except Refused as refused:
        raise Told(as_list(refused.problems), ExitCode.CONFIGURATION) from None


def worker_settings(env_file: Path | None) -> Settings:
    """All settings. Raises Told."""
    from pinning_worker.settings import Refused

    try:
        return checked_settings(env_file)
    except Refused as refused:
        raise Told(as_list(refused.problems), ExitCode.CONFIGURATION) from None


def checked_settings(env_file: Path | None) -> Settings:
    """All settings, also parsed as the adapters will parse them. Raises Refused."""
    from pinning_worker.adapters.electrum.endpoint import BadServerUrl, parse_server_url
    from pinning_worker.adapters.electrum.watcher import MOST_SERVERS
    from pinning_worker.settings import Refused, Settings, load

    settings = load(Settings, env_file=env_file or Path(".env"))
    problems = []
    if len(settings.electrum_servers) > MOST_SERVERS:
        problems.append(f"PINNING_ELECTRUM_SERVERS names more servers than the {MOST_SERVERS} that are enough")
    for server in settings.electrum_servers:
        try:
            parse_server_url(server)
        except BadServerUrl as error:
            problems.append(f"PINNING_ELECTRUM_SERVERS: {error}")
    if problems:
        raise Refused(problems)
    return settings


def as_list(problems: tuple[str, ...]) -> str:
    return "the settings need mending:\n" + "\n".join(f"  - {problem}" for problem in problems)
