"""Warnings about allowed settings, before money depends on them. `check-config` prints them, `run` logs them."""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from pinning_worker.settings.fields import Settings
from pinning_worker.settings.load import DEFAULT_ENV_FILE
from pinning_worker.settings.swarm_key import swarm_key_file

# ElectrumX refuses a session with some 50 000 subscriptions; live quotes and pins add scripts to the listed ones.
MANY_SCRIPTS = 1000


def advice(settings: Settings, env_file: Path = DEFAULT_ENV_FILE) -> tuple[str, ...]:
    """One sentence for each doubt. It reads the disk, and nothing else outside. `env_file`: the one that was read."""
    return (
        *_about_money(settings),
        *_about_servers(settings),
        *_about_peers(settings),
        *_about_secrets(settings),
        *_about_disk(settings),
        *_about_env_file(settings, env_file),
    )


def _about_money(settings: Settings) -> Iterator[str]:
    if len(settings.payment_address) >= MANY_SCRIPTS:
        yield (
            f"PINNING_PAYMENT_ADDRESS lists {len(settings.payment_address)} addresses: each is a subscription at every "
            "Electrum server, and ElectrumX refuses a session at some 50000"
        )
    if len(set(settings.payment_address)) < len(settings.payment_address):
        yield "PINNING_PAYMENT_ADDRESS names an address twice"
    if settings.network == "doichain" and settings.confirmations == 1:
        yield "PINNING_CONFIRMATIONS=1: a reorganisation of one block, which is common, takes a payment back"
    if settings.price_per_mib_month.amount == 0:
        yield "PINNING_PRICE_PER_MIB_MONTH=0: every request costs the least fee, however large it is"


def _about_servers(settings: Settings) -> Iterator[str]:
    servers = settings.electrum_servers
    if len(servers) == 1 and settings.network != "doichain-regtest":
        yield "PINNING_ELECTRUM_SERVERS names one server: while it is away or keeps silent, no payment is seen"
    unseen, hours = settings.longest_unseen, settings.longest_unseen.total_seconds() / 3600
    if settings.network != "doichain-regtest" and unseen < timedelta(hours=1):
        yield (
            f"PINNING_LONGEST_UNSEEN is {unseen.total_seconds():.0f} s: blocks come every 10 minutes and often later, "
            "so the worker will often sell nothing"
        )
    if settings.network != "doichain-regtest" and unseen > timedelta(days=1):
        yield f"PINNING_LONGEST_UNSEEN is {hours:.0f} h: a server that is cut off goes unnoticed for so long"
    for server in servers:
        parts = urlsplit(server)
        if parts.scheme in ("tcp", "ws") and not _is_loopback(parts.hostname or ""):
            yield f"{server} is not encrypted: others on the way can read along and hide payments (use ssl or wss)"


def _about_peers(settings: Settings) -> Iterator[str]:
    hosts = [address.split("/")[2] for address in settings.listen]
    if settings.network == "doichain" and all(_is_loopback(host) for host in hosts):
        yield "PINNING_LISTEN is on the loopback only: no peer outside this machine can ask for anything"
    if settings.upnp == "on" and not any(_is_forwarded_to(address) for address in settings.listen):
        yield "PINNING_UPNP=on maps nothing: PINNING_LISTEN has no /ip4/ address that a router could forward to"
    if settings.network == "doichain" and not settings.bootstrap and not _dials_somebody(settings):
        yield "PINNING_BOOTSTRAP is empty: nobody is dialled, peers must know this worker's address"
    if settings.dht != "off" and not _dials_somebody(settings):
        yield "PINNING_DHT has no way in: name a node that speaks it (any Kubo) in PINNING_BOOTSTRAP"
    if not any(address.endswith(("/ws", "/wss", "/webrtc-direct")) for address in settings.listen):
        yield "PINNING_LISTEN has no /ws and no /webrtc-direct address: browsers cannot connect"
    elif settings.network != "doichain-regtest" and _wants_pages(settings) and not _is_dialled_from_https(settings):
        yield (
            "no page on https: can dial this worker: browsers want webrtc-direct or TLS there. Add to PINNING_LISTEN "
            f"{_without_a_domain(settings)}/ip4/0.0.0.0/tcp/4001/tls/ws with the certificate of a domain in "
            "PINNING_TLS_CERT and PINNING_TLS_KEY. Behind a proxy that speaks TLS, say /dns4/<domain>/tcp/443/tls/ws "
            "in PINNING_ANNOUNCE"
        )


def _wants_pages(settings: Settings) -> bool:
    """Whether peers can dial it directly, and not only through relays."""
    hosts = [ipaddress.ip_address(address.split("/")[2]) for address in settings.listen]
    return not settings.relays_wanted and any(host.is_unspecified or host.is_global for host in hosts)


def _without_a_domain(settings: Settings) -> str:
    """The advice to use webrtc-direct. Empty in a private network: no swarm key protects webrtc-direct."""
    is_private = swarm_key_file(settings.data_dir, settings.swarm_key) is not None
    return "" if is_private else "/ip4/0.0.0.0/udp/4001/webrtc-direct, which takes no domain, or "


def _is_dialled_from_https(settings: Settings) -> bool:
    told = (*settings.listen, *settings.announce)
    return any("/tls/" in address or "/wss" in address or "/webrtc-direct" in address for address in told)


def _dials_somebody(settings: Settings) -> bool:
    return bool(settings.bootstrap_peers or settings.direct_peers)


def _about_secrets(settings: Settings) -> Iterator[str]:
    key_file = swarm_key_file(settings.data_dir, settings.swarm_key)
    if key_file is not None and key_file.stat().st_mode & 0o077:
        yield f"{key_file} opens the private network and is readable by others: chmod 600 {key_file}"


def _about_disk(settings: Settings) -> Iterator[str]:
    place = next(
        folder for folder in (settings.data_dir.absolute(), *settings.data_dir.absolute().parents) if folder.exists()
    )
    free = shutil.disk_usage(place).free
    if free < settings.staging_quota:
        yield (
            f"PINNING_STAGING_QUOTA is {_gib(settings.staging_quota)}, but the disk of {settings.data_dir} "
            f"has {_gib(free)} free: requests will be answered BUSY before the quota is used"
        )


def _about_env_file(settings: Settings, env_file: Path) -> Iterator[str]:
    if "@" in settings.database_url and env_file.exists() and env_file.stat().st_mode & 0o077:
        yield f"{env_file} holds a password and is readable by others: chmod 600 {env_file}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_forwarded_to(listen: str) -> bool:
    _, kind, host, *_ = listen.split("/")
    return kind == "ip4" and (host == "0.0.0.0" or not (_is_loopback(host) or ipaddress.ip_address(host).is_global))  # noqa: S104  read, not bound


def _gib(amount: int) -> str:
    return f"{amount / (1 << 30):.1f} GiB"
