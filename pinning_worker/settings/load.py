"""From the texts in the sources to typed settings, or to one list of all faults."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pinning_worker.settings.fields import PREFIX, SECRET_FIELDS, StoreSettings
from pinning_worker.settings.sources import Origin, read_sources

DEFAULT_ENV_FILE = Path(".env")
_LONGEST_SHOWN = 60
_SettingsT = TypeVar("_SettingsT", bound=StoreSettings)


class Refused(Exception):
    """The settings have faults. `problems`: one sentence each, with the remedy, without secrets."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load(
    wanted: type[_SettingsT],
    *,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = DEFAULT_ENV_FILE,
) -> _SettingsT:
    """Reads and checks the settings. `environ` defaults to os.environ. Raises Refused with all faults."""
    sources = read_sources(os.environ if environ is None else environ, env_file)
    given = {name: origin.text for name, origin in sources.found.items()}
    fields = {field: given[name] for field in wanted.model_fields if (name := PREFIX + field.upper()) in given}
    try:
        settings = wanted.model_validate(fields)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise Refused([*sources.problems, *(_sentence(detail, sources.found) for detail in details)]) from None
    if sources.problems:
        raise Refused(sources.problems)
    return settings


def _sentence(detail: ErrorDetails, found: Mapping[str, Origin]) -> str:
    """`PINNING_CONFIRMATIONS must be a whole number (it is 'six', in .env line 3)`"""
    field = str(detail["loc"][0])
    name = PREFIX + field.upper()
    origin = found.get(name)
    if origin is None:
        return f"{name} {_what(detail)}"
    what = _what(detail)
    # A sentence that does not begin with "must" already quotes the wrong part.
    shown = f"it is {_short(origin.text)!r}, " if what.startswith("must") and field not in SECRET_FIELDS else ""
    return f"{name} {what} ({shown}in {origin.where})"


def _what(detail: ErrorDetails) -> str:
    limits = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return str(limits["error"])
        case "int_parsing" | "int_type" | "int_from_float":
            return "must be a whole number"
        case "greater_than_equal":
            return f"must be at least {_limit(limits['ge'])}"
        case "less_than_equal":
            return f"must be at most {_limit(limits['le'])}"
        case "literal_error":
            return f"must be {limits['expected']}"
        case "too_short" | "string_too_short":
            return "must not be empty"
        case _:
            return f"is wrong: {detail['msg']}"


def _limit(limit: object) -> str:
    return f"{limit.total_seconds():.0f}s" if isinstance(limit, timedelta) else str(limit)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
