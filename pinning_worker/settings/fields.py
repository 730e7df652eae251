"""Every setting. The name in the environment is PINNING_ and the field's name in capitals.

`.env.example` explains each to an operator; a test compares the two. Fields are checked in their order here, and a
later check may read an earlier value (an address reads the network), so `network` comes first.
"""

from __future__ import annotations

import importlib.util
import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)

from pinning_worker.adapters.p2p.bounds import defaults
from pinning_worker.domain.chain.address import address_to_script
from pinning_worker.domain.chain.networks import NETWORKS, BadCheckpoint, PinnedBlock, with_checkpoint
from pinning_worker.domain.identities import Script
from pinning_worker.domain.money.pricing import MOST_MONTHS
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.domain.money.tariff import MIB
from pinning_worker.ports.content import Budget
from pinning_worker.settings import values
from pinning_worker.settings.denylist import read_denylist
from pinning_worker.settings.imported_peers import read_imported
from pinning_worker.settings.profiles import ProfileName
from pinning_worker.settings.swarm_key import SWARM_KEY_NAME, read_swarm_key, refuse_unprotected, swarm_key_file
from pinning_worker.settings.values import NONE

PREFIX = "PINNING_"
SECRET_FIELDS = frozenset({"database_url"})  # it may contain a password
FILE_FIELDS = frozenset({"swarm_key"})  # as systemd credentials they are the file itself, not its name
LEAST_OUTPUT = Swartz(546)  # below it an output is dust (doichain-core, policy.cpp, as in Bitcoin)
DEFAULT_TOPIC = "/doichain-nfc/1/message/proto"
DEFAULT_DISCOVERY_TOPIC = "doichain._peer-discovery._p2p._pubsub"
PUBLIC_ELECTRUM_SERVERS = {
    "doichain": tuple(
        f"wss://{host}.doi.works:50004"
        for host in ("big-parrot-60", "ugly-bird-70", "pink-deer-69", "itchy-jellyfish-89")
    )
}

NetworkName = Literal["doichain", "doichain-test", "doichain-regtest", "namecoin"]
Names = Annotated[tuple[str, ...], BeforeValidator(values.as_list)]
ByteCount = Annotated[int, BeforeValidator(values.as_bytes)]
Duration = Annotated[timedelta, BeforeValidator(values.as_duration)]
Checkpoint = Annotated[PinnedBlock | None, BeforeValidator(values.as_checkpoint)]
Amount = Annotated[Swartz, BeforeValidator(values.as_swartz)]
PathName = Annotated[Path, BeforeValidator(values.as_path)]
ListenAddress = Annotated[str, AfterValidator(values.check_listen)]
BootstrapAddress = Annotated[str, AfterValidator(values.check_bootstrap)]
PeerAddress = Annotated[str, AfterValidator(values.check_peer)]
AnnounceAddress = Annotated[str, AfterValidator(values.check_announce)]
IpAddress = Annotated[str, AfterValidator(values.check_ip)]
ElectrumServer = Annotated[str, AfterValidator(values.check_electrum_server)]
A_MOMENT, A_YEAR = timedelta(seconds=1), timedelta(days=366)
LONGEST_QUOTE = timedelta(days=30)  # a tariff is honoured for 31 days after the next one


class StoreSettings(BaseModel):
    """The places of this worker's data: enough for `migrate`, `keygen`, `quote` and `pins`."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)

    network: NetworkName = "doichain"
    data_dir: PathName = Path("~/.pinning-worker").expanduser()
    database_url: str = Field(default="", repr=False)  # empty: `pinning.db` in the data directory
    swarm_key: PathName | None = None
    denylist_file: PathName | None = None
    clock_offset_file: PathName | None = None  # regtest only: the sandbox moves the time
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "logfmt", "json"] = "auto"

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str, info: ValidationInfo) -> str:
        if not url:
            data_dir: Path | None = info.data.get("data_dir")
            return f"sqlite:///{(data_dir or Path()).absolute()}/pinning.db"
        try:
            _ = urlsplit(url).port
        except ValueError:
            raise ValueError("has a port that is none (a / or @ in a password is written %2F or %40)") from None
        if url.startswith(("postgresql://", "postgresql+psycopg://")):
            if importlib.util.find_spec("psycopg") is None:
                raise ValueError("is PostgreSQL, for which psycopg must be installed: pip install 'psycopg[binary]'")
            return url
        if not url.startswith("sqlite:///") or url == "sqlite:///" or ":memory:" in url:
            raise ValueError("must be sqlite:///<file> (four slashes for an absolute path) or postgresql://…")
        if not (name := url.removeprefix("sqlite:///")).startswith("/"):
            raise ValueError(
                f"has the relative path {name.partition('?')[0]}, which is another database in each folder that a "
                f"command starts in. If the one here is meant, write sqlite:///{Path(name).expanduser().absolute()}"
            )
        return url

    @field_validator("denylist_file")
    @classmethod
    def _list_of_cids(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_denylist(path)
        return path

    @field_validator("clock_offset_file")
    @classmethod
    def _sandbox_only(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        network = info.data.get("network")
        if path is not None and network not in (None, "doichain-regtest"):
            raise ValueError(f"is for doichain-regtest only: time is not moved on {network}. Take it away")
        return path

    @property
    def key_file(self) -> Path:
        """The file of the private key, which determines the peer id."""
        return self.data_dir / "identity.key"

    @property
    def swarm_key_place(self) -> Path:
        """The path for the key of a private network, whether the file exists or not."""
        return self.swarm_key or self.data_dir / SWARM_KEY_NAME


class PeerSettings(StoreSettings):
    """The addresses and keys of this worker as a peer: enough for `id` and `ask`."""

    listen: Annotated[tuple[ListenAddress, ...], BeforeValidator(values.as_list), Field(min_length=1)] = (
        "/ip4/0.0.0.0/tcp/4001",
        "/ip4/0.0.0.0/tcp/4001/ws",
    )
    announce: Annotated[tuple[AnnounceAddress, ...], BeforeValidator(values.as_list)] = ()
    topic: str = Field(default=DEFAULT_TOPIC, min_length=1)

    _private_network: bytes | None = PrivateAttr(default=None)

    def model_post_init(self, context: object, /) -> None:
        """Reads the files once. Raises ValueError if one has become unusable since its check."""
        found = swarm_key_file(self.data_dir, self.swarm_key)
        self._private_network = read_swarm_key(found) if found is not None else None

    @property
    def private_network(self) -> bytes | None:
        """The 32 bytes of the swarm key; None: the network is open to all."""
        return self._private_network

    @field_validator("listen")
    @classmethod
    def _closed_to_strangers(cls, listen: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        key_file = swarm_key_file(info.data.get("data_dir"), info.data.get("swarm_key"))
        if key_file is not None:
            refuse_unprotected(listen, key_file)
        return listen

    @field_validator("swarm_key")
    @classmethod
    def _key_of_a_private_network(cls, named: Path | None, info: ValidationInfo) -> Path | None:
        key_file = swarm_key_file(info.data.get("data_dir"), named)
        if key_file is not None:
            read_swarm_key(key_file)
        return named


class Settings(PeerSettings):
    """All settings of `run`. Sizes are bytes, durations are timedelta, amounts are Swartz."""

    profile: ProfileName = "server"

    # --- the network of peers
    tls_cert: PathName | None = None
    tls_key: PathName | None = None
    bootstrap: Annotated[tuple[BootstrapAddress, ...], BeforeValidator(values.as_list)] = ()
    direct_peers: Annotated[tuple[PeerAddress, ...], BeforeValidator(values.as_list)] = ()
    discovery_topic: str = Field(default=DEFAULT_DISCOVERY_TOPIC, min_length=1)
    max_connections: int = Field(default=defaults.MAX_CONNECTIONS, ge=10, le=100_000)
    stream_window: ByteCount = Field(default=defaults.STREAM_WINDOW, ge=256 << 10, le=8 << 20)
    max_connections_per_peer: int = Field(default=defaults.MAX_CONNECTIONS_PER_PEER, ge=1, le=100)
    max_connections_per_address: int = Field(default=defaults.MAX_CONNECTIONS_PER_ADDRESS, ge=1, le=100_000)
    proxies: Annotated[tuple[IpAddress, ...], BeforeValidator(values.as_list)] = defaults.PROXIES
    handshake_time: Duration = Field(default=defaults.HANDSHAKE_TIME, ge=A_MOMENT, le=timedelta(minutes=5))
    max_half_open: int = Field(default=defaults.MAX_HALF_OPEN, ge=1, le=100_000)
    max_streams_per_peer: int = Field(default=defaults.MAX_STREAMS_PER_PEER, ge=16, le=100_000)
    requests_per_peer_per_minute: int = Field(default=600, ge=1)
    requests_per_minute: int = Field(default=12_000, ge=1)
    messages_per_peer_per_second: int = Field(default=defaults.MESSAGES_PER_PEER_PER_SECOND, ge=1)
    messages_per_second: int = Field(default=defaults.MESSAGES_PER_SECOND, ge=1)
    gossip_bytes_per_second: ByteCount = Field(default=defaults.GOSSIP_BYTES_PER_SECOND, ge=1 << 20)

    # --- a worker at home: behind a router, beside other peers
    relays_wanted: int = Field(default=0, ge=0, le=16)
    mdns: Literal["off", "on"] = "off"
    upnp: Literal["off", "on"] = "off"
    dht: Literal["off", "client", "server"] = "off"

    # --- a relay for peers that cannot be dialled
    relay: Literal["off", "on"] = "off"
    relay_for: Literal["topic", "anyone"] = "topic"
    relay_reservations: int = Field(default=defaults.RELAY_RESERVATIONS, ge=1, le=100_000)
    relay_circuits: int = Field(default=defaults.RELAY_CIRCUITS, ge=1, le=100_000)
    relay_circuits_per_peer: int = Field(default=defaults.RELAY_CIRCUITS_PER_PEER, ge=1, le=100_000)
    relay_bytes_per_circuit: ByteCount = Field(default=defaults.RELAY_BYTES_PER_CIRCUIT, ge=1)

    # --- money and the chain
    payment_address: Names = ()  # the first is quoted, all are watched
    price_per_mib_month: Amount = Swartz(742_000)
    min_fee: Amount = Swartz(1_000_000)
    min_payment: Amount | None = None  # nobody is told of a smaller one; None: a hundredth of the least fee
    most_months: int = Field(default=MOST_MONTHS, ge=1)
    quarantine: Duration = Field(default=timedelta(days=7), ge=timedelta(0), le=A_YEAR)  # the wait of freed blocks
    quote_life: Duration = Field(default=timedelta(hours=24), ge=timedelta(minutes=1), le=LONGEST_QUOTE)
    confirmations: int = Field(default=6, ge=1, le=1000)  # 1 is the block that holds the payment
    credit_blocks: int = Field(default=100, ge=1, le=10_000)  # blocks that a pin outlives its payment's reorg
    electrum_servers: Annotated[tuple[ElectrumServer, ...], BeforeValidator(values.as_list)] = ()
    checkpoint: Checkpoint = None  # a block to verify from, newer than the built-in one
    longest_unseen: Duration = Field(default=timedelta(hours=2), ge=A_MOMENT, le=100 * A_YEAR)  # then nothing is sold

    # --- limits for one request, and for all unpaid ones together
    max_bytes: ByteCount = Field(default=1040 << 20, ge=1)  # a file of 1 GiB, and the blocks that link its chunks
    max_blocks: int = Field(default=70_000, ge=1)  # enough for 1 GiB in chunks of 16 KiB
    max_depth: int = Field(default=128, ge=1)
    first_block_time: Duration = Field(default=timedelta(seconds=30), ge=A_MOMENT, le=A_YEAR)
    idle_time: Duration = Field(default=timedelta(seconds=30), ge=A_MOMENT, le=A_YEAR)
    fetch_time: Duration = Field(default=timedelta(minutes=15), ge=A_MOMENT, le=A_YEAR)
    staging_quota: ByteCount = Field(default=10 << 30, ge=1)
    fetches_at_once: int = Field(default=8, ge=1, le=256)
    queue_size: int = Field(default=200, ge=1, le=100_000)  # requests waiting or being fetched
    queue_size_per_peer: int = Field(default=50, ge=1, le=100_000)

    _bootstrap_peers: tuple[str, ...] = PrivateAttr(default=())

    def model_post_init(self, context: object, /) -> None:
        super().model_post_init(context)
        if self.bootstrap != (NONE,):
            self._bootstrap_peers = tuple(dict.fromkeys((*self.bootstrap, *read_imported(self.data_dir))))

    @property
    def bootstrap_peers(self) -> tuple[str, ...]:
        """Peers to stay connected with: the setting's, then those from `peers import`; `none`: no peers at all."""
        return self._bootstrap_peers

    @property
    def payment_scripts(self) -> tuple[Script, ...]:
        """The output script of each payment address, in their order."""
        return tuple(address_to_script(address, NETWORKS[self.network]) for address in self.payment_address)

    @property
    def budget(self) -> Budget:
        return Budget(
            max_bytes=self.max_bytes,
            max_blocks=self.max_blocks,
            max_depth=self.max_depth,
            first_block_time=self.first_block_time,
            idle_time=self.idle_time,
            fetch_time=self.fetch_time,
        )

    @field_validator("tls_key")
    @classmethod
    def _certificate_for_wss(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        certificate: Path | None = info.data.get("tls_cert")
        if (key is None) != (certificate is None):
            raise ValueError("and PINNING_TLS_CERT belong together: set both, or none")
        if key is None and any("/tls/" in address or "/wss" in address for address in info.data.get("listen", ())):
            raise ValueError(
                "and PINNING_TLS_CERT are not set, and PINNING_LISTEN has /tls/ws. Set them, or take it away"
            )
        for path in (certificate, key):
            # Not Path.is_file, which may raise: for an unreadable folder the start names the file itself.
            if path is not None and not os.path.isfile(path) and os.access(path.parent, os.X_OK):
                raise ValueError(f"or PINNING_TLS_CERT names {path}, which is not there")
        return key

    @field_validator("payment_address")
    @classmethod
    def _payable(cls, addresses: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not addresses:
            raise ValueError("is not set: without an address nobody can pay. Set it to an address of your wallet")
        network = info.data.get("network")
        if network is None:
            return addresses  # the check of the network reports its fault
        for address in addresses:
            try:
                script = address_to_script(address, NETWORKS[network])
            except ValueError as error:
                raise ValueError(f"has {address}: {error}, while PINNING_NETWORK is {network}") from None
            if len(script) == 34 and script[0] == 0x51:
                raise ValueError(
                    f"has {address}, a taproot address: Doichain has no such rules, anybody could spend it"
                )
        return addresses

    @field_validator("min_fee")
    @classmethod
    def _can_be_paid(cls, fee: Swartz) -> Swartz:
        if fee < LEAST_OUTPUT:
            raise ValueError(f"must be at least {LEAST_OUTPUT.amount}: no node relays a smaller output")
        return fee

    @field_validator("most_months")
    @classmethod
    def _sold_at_most(cls, months: int, info: ValidationInfo) -> int:
        network = info.data.get("network")
        if network is not None and months > NETWORKS[network].months_sold_max:
            most = NETWORKS[network].months_sold_max
            raise ValueError(f"must be at most {most}: no name on {network} lives longer")
        return months

    @field_validator("electrum_servers")
    @classmethod
    def _servers_or_the_public_ones(cls, servers: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        network = info.data.get("network")
        if servers or network is None:
            return servers
        if network not in PUBLIC_ELECTRUM_SERVERS:
            raise ValueError(
                f"is not set, and {network} has no public servers. `pinning-worker sandbox` prints its own"
            )
        return PUBLIC_ELECTRUM_SERVERS[network]

    @field_validator("checkpoint")
    @classmethod
    def _to_verify_from(cls, checkpoint: PinnedBlock | None, info: ValidationInfo) -> PinnedBlock | None:
        network = info.data.get("network")
        if network is not None:
            try:
                with_checkpoint(NETWORKS[network], checkpoint)
            except BadCheckpoint as error:
                raise ValueError(str(error)) from None
        return checkpoint

    @field_validator("discovery_topic")
    @classmethod
    def _a_topic_of_its_own(cls, topic: str, info: ValidationInfo) -> str:
        if topic == info.data.get("topic"):
            raise ValueError("is PINNING_TOPIC: one would not be heard. Let them differ")
        return topic

    @field_validator("max_bytes")
    @classmethod
    def _payable_in_64_bits(cls, largest: int, info: ValidationInfo) -> int:
        price, months = info.data.get("price_per_mib_month"), info.data.get("most_months")
        if price is not None and months is not None and price.amount * largest * months >= MIB << 63:
            raise ValueError("costs more than there are coins, at PINNING_PRICE_PER_MIB_MONTH: lower one of them")
        return largest

    @field_validator("bootstrap")
    @classmethod
    def _also_those_imported(cls, bootstrap: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if NONE in bootstrap and len(bootstrap) > 1:
            raise ValueError(f"has {NONE} and addresses: keep one of the two")
        if bootstrap != (NONE,) and (data_dir := info.data.get("data_dir")) is not None:
            read_imported(data_dir)
        return bootstrap

    @field_validator("staging_quota")
    @classmethod
    def _room_for_one(cls, quota: int, info: ValidationInfo) -> int:
        largest = info.data.get("max_bytes")
        if largest is not None and quota < largest:
            raise ValueError(f"must be at least PINNING_MAX_BYTES ({largest}), or no request that large could be held")
        return quota
