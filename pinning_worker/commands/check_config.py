"""`check-config`: what is wrong with the settings and how to mend it; what they are, and where each comes from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pinning_worker.commands.configured import as_list, checked_settings, env_file_option, json_option
from pinning_worker.commands.telling import ExitCode, Told, say_json

if TYPE_CHECKING:
    from pinning_worker.settings import Settings


@click.command("check-config")
@env_file_option
@json_option
def check_config(env_file: Path | None, as_json: bool) -> None:
    """Say what is wrong with the settings and how to mend it.

    Starts nothing and changes nothing. Prints every setting with where it comes from, passwords masked; then what is
    allowed and still deserves a word. Ends with 78 when the worker would refuse to start.

    \b
    Examples:
      pinning-worker check-config
      pinning-worker check-config --env-file /etc/pinning-worker/worker.env
      pinning-worker check-config --json | jq .advice
    """
    from pinning_worker.settings import Refused

    try:
        settings = checked_settings(env_file)
    except Refused as refused:
        if as_json:
            say_json({"ok": False, "problems": refused.problems, "advice": [], "settings": {}})
            raise SystemExit(ExitCode.CONFIGURATION) from None
        raise Told(as_list(refused.problems), ExitCode.CONFIGURATION) from None
    _show(settings, env_file or Path(".env"), as_json)


def _show(settings: Settings, env_file: Path, as_json: bool) -> None:
    from pinning_worker.settings import advice, read_sources, spell

    sources = read_sources(os.environ, env_file)
    found = sources.found
    shown = {
        name: {"value": value, "from": found[name].where if name in found else "default"}
        for name, value in spell(settings).items()
    }
    words = [*sources.notes, *advice(settings), *_about_the_store(settings)]
    if as_json:
        say_json({"ok": True, "problems": [], "advice": words, "settings": shown})
        return
    width = max(len(name) for name in shown)
    for name, entry in shown.items():
        click.echo(f"{name:<{width}}  {entry['value'] or '-'}  ({entry['from']})")
    for sentence in words:
        click.echo(f"! {sentence}")
    click.echo("the settings are good" + (", and the lines with ! deserve a look" if words else ""))


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
