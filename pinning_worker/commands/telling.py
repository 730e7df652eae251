"""The end of a command: data, or a sentence on standard error and an exit code that scripts can rely on.

The codes follow sysexits(3) where it has one. systemd does not restart after CONFIGURATION: a restart mends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum

import click


class ExitCode(IntEnum):
    NOT_FOUND = 3
    REFUSED = 65
    UNAVAILABLE = 69
    IN_USE = 75
    CONFIGURATION = 78
    INTERRUPTED = 130


class Told(click.ClickException):
    """Printed as `Error: <text>`, without a traceback."""

    def __init__(self, text: str, code: ExitCode) -> None:
        super().__init__(text)
        self.exit_code = code  # type: ignore[misc]  # click declares it for the class; this is how it is used


@contextmanager
def telling(outcomes: Mapping[type[Exception], ExitCode]) -> Iterator[None]:
    """Turns these exceptions, whose texts are for a person, into Told. The first matching entry gives the exit code."""
    try:
        yield
    except tuple(outcomes) as error:
        code = next(code for kind, code in outcomes.items() if isinstance(error, kind))
        raise Told(_text(error), code) from error


def say_json(data: object) -> None:
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
