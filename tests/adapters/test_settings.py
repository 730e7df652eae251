"""Settings: what is read from where, what each refusal says, and that `.env.example` explains exactly what there is."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.adapters.memory.books import MemoryBooks
from pinning_worker.domain.chain.address import p2pkh_script, script_to_address
from pinning_worker.domain.chain.networks import DOICHAIN
from pinning_worker.domain.content.cid import RAW, Cid, cid_of, parse_cid
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.settings import PREFIX, Refused, Settings, StoreSettings, advice, load, mask, spell
from pinning_worker.settings.denylist import DenylistFile
from pinning_worker.settings.values import as_bytes, as_duration, as_list
from pinning_worker.steps.takedown import TakeDown
from pinning_worker.wiring.terms import terms_of

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
REGTEST_ADDRESS = "mfWyW5fc9NUj75YAnFgoRLrjxgLDn2MMth"
OTHER_ADDRESS = "mfcHP2WMCVLsVZA8yrovmhMgxNFW9r98xw"
MAINNET_ADDRESS = "MvaPQg5cFj92rWK4LW2zowoKpv8ZtuBncu"
SERVER = "ws://127.0.0.1:50003"
REGTEST = {
    "PINNING_NETWORK": "doichain-regtest",
    "PINNING_PAYMENT_ADDRESS": REGTEST_ADDRESS,
    "PINNING_ELECTRUM_SERVERS": SERVER,
}


def configured(env_file: Path | None = None, /, **environ: str) -> Settings:
    return load(Settings, environ=REGTEST | environ, env_file=env_file)


def refusal(env_file: Path | None = None, /, **environ: str) -> tuple[str, ...]:
    with pytest.raises(Refused) as refused:
        configured(env_file, **environ)
    return refused.value.problems


# ---------------------------------------------------------------- reading


def test_the_least_there_is() -> None:
    settings = load(Settings, environ={"PINNING_PAYMENT_ADDRESS": MAINNET_ADDRESS}, env_file=None)
    assert settings.network == "doichain"
    assert settings.payment_address == (MAINNET_ADDRESS,)
    assert settings.payment_scripts[0].hex().startswith("76a914")
    assert settings.price_per_mib_month == Swartz(742_000)
    assert settings.min_fee == Swartz(1_000_000)
    assert settings.quote_life == timedelta(hours=24)
    assert settings.database_url == f"sqlite:///{settings.data_dir}/pinning.db"
    assert len(settings.electrum_servers) == 4


def test_lists_are_separated_by_commas_or_blanks() -> None:
    settings = configured(PINNING_PAYMENT_ADDRESS=f" {REGTEST_ADDRESS},\n{OTHER_ADDRESS} ")
    assert settings.payment_address == (REGTEST_ADDRESS, OTHER_ADDRESS)
    assert len(set(settings.payment_scripts)) == 2


def test_the_environment_wins_over_env_file_and_that_over_credentials(tmp_path: Path) -> None:
    env_file, credentials = tmp_path / ".env", tmp_path / "credentials"
    credentials.mkdir()
    for name, value in (("TOPIC", "credential"), ("CONFIRMATIONS", "3"), ("MIN_FEE", "2000000")):
        (credentials / f"PINNING_{name}").write_text(f"{value}\n")
    env_file.write_text("PINNING_TOPIC=file\nexport PINNING_CONFIRMATIONS='2'  # two\nOTHER=ignored\n")
    settings = configured(env_file, PINNING_TOPIC="environment", CREDENTIALS_DIRECTORY=str(credentials))
    assert (settings.topic, settings.confirmations, settings.min_fee) == ("environment", 2, Swartz(2_000_000))


def test_an_empty_value_says_nothing(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("PINNING_CONFIRMATIONS=4\n")
    assert configured(env_file, PINNING_CONFIRMATIONS="", PINNING_TOPIC=" ").confirmations == 4


def test_a_dollar_in_a_password_is_a_dollar(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("PINNING_TOPIC=a${HOME}b$c\n")
    assert configured(env_file).topic == "a${HOME}b$c"


def test_a_class_that_is_built_reads_nothing_behind_ones_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINNING_CONFIRMATIONS", "99")
    settings = Settings(network="doichain-regtest", payment_address=(REGTEST_ADDRESS,), electrum_servers=(SERVER,))
    assert settings.confirmations == 6


def test_commands_that_need_no_payment_address_ask_for_none(tmp_path: Path) -> None:
    assert load(StoreSettings, environ={"PINNING_DATA_DIR": str(tmp_path)}, env_file=None).data_dir == tmp_path


def test_the_budget_of_a_fetch() -> None:
    budget = configured(PINNING_MAX_BYTES="1.5 MiB", PINNING_FIRST_BLOCK_TIME="5s", PINNING_FETCH_TIME="2m").budget
    assert (budget.max_bytes, budget.first_block_time, budget.fetch_time) == (
        1_572_864,
        timedelta(seconds=5),
        timedelta(minutes=2),
    )


# ---------------------------------------------------------------- refusing


def test_no_payment_address() -> None:
    with pytest.raises(Refused, match="PINNING_PAYMENT_ADDRESS is not set: without an address nobody can pay"):
        load(Settings, environ={}, env_file=None)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("NETWORK", "bitcoin", "'doichain-regtest' or 'namecoin' (it is 'bitcoin', in the environment)"),
        ("PAYMENT_ADDRESS", MAINNET_ADDRESS, "of doichain or namecoin, while PINNING_NETWORK is doichain-regtest"),
        ("PAYMENT_ADDRESS", REGTEST_ADDRESS[:-1] + "j", "checksum is wrong"),
        ("CONFIRMATIONS", "six", "must be a whole number (it is 'six', in the environment)"),
        ("CONFIRMATIONS", "0", "must be at least 1"),
        ("MIN_FEE", "0.01", "must be a whole number of swartz (1 DOI = 100000000 swartz)"),
        ("MIN_FEE", "545", "must be at least 546: no node relays a smaller output"),
        ("MIN_FEE", "-1000000", "must be a whole number of swartz"),
        ("MOST_MONTHS", "9", "must be at most 8: no name on doichain-regtest lives longer"),
        ("MAX_BYTES", "3MB", "must be a size such as 100MiB"),
        ("STAGING_QUOTA", "1MiB", "must be at least PINNING_MAX_BYTES (1090519040)"),
        ("QUOTE_LIFE", "1 fortnight", "must be a duration such as 30s, 15m, 24h or 7d"),
        ("QUOTE_LIFE", "5s", "must be at least 1 minute"),
        ("LISTEN", "/ip4/0.0.0.0/udp/4001", "has /ip4/0.0.0.0/udp/4001, which is not /ip4/<address>/tcp/<port>"),
        ("LISTEN", "/ip4/0.0.0.0/tcp/70000", "has /ip4/0.0.0.0/tcp/70000, which is not"),
        ("LISTEN", "/ip4/0.0.0.0/udp/4001/quic-v1", "or /ip4/<address>/udp/<port>/webrtc-direct"),
        ("LISTEN", "/ip4/999.1.1.1/tcp/4001", "has /ip4/999.1.1.1/tcp/4001, which is not /ip4/<address>/tcp/<port>"),
        ("LISTEN", "/ip4/::1/tcp/4001", "has /ip4/::1/tcp/4001, which is not /ip4/<address>/tcp/<port>"),
        ("LISTEN", ",", "must not be empty"),
        ("DISCOVERY_TOPIC", "/doichain-nfc/1/message/proto", "is PINNING_TOPIC: one would not be heard"),
        ("QUOTE_LIFE", "31d", "must be at most 30 days"),
        ("MAX_BYTES", "9" * 400, "is more than any disk holds"),
        ("DATABASE_URL", "postgresql://u:p/w@db/pins", "has a port that is none"),
        ("TLS_KEY", "/etc/hostname", "and PINNING_TLS_CERT belong together: set both, or none"),
        ("RELAY", "yes", "must be 'off' or 'on'"),
        ("BOOTSTRAP", "/ip4/192.0.2.1/tcp/4001", "not a multiaddr ending in /p2p/<peer id>"),
        ("DIRECT_PEERS", "none", "has none, which is not a multiaddr ending in /p2p/<peer id>"),
        ("DHT", "on", "must be 'off', 'client' or 'server'"),
        ("ELECTRUM_SERVERS", "https://example.org", "must begin with tcp://, ssl://, ws:// or wss:// and name a host"),
        ("ELECTRUM_SERVERS", "ssl://example.org:port", "which is not a server's address"),
        ("DENYLIST_FILE", "/nowhere/denied.txt", "names /nowhere/denied.txt, which cannot be read: No such file"),
        ("DATABASE_URL", "sqlite://", "must be sqlite:///<file>"),
        ("DATABASE_URL", "sqlite:///pins/pinning.db", f"write sqlite:///{Path.cwd()}/pins/pinning.db (in the"),
        ("DATABASE_URL", "sqlite:///~/pinning.db?timeout=5", f"write sqlite:///{Path.home()}/pinning.db?timeout=5 (in"),
        ("LOG_LEVEL", "loud", "must be 'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_wrong_value_is_told_with_its_mend(name: str, value: str, said: str) -> None:
    (problem,) = refusal(**{PREFIX + name: value})
    assert problem.startswith(f"PINNING_{name} ")
    assert said in problem


def test_wss_needs_a_certificate_that_is_there(tmp_path: Path) -> None:
    wss = {"PINNING_LISTEN": "/ip4/0.0.0.0/tcp/443/tls/ws"}
    (problem,) = refusal(**wss)
    assert problem.startswith("PINNING_TLS_KEY and PINNING_TLS_CERT are not set, and PINNING_LISTEN has /tls/ws")
    certificate, key = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    pair = {"PINNING_TLS_CERT": str(certificate), "PINNING_TLS_KEY": str(key)}
    certificate.touch()
    (problem,) = refusal(**wss, **pair)
    assert problem.startswith(f"PINNING_TLS_KEY or PINNING_TLS_CERT names {key}, which is not there")
    key.touch()
    assert configured(**wss, **pair).tls_key == key


def test_webrtc_direct_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiortc", None)
    (problem,) = refusal(PINNING_LISTEN="/ip4/0.0.0.0/udp/4001/webrtc-direct")
    assert "for which aiortc must be installed: pip install 'pinning-worker[webrtc]'" in problem


def test_a_regtest_worker_needs_a_server_named() -> None:
    (problem,) = refusal(PINNING_ELECTRUM_SERVERS="")
    assert problem.startswith("PINNING_ELECTRUM_SERVERS is not set, and doichain-regtest has no public servers")


def test_time_is_not_moved_on_mainnet() -> None:
    environ = {"PINNING_PAYMENT_ADDRESS": MAINNET_ADDRESS, "PINNING_CLOCK_OFFSET_FILE": "/tmp/offset"}
    with pytest.raises(Refused, match="PINNING_CLOCK_OFFSET_FILE is for doichain-regtest only"):
        load(Settings, environ=environ, env_file=None)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("PINNING_PRICE", "PINNING_PRICE_PER_MIB_MONTH"),
        ("PINNING_ADDRESS", "PINNING_PAYMENT_ADDRESS"),
        ("PINNING_ELECTRUM_SERVER", "PINNING_ELECTRUM_SERVERS"),
        ("PINNING_CONFIRMATONS", "PINNING_CONFIRMATIONS"),
        ("pinning_topic", "PINNING_TOPIC"),
    ],
)
def test_an_unknown_name_is_refused_wherever_it_stands(written: str, meant: str, tmp_path: Path) -> None:
    assert refusal(**{written: "1"}) == (f"{written} is not a setting (in the environment): did you mean {meant}?",)
    env_file = tmp_path / ".env"
    env_file.write_text(f"# mine\n\n{written}=1\n")
    assert refusal(env_file) == (f"{written} is not a setting (in {env_file} line 3): did you mean {meant}?",)
    (tmp_path / written).write_text("1")
    (problem,) = refusal(CREDENTIALS_DIRECTORY=str(tmp_path))
    assert problem == f"{written} is not a setting (in credential {written}): did you mean {meant}?"


def test_a_line_that_cannot_be_read_is_told_and_not_skipped(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text('PINNING_TOPIC\n\nPINNING_MIN_FEE="5\nPINNING_TOPIC=a\nPINNING_TOPIC=b\n')
    assert [problem.partition(":")[0] for problem in refusal(env_file)] == [
        f"{env_file} line 1 cannot be read",
        f"{env_file} line 3 cannot be read",
        f"PINNING_TOPIC stands twice in {env_file}, lines 4 and 5",
    ]
    env_file.write_bytes(b"PINNING_TOPIC=\xff\n")
    assert refusal(env_file) == (f"{env_file} is not UTF-8 (byte 14): save it as UTF-8",)


def test_everything_wrong_is_told_at_once() -> None:
    problems = refusal(PINNING_NETWRK="x", PINNING_CONFIRMATIONS="x", PINNING_MIN_FEE="x", PINNING_LISTEN="x")
    assert [problem.split()[0] for problem in problems] == [
        "PINNING_NETWRK",
        "PINNING_LISTEN",
        "PINNING_MIN_FEE",
        "PINNING_CONFIRMATIONS",
    ]


def test_no_price_is_beyond_what_a_quote_can_hold() -> None:
    dear = str(1 << 50)  # swartz for each MiB and month
    (problem,) = refusal(PINNING_PRICE_PER_MIB_MONTH=dear, PINNING_MAX_BYTES="1GiB")
    assert problem.startswith("PINNING_MAX_BYTES costs more than there are coins")
    assert configured(PINNING_PRICE_PER_MIB_MONTH=dear, PINNING_MAX_BYTES="1023MiB").max_bytes == 1023 << 20


async def test_a_denylist_names_the_line_that_is_no_cid(tmp_path: Path) -> None:
    denied = tmp_path / "denied"
    v0 = "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR"
    v1 = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
    denied.write_text(f"# stolen\n{v0}\nipfs://{v1}  # asked by its owner\n/ipfs/{v1}\n")
    settings = configured(PINNING_DENYLIST_FILE=str(denied))
    assert DenylistFile(settings.denylist_file).read() == {parse_cid(v1).key}  # three spellings of one CID
    as_raw = Cid(1, RAW, parse_cid(v1).multihash)
    takedown = TakeDown(MemoryBooks())
    await takedown.apply(DenylistFile(settings.denylist_file).read())
    denies = terms_of(settings, takedown).denied
    assert [denies(cid) for cid in (parse_cid(v1), as_raw, cid_of(RAW, b""))] == [True, True, False]
    denied.write_text(f"{v1}\nhttps://example.org\n")
    (problem,) = refusal(PINNING_DENYLIST_FILE=str(denied))
    assert f"names {denied}, whose line 2 is not a CID" in problem


# ---------------------------------------------------------------- secrets


def test_a_password_is_in_no_message_and_no_print() -> None:
    (problem,) = refusal(PINNING_DATABASE_URL="mysql://worker:hunter2@db/pins")
    assert "hunter2" not in problem
    assert mask("mysql://worker:hunter2@db/pins") == "mysql://worker:***@db/pins"
    settings = configured().model_copy(update={"database_url": "postgresql://worker:hunter2@db/pins"})
    assert "hunter2" not in repr(settings)
    assert spell(settings)["PINNING_DATABASE_URL"] == "postgresql://worker:***@db/pins"


# ---------------------------------------------------------------- how values are written


def test_what_is_spelled_reads_as_the_same_settings() -> None:
    settings = configured(PINNING_QUOTE_LIFE="90m", PINNING_IDLE_TIME="2.5s", PINNING_MAX_BYTES="3KiB")
    assert load(Settings, environ=spell(settings), env_file=None) == settings


@given(st.integers(min_value=0, max_value=1 << 40))
def test_whole_numbers_of_a_unit_lose_nothing(number: int) -> None:
    assert as_bytes(f"{number}") == number
    assert as_bytes(f"{number} KiB") == number * 1024


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters=", \t\n\r\v\f\x1c\x1d\x1e\x1f"), min_size=1)))
def test_a_list_joined_by_either_sign_is_that_list(items: list[str]) -> None:
    assert as_list(",".join(items)) == as_list(" ".join(items)) == as_list(" , ".join(items)) == tuple(items)


def test_durations() -> None:
    assert [as_duration(text) for text in ("90", "1.5h", "7D")] == [
        timedelta(seconds=90),
        timedelta(minutes=90),
        timedelta(days=7),
    ]


# ---------------------------------------------------------------- advice


@pytest.mark.parametrize(
    ("listen", "doubted"),
    [
        ("/ip4/0.0.0.0/tcp/4001/ws", False),
        ("/ip4/192.168.1.2/tcp/4001/ws", False),
        ("/ip6/::/tcp/4001 /ip4/0.0.0.0/udp/4001/webrtc-direct", False),
        ("/ip4/127.0.0.1/tcp/4001/ws", True),
        ("/ip6/::/tcp/4001/ws", True),
        ("/ip4/45.83.2.1/tcp/4001/ws", True),
    ],
)
def test_upnp_where_a_router_has_nothing_to_forward_to(listen: str, doubted: bool) -> None:
    said = advice(configured(PINNING_UPNP="on", PINNING_LISTEN=listen))
    assert any(sentence.startswith("PINNING_UPNP=on maps nothing") for sentence in said) is doubted
    assert not any("PINNING_UPNP" in sentence for sentence in advice(configured(PINNING_LISTEN=listen)))


@pytest.mark.parametrize("way_in", ["PINNING_BOOTSTRAP", "PINNING_DIRECT_PEERS", None])
def test_a_dht_without_a_way_in(way_in: str | None) -> None:
    peer = "/ip4/45.83.2.1/tcp/4001/p2p/12D3KooWKqJXCWBUEWuTNHArZgs7hsuAQxj3saiTGXf2RxNdkN82"
    said = advice(configured(PINNING_DHT="client", **({way_in: peer} if way_in else {})))
    assert any(sentence.startswith("PINNING_DHT has no way in") for sentence in said) is (way_in is None)


TLS = "/ip4/0.0.0.0/tcp/443/tls/ws"


@pytest.mark.parametrize(
    ("changed", "is_told"),
    [
        ({}, True),  # the shipped defaults
        ({"PINNING_LISTEN": "/ip4/45.83.2.1/tcp/4001/ws"}, True),
        ({"PINNING_ANNOUNCE": "/dns4/example.org/tcp/4001/ws"}, True),
        ({"PINNING_ANNOUNCE": "/dns4/example.org/tcp/443/tls/ws"}, False),
        ({"PINNING_ANNOUNCE": "/dns4/example.org/tcp/443/wss"}, False),
        ({"PINNING_LISTEN": "/ip4/0.0.0.0/tcp/4001 /ip4/0.0.0.0/udp/4001/webrtc-direct"}, False),
        ({"PINNING_LISTEN": TLS, "PINNING_TLS_CERT": str(EXAMPLE), "PINNING_TLS_KEY": str(EXAMPLE)}, False),
        ({"PINNING_LISTEN": "/ip4/192.168.1.2/tcp/4001/ws"}, False),
        ({"PINNING_LISTEN": "/ip4/127.0.0.1/tcp/4001/ws"}, False),
        ({"PINNING_RELAYS_WANTED": "2"}, False),
    ],
)
def test_no_https_page_can_dial_it(changed: dict[str, str], is_told: bool) -> None:
    said = advice(load(Settings, environ={"PINNING_PAYMENT_ADDRESS": MAINNET_ADDRESS} | changed, env_file=None))
    told = [sentence for sentence in said if sentence.startswith("no page on https: can dial this worker")]
    assert len(told) == is_told
    for what_to_add in ("/ip4/0.0.0.0/udp/4001/webrtc-direct", "PINNING_TLS_CERT", "PINNING_ANNOUNCE"):
        assert all(what_to_add in sentence for sentence in told)


def test_nothing_to_say_about_a_careful_sandbox(tmp_path: Path) -> None:
    assert advice(configured(PINNING_DATA_DIR=str(tmp_path), PINNING_STAGING_QUOTA="2GiB")) == ()


def test_what_is_allowed_and_deserves_a_word(tmp_path: Path) -> None:
    many = ",".join(_addresses(1000))
    settings = load(
        Settings,
        environ={
            "PINNING_DATA_DIR": str(tmp_path / "not yet there"),
            "PINNING_PAYMENT_ADDRESS": many,
            "PINNING_CONFIRMATIONS": "1",
            "PINNING_PRICE_PER_MIB_MONTH": "0",
            "PINNING_ELECTRUM_SERVERS": "tcp://electrum.example.org:50001",
            "PINNING_LISTEN": "/ip4/127.0.0.1/tcp/4001",
            "PINNING_STAGING_QUOTA": "1000000TiB",
        },
        env_file=None,
    )
    assert [" ".join(sentence.split()[:4]) for sentence in advice(settings)] == [
        "PINNING_PAYMENT_ADDRESS lists 1000 addresses:",
        "PINNING_CONFIRMATIONS=1: a reorganisation of",
        "PINNING_PRICE_PER_MIB_MONTH=0: every request costs",
        "PINNING_ELECTRUM_SERVERS names one server:",
        "tcp://electrum.example.org:50001 is not encrypted:",
        "PINNING_LISTEN is on the",
        "PINNING_BOOTSTRAP is empty: nobody",
        "PINNING_LISTEN has no /ws",
        "PINNING_STAGING_QUOTA is 1024000000.0 GiB,",
    ]


# ---------------------------------------------------------------- .env.example


def test_env_example_explains_every_setting_and_no_other() -> None:
    names = re.findall(r"^#?(PINNING_\w+)=", EXAMPLE.read_text("utf-8"), re.MULTILINE)
    assert sorted(names) == sorted(PREFIX + field.upper() for field in Settings.model_fields)


def test_env_example_shows_the_defaults() -> None:
    """Uncommented as a whole, and given an address, it changes nothing."""
    written = re.sub(r"^#(PINNING_)", r"\1", EXAMPLE.read_text("utf-8"), flags=re.MULTILINE)
    address = {"PINNING_PAYMENT_ADDRESS": MAINNET_ADDRESS}
    environ = dict(re.findall(r"^(PINNING_\w+)=(.*)$", written, re.MULTILINE)) | address
    assert load(Settings, environ=environ, env_file=None) == load(Settings, environ=address, env_file=None)


def test_env_example_as_it_is_lacks_only_the_address() -> None:
    with pytest.raises(Refused) as refused:
        load(Settings, environ={}, env_file=EXAMPLE)
    assert [problem.split()[0] for problem in refused.value.problems] == ["PINNING_PAYMENT_ADDRESS"]


def _addresses(count: int) -> list[str]:
    return [str(script_to_address(p2pkh_script(number.to_bytes(20, "big")), DOICHAIN)) for number in range(count)]


def test_the_settings_file_that_was_read_is_the_one_to_close(tmp_path: Path) -> None:
    """Catches: "chmod 600 .env", while the password stands in the file of --env-file."""
    env_file = tmp_path / "worker.env"
    env_file.touch(mode=0o644)
    said = advice(configured(PINNING_DATABASE_URL="postgresql://pin:secret@db/pins"), env_file)
    assert any(sentence.endswith(f"chmod 600 {env_file}") for sentence in said)
