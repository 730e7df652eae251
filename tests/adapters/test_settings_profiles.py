"""PINNING_PROFILE, PINNING_BOOTSTRAP=none, and the environment names of older deployments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pinning_worker.settings import Settings, read_sources
from pinning_worker.settings.profiles import PROFILES
from tests.adapters.test_cli import command, printed, settings
from tests.adapters.test_settings import configured, refusal
from tests.interop.worker import free_port, open_worker

PEER = "/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWGqcv9qKLpgPEcEWXWWsMG9pQFzoRpCKGRGUzCJJ2wBDg"


def test_lowpower_is_less_of_everything_it_names() -> None:
    small, large = configured(PINNING_PROFILE="lowpower"), configured(PINNING_PROFILE="server")
    assert large.model_dump() == configured().model_dump()
    for name in PROFILES["lowpower"]:
        field = name.removeprefix("PINNING_").lower()
        assert getattr(small, field) < getattr(large, field)


def test_what_is_set_wins_over_the_profile() -> None:
    chosen = configured(PINNING_PROFILE="lowpower", PINNING_MAX_CONNECTIONS="100")
    assert (chosen.max_connections, chosen.fetches_at_once) == (100, 2)


def test_a_profile_says_that_it_was_it() -> None:
    found = read_sources({"PINNING_PROFILE": "lowpower"}, None).found
    assert found["PINNING_MAX_CONNECTIONS"].where == "profile lowpower"


def test_an_unknown_profile_is_refused() -> None:
    (problem,) = refusal(PINNING_PROFILE="highpower")
    assert problem == "PINNING_PROFILE must be 'server' or 'lowpower' (it is 'highpower', in the environment)"


def test_none_dials_nobody_whoever_was_imported(tmp_path: Path) -> None:
    (tmp_path / "bootstrap.peers").write_text(f"{PEER}\n")
    assert configured(PINNING_DATA_DIR=str(tmp_path)).bootstrap_peers == (PEER,)
    assert configured(PINNING_DATA_DIR=str(tmp_path), PINNING_BOOTSTRAP=PEER).bootstrap_peers == (PEER,)
    assert configured(PINNING_DATA_DIR=str(tmp_path), PINNING_BOOTSTRAP="none").bootstrap_peers == ()
    (problem,) = refusal(PINNING_BOOTSTRAP=f"none, {PEER}")
    assert problem.startswith("PINNING_BOOTSTRAP has none and addresses: keep one of the two")


@pytest.mark.parametrize(
    ("older", "text", "ours"),
    [
        ("ENABLE_CIRCUIT_RELAY", "true", ("relay", "on")),
        ("ENABLE_CIRCUIT_RELAY", "1", ("relay", "on")),
        ("ENABLE_CIRCUIT_RELAY", "false", ("relay", "off")),
        ("ENABLE_CIRCUIT_RELAY", "False", ("relay", "off")),
        ("IPFS_PROFILE", "lowpower", ("profile", "lowpower")),
        ("IPFS_PROFILE", "server", ("profile", "server")),
        ("IPFS_BOOTSTRAP_REMOVE", "true", ("bootstrap", ("none",))),
    ],
)
def test_names_of_older_deployments_are_taken_and_told(older: str, text: str, ours: tuple[str, object]) -> None:
    assert getattr(configured(**{older: text}), ours[0]) == ours[1]
    (note,) = read_sources({older: text}, None).notes
    value = ours[1] if isinstance(ours[1], str) else "none"
    assert f"{older}={text} (in the environment) is of an older deployment and was taken as" in note
    assert f"PINNING_{ours[0].upper()}={value}: write that instead" in note


@pytest.mark.parametrize(("older", "text"), [("IPFS_BOOTSTRAP_REMOVE", "false"), ("IPFS_PROFILE", "badgerds")])
def test_what_says_nothing_here_changes_nothing_and_is_told(older: str, text: str) -> None:
    assert configured(**{older: text}) == configured()
    (note,) = read_sources({older: text}, None).notes
    assert "changes nothing here" in note


def test_our_own_name_wins_wherever_it_stands(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("PINNING_RELAY=off\n")
    assert configured(env_file, ENABLE_CIRCUIT_RELAY="true").relay == "off"
    (note,) = read_sources({"ENABLE_CIRCUIT_RELAY": "true"}, env_file).notes
    assert "was not taken, because PINNING_RELAY is set" in note


def test_a_value_that_is_neither_is_refused() -> None:
    (problem,) = refusal(ENABLE_CIRCUIT_RELAY="maybe")
    assert problem.startswith("ENABLE_CIRCUIT_RELAY must be true or false (it is 'maybe', in the environment)")


def test_every_name_that_a_profile_sets_is_a_setting() -> None:
    names = {name for profile in PROFILES.values() for name in profile}
    assert names <= {f"PINNING_{field.upper()}" for field in Settings.model_fields}


def test_check_config_tells_older_names_and_where_a_profile_spoke(tmp_path: Path) -> None:
    told = command(tmp_path, "check-config", "--json", ENABLE_CIRCUIT_RELAY="true", PINNING_PROFILE="lowpower")
    shown = json.loads(printed(told))
    assert shown["advice"][0].endswith("was taken as PINNING_RELAY=on: write that instead")
    assert shown["settings"]["PINNING_RELAY"]["from"] == "the environment, as ENABLE_CIRCUIT_RELAY"
    assert shown["settings"]["PINNING_FETCHES_AT_ONCE"] == {"value": "2", "from": "profile lowpower"}


async def test_a_worker_on_the_smallest_profile_starts_and_says_what_it_took(tmp_path: Path) -> None:
    older = {"ENABLE_CIRCUIT_RELAY": "true", "IPFS_PROFILE": "lowpower", "IPFS_BOOTSTRAP_REMOVE": "true"}
    async with open_worker(tmp_path, settings(free_port(), **older)) as worker:
        for ours in ("PINNING_RELAY=on", "PINNING_PROFILE=lowpower", "PINNING_BOOTSTRAP=none"):
            await worker.logged(f"was taken as {ours}")
