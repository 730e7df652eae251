"""The unit file and the operator's pages: as closed as promised, and true to the program."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pinning_worker.cli import main
from pinning_worker.commands.telling import ExitCode
from pinning_worker.settings import PREFIX, Settings
from tests.interop.worker import COMMAND

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy" / "pinning-worker.service"
INSTALLED = "/opt/pinning-worker/bin/pinning-worker"
OPERATING = ROOT / "docs" / "operating.md"
MOST_EXPOSED = 2.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian: apt-get install systemd)"
)


def analyze(*arguments: str) -> str:
    ended = subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@needs_systemd
def test_the_exposure_is_at_most_two() -> None:
    shown = re.search(
        r"Overall exposure level for pinning-worker\.service: ([0-9.]+)",
        analyze("security", "--offline=true", str(UNIT)),
    )
    assert shown is not None
    assert float(shown[1]) <= MOST_EXPOSED


@needs_systemd
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """A misspelled directive is only a warning at start, and the protection is missing."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(INSTALLED, str(COMMAND)))
    assert analyze("verify", str(unit)) == ""


def directives() -> dict[str, str]:
    lines = UNIT.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_it_migrates_then_runs_with_commands_that_there_are() -> None:
    unit = directives()
    assert unit["ExecStartPre"].split() == [INSTALLED, "migrate"]
    assert unit["ExecStart"].split() == [INSTALLED, "run"]
    assert {"migrate", "run"} <= set(main.commands)
    assert (unit["Type"], unit["User"], int(unit["WatchdogSec"]) > 0) == ("notify", "pinning-worker", True)


def test_settings_that_need_mending_are_not_tried_again() -> None:
    assert str(int(ExitCode.CONFIGURATION)) in directives()["RestartPreventExitStatus"].split()


@pytest.mark.parametrize(
    "page", ["deploy/pinning-worker.service", "deploy/README.md", "docs/operating.md", "README.md"]
)
def test_every_setting_that_is_named_exists(page: str) -> None:
    named = set(re.findall(r"PINNING_[A-Z_]+", (ROOT / page).read_text("utf-8")))
    assert named <= {PREFIX + field.upper() for field in Settings.model_fields}


def test_every_exit_code_is_told_in_the_help() -> None:
    assert main.help is not None
    told = {int(code) for code in re.findall(r"^ {2,}(\d+) ", main.help, re.MULTILINE)}
    assert told == {0, 1, 2} | {int(code) for code in ExitCode}


LOCKS = [f"deploy/requirements{kind}.lock" for kind in ("", "-webrtc", "-dev")]


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[\w,]+\])?==(\S+)", (ROOT / name).read_text("utf-8"), re.MULTILINE))


def asked_for(package: str, extra: str | None) -> set[str]:
    """What an installed package needs on this platform, with that extra; names as locks write them."""
    found: set[str] = set()
    for text in metadata.requires(package) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra or ""}):
            found.add(canonicalize_name(requirement.name))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_a_hash_and_none_a_registry(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert text.count(" \\\n    --hash=sha256:") >= len(locked(name)) > 50
    assert "://" not in text


def test_the_lock_for_webrtc_is_that_of_the_service_and_what_the_extra_needs() -> None:
    service, webrtc = locked("deploy/requirements.lock"), locked("deploy/requirements-webrtc.lock")
    assert service.items() <= webrtc.items() <= locked("deploy/requirements-dev.lock").items()
    assert "aiortc" in set(webrtc) - set(service)
    assert asked_for("pinning-worker", "webrtc") | asked_for("libp2p", "webrtc") | asked_for("aiortc", None) <= set(
        webrtc
    )


def test_what_is_installed_from_source_is_python_only_and_told() -> None:
    """These publish no wheel. Everything else is installed by `--only-binary :all:`: no compiler."""
    told = re.findall(r"--no-binary ([\w,-]+)", (ROOT / "deploy" / "README.md").read_text("utf-8"))
    assert set(told) == {"python-baseconv,varint"}
    assert set(told[0].split(",")) <= set(locked("deploy/requirements-webrtc.lock"))
    assert "requirements-webrtc.lock" in (ROOT / "deploy" / "README.md").read_text("utf-8")
