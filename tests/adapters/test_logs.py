"""What stands in the log, in each form; each test reads what a real process wrote to its standard error."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import logging, sys, structlog
from pinning_worker.logs import configure_logs
configure_logs(sys.argv[1], sys.argv[2])
log = structlog.get_logger("pinning_worker.daemon")
log.debug("detail")
log.info("ready", addresses=["/ip4/1", "/ip4/2"], url="postgresql://me:hunter2@db/pins", private_key="hunter2")
hunter2 = "hunter2"
try:
    {}["missing"]
except KeyError:
    log.exception("a bug")
logging.getLogger("libp2p.pubsub").info("chatter")
logging.getLogger("libp2p.pubsub").warning("line\\nbreak\\r")
"""


def logged(level: str, form: str, **environ: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, level, form], env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == ""
    assert "hunter2" not in ended.stderr.replace('hunter2 = "hunter2"', "")
    return ended.stderr.splitlines()


def test_journald_gets_a_priority_and_no_second_time() -> None:
    ready, bug, library = logged("info", "auto", JOURNAL_STREAM="8:1")
    assert ready.startswith('<6>level=info event=ready addresses="/ip4/1 /ip4/2"')
    assert "url=postgresql://me:***@db/pins" in ready
    assert bug.startswith('<3>level=error event="a bug"')
    assert "KeyError: 'missing'" in bug
    assert library.startswith("<4>level=warning event=")


def test_collectors_get_one_object_a_line() -> None:
    ready, bug, library = (json.loads(line) for line in logged("info", "auto"))
    assert (ready["event"], ready["addresses"], ready["private_key"]) == ("ready", ["/ip4/1", "/ip4/2"], "***")
    assert ready["timestamp"].endswith("Z")
    assert "KeyError" in bug["exception"]
    assert library["event"] == "line\nbreak\r"


@pytest.mark.parametrize("form", ["console", "logfmt", "json"])
def test_the_level_holds_for_us_and_libraries_are_quiet(form: str) -> None:
    debug, warning = "\n".join(logged("debug", form)), "\n".join(logged("warning", form))
    assert "detail" in debug
    assert "ready" in debug
    assert "ready" not in warning
    assert "a bug" in warning
    assert "chatter" not in debug
