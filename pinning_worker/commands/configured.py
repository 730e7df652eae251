"""The settings of a command: read, checked as far as can be without starting anything, or told what is wrong."""

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
    """Where things are; a payment address is not asked for. Raises Told."""
    from pinning_worker.settings import Refused, StoreSettings, load

    try:
        return load(StoreSettings, env_file=env_file or Path(".env"))
    except Refused as refused:
        raise Told(as_list(refused.problems), ExitCode.CONFIGURATION) from None


def peer_settings(env_file: Path | None) -> PeerSettings:
    """Where things are, and how the worker is reached; a payment address is not asked for. Raises Told."""
    from pinning_worker.settings import PeerSettings, Refused, load

    try:
        return load(PeerSettings, env_file=env_file or Path(".env"))
    except Refused as refused:
        raise Told(as_list(refused.problems), ExitCode.CONFIGURATION) from None


def worker_settings(env_file: Path | None) -> Settings:
    """All of them. Raises Told."""
    from pinning_worker.settings import Refused

    try:
        return checked_settings(env_file)
    except Refused as refused:
        raise Told(as_list(refused.problems), ExitCode.CONFIGURATION) from None


def checked_settings(env_file: Path | None) -> Settings:
    """All of them, also read as the adapters will read them. Raises Refused."""
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
