"""PINNING_SWARM_KEY: a private network is private, or the worker does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinning_worker.domain.swarm_key import encode_swarm_key
from pinning_worker.settings import advice
from tests.adapters.test_settings import configured, refusal

KEY = bytes(range(32))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "swarm.key"
    path.write_bytes(encode_swarm_key(KEY))
    path.chmod(0o600)
    return path


def test_without_one_the_network_is_open(tmp_path: Path) -> None:
    assert configured(PINNING_DATA_DIR=str(tmp_path)).private_network is None


def test_the_file_that_the_setting_names(key_file: Path) -> None:
    settings = configured(PINNING_SWARM_KEY=str(key_file))
    assert settings.private_network == KEY
    assert KEY.hex()[:16] not in repr(settings)


def test_the_one_in_the_data_directory_is_used_unasked(key_file: Path) -> None:
    assert configured(PINNING_DATA_DIR=str(key_file.parent)).private_network == KEY


def test_a_credential_is_the_file_itself(tmp_path: Path, key_file: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "PINNING_SWARM_KEY").write_bytes(key_file.read_bytes())
    settings = configured(PINNING_DATA_DIR=str(tmp_path / "elsewhere"), CREDENTIALS_DIRECTORY=str(credentials))
    assert settings.private_network == KEY


@pytest.mark.parametrize("where", ["named", "in the data directory"])
def test_a_damaged_key_is_no_reason_to_open_the_network(where: str, key_file: Path) -> None:
    key_file.write_bytes(encode_swarm_key(KEY)[:-3])
    name = "PINNING_SWARM_KEY" if where == "named" else "PINNING_DATA_DIR"
    (problem,) = refusal(**{name: str(key_file if where == "named" else key_file.parent)})
    assert problem.startswith(f"PINNING_SWARM_KEY names {key_file}, which is damaged: the key has 31 bytes, not 32")


def test_neither_is_a_missing_one(tmp_path: Path) -> None:
    (problem,) = refusal(PINNING_SWARM_KEY=str(tmp_path / "lost"))
    assert problem.startswith(f"PINNING_SWARM_KEY names {tmp_path}/lost, which cannot be read: No such file")


def test_webrtc_direct_takes_no_swarm_key(key_file: Path) -> None:
    address = "/ip4/0.0.0.0/udp/4001/webrtc-direct"
    (problem,) = refusal(PINNING_SWARM_KEY=str(key_file), PINNING_LISTEN=f"/ip4/0.0.0.0/tcp/4001 {address}")
    assert problem.startswith(f"PINNING_LISTEN has {address}, but {key_file} makes this network a private one: webrtc")


def test_who_else_can_read_it(key_file: Path) -> None:
    settings = configured(
        PINNING_SWARM_KEY=str(key_file), PINNING_DATA_DIR=str(key_file.parent), PINNING_STAGING_QUOTA="2GiB"
    )
    assert advice(settings) == ()
    key_file.chmod(0o644)
    (sentence,) = advice(settings)
    assert sentence.startswith(f"{key_file} opens the private network and is readable by others: chmod 600")
