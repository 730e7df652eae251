"""Logging for the operator who is called at three in the morning: one event a line, named values, no secret.

    console   colours, for a terminal
    logfmt    for journald: it has its own time, and takes the level from a prefix such as <4> (sd-daemon(3))
    json      for collectors: one object a line, time in UTC
    auto      console on a terminal, logfmt under systemd, else json

Everything goes to standard error: standard output is for data. Libraries that use `logging` share the renderer, from
WARNING on. A traceback is one value of one line, so that no part of it can pass for an event.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

from pinning_worker.settings import mask

_SECRET_WORDS = ("password", "secret", "private_key", "token", "credential", "seed")
_SYSLOG = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2, "exception": 3}
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logs(
    level: str, form: str, stream: TextIO | None = None, environ: Mapping[str, str] | None = None
) -> None:
    """Call it once per process. `level` and `form`: as in PINNING_LOG_LEVEL and PINNING_LOG_FORMAT."""
    out = stream if stream is not None else sys.stderr
    told = os.environ if environ is None else environ
    chosen = _choose(out, told) if form == "auto" else form
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(chosen, told))
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("pinning_worker").setLevel(_LEVELS[level])


def mask_secrets(_: Any, __: str, event: EventDict) -> EventDict:
    """Replaces values named as a secret, and passwords within URLs, by ***."""
    for key, value in event.items():
        if any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = "***"
        elif isinstance(value, str):
            event[key] = mask(value)
    return event


def _choose(out: TextIO, environ: Mapping[str, str]) -> str:
    if out.isatty():
        return "console"
    return "logfmt" if "JOURNAL_STREAM" in environ else "json"


def _rendering(form: str, environ: Mapping[str, str]) -> list[Processor]:
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    match form:
        case "console":
            # Not the rich traceback: it prints local variables, and a key may be one.
            return [strip, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        case "logfmt":
            prefixed = "JOURNAL_STREAM" in environ
            return [strip, structlog.processors.format_exc_info, _writable, _Logfmt(for_journald=prefixed)]
        case _:
            return [strip, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


class _Logfmt:
    def __init__(self, *, for_journald: bool) -> None:
        order = ("level", "event") if for_journald else ("timestamp", "level", "event")
        self._render = structlog.processors.LogfmtRenderer(key_order=order, bool_as_flag=False)
        self._for_journald = for_journald

    def __call__(self, logger: Any, name: str, event: EventDict) -> str:
        if not self._for_journald:
            return str(self._render(logger, name, event))
        event.pop("timestamp", None)
        priority = _SYSLOG.get(str(event.get("level")), 6)
        return f"<{priority}>{self._render(logger, name, event)}"


def _writable(_: Any, __: str, event: EventDict) -> MutableMapping[str, Any]:
    """Removes blanks in keys, which the renderer refuses, and joins lists. The renderer escapes line ends itself."""
    return {key.replace(" ", "_"): _joined(value) for key, value in event.items()}


def _joined(value: object) -> object:
    return " ".join(str(item) for item in value) if isinstance(value, (list, tuple, set, frozenset)) else value
