"""Checks of everything that `run` opens, in its order and with its own functions, so that the two cannot disagree.

The checks make nothing, and leave nothing open. Each raises the error that `run` would raise there, and returns advice:
warnings about allowed states. A fault that only the operator can mend is a problem; a passing one, or one that the next
command mends, is advice. After a failed check, checks that would only repeat its fault are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pinning_worker.domain.chain.networks import Network
    from pinning_worker.domain.money.tariff import TariffLog
    from pinning_worker.settings import Settings

SOON = timedelta(days=14)


@dataclass(slots=True)
class Findings:
    """`problems`: `run` ends with 78. `network`: the rules that it would follow; None: unknown."""

    problems: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    network: Network | None = None

    def take(self, check: Callable[[Settings], Iterable[str]], settings: Settings) -> bool:
        """Runs a check and collects its results. True: no fault."""
        from pinning_worker.adapters.sql.migrate import UnusableDatabase
        from pinning_worker.ports.world import Trouble

        try:
            self.advice += check(settings)
        except _refusals() as error:
            self.problems.append(str(error))
        except (UnusableDatabase, Trouble) as error:
            self.advice.append(str(error))
        else:
            return True
        return False


def look(settings: Settings) -> Findings:
    """Runs all checks and collects every fault."""
    found = Findings()
    if found.take(_data_dir, settings):
        has_books = found.take(_database, settings)
        found.take(_key, settings)
        found.take(_webrtc, settings)
        if has_books:
            found.take(_blocks, settings)
            found.take(_shared_address, settings)
            found.take(_prices, settings)
        found.take(lambda settings: _chain(settings, found, has_books), settings)
    found.take(_certificate, settings)
    return found


def _refusals() -> tuple[type[Exception], ...]:
    """The errors for which `run` ends with 78."""
    from pinning_worker.commands.run import outcomes
    from pinning_worker.commands.telling import ExitCode

    return tuple(kind for kind, code in outcomes().items() if code is ExitCode.CONFIGURATION)


def _data_dir(settings: Settings) -> Iterator[str]:
    from pinning_worker.adapters.machine.datadir import require_usable, strange_owner

    require_usable(settings.data_dir, settings.network)
    if (owner := strange_owner(settings.data_dir)) is not None:
        yield (
            f"the data directory {settings.data_dir} is that of user {owner}, and this is root, which "
            f"sees no missing rights, and makes files that {owner} cannot use. Run the commands by "
            f"`runuser -u {owner} -- …`"
        )


def _database(settings: Settings) -> Iterable[str]:
    from pinning_worker.adapters.sql.migrate import require_ready
    from pinning_worker.adapters.sql.sqlite_file import require_whole

    require_whole(settings.database_url)
    require_ready(settings.database_url)
    return ()


def _key(settings: Settings) -> Iterator[str]:
    from pinning_worker.adapters.p2p.host.identity import load_key

    try:
        load_key(settings.key_file)
    except FileNotFoundError:
        yield f"there is no key in {settings.key_file} yet: `run` makes one, `keygen --import` brings one along"


def _certificate(settings: Settings) -> Iterator[str]:
    from pinning_worker.adapters.p2p.host.tls_certificate import end_of
    from pinning_worker.wiring.network import certificate_files

    files = certificate_files(settings)
    if files is None:
        return
    end, now = end_of(files), datetime.now(UTC)
    if end <= now:
        yield (
            f"THE CERTIFICATE HAS EXPIRED: {files.certificate} was good until {end:%Y-%m-%d %H:%M} UTC, and no browser "
            "connects by /tls/ws. Renew it; a worker that runs takes the new one by itself"
        )
    elif end <= now + SOON:
        yield (
            f"the certificate {files.certificate} ends in {(end - now).days} days ({end:%Y-%m-%d}): see whether its "
            "renewal works. A worker that runs takes the new one by itself"
        )


def _webrtc(settings: Settings) -> Iterable[str]:
    from pinning_worker.adapters.p2p.host.webrtc_direct import kept_pair
    from pinning_worker.wiring.network import WEBRTC_FILE

    if any(address.endswith("/webrtc-direct") for address in settings.listen):
        kept_pair(settings.data_dir / WEBRTC_FILE)
    return ()


def _blocks(settings: Settings) -> Iterable[str]:
    """Opens the blocks with the books: if they do not belong together, `run` opens neither."""
    import trio

    from pinning_worker.adapters.blocks.rights import require_usable
    from pinning_worker.adapters.sql.database import open_database
    from pinning_worker.wiring.pairing import Store
    from pinning_worker.wiring.stores import BLOCKS_FOLDER

    folder = settings.data_dir / BLOCKS_FOLDER
    require_usable(folder)

    async def belong_together() -> None:
        async with open_database(settings.database_url) as database:
            store = Store(database, settings.database_url, folder)
            store.require_pair(await store.look())

    trio.run(belong_together)
    return ()


def _shared_address(settings: Settings) -> Iterator[str]:
    """Looks for unquoted payments. One may be a customer's who paid without asking; several are another worker's."""
    import trio

    from pinning_worker.adapters.sql.database import open_database
    from pinning_worker.adapters.sql.never_quoted import paid_and_never_quoted

    async def count() -> int:
        async with open_database(settings.database_url) as database:
            return await paid_and_never_quoted(database)

    if (unasked := trio.run(count)) > 1:
        yield (
            f"{unasked} CIDs were paid for at PINNING_PAYMENT_ADDRESS, and this worker had never quoted them: does "
            "another worker name the same address? Both then owe what either sold. Give each worker an address of its "
            "own (`pinning-worker pins --state owed` lists what is owed)"
        )


def _prices(settings: Settings) -> Iterator[str]:
    """Compares the prices in the settings with the tariff in the books, which is the one that is quoted."""
    import trio

    from pinning_worker.adapters.machine.clock import SystemClock
    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.adapters.sql.database import open_database
    from pinning_worker.domain.money.tariff import quoted_at
    from pinning_worker.steps.tariffs import differs, has_begun
    from pinning_worker.wiring.terms import prices_of

    async def read() -> tuple[TariffLog, datetime]:
        async with open_database(settings.database_url) as database:
            return await SqlBooks(database).tariffs(), SystemClock(settings.clock_offset_file).now()

    (log, now), prices = trio.run(read), prices_of(settings)
    if has_begun(log) and differs(log, prices, now):
        tariff = quoted_at(now, log)
        yield (
            f"the settings name {prices.per_mib_month.amount} swartz for a MiB and month and a least fee of "
            f"{prices.least.amount}; the worker quotes {tariff.per_mib_month.amount} and {tariff.least.amount}, its "
            f"tariff {tariff.number} (`pinning-worker tariff show`). The settings give the first tariff only: change "
            "prices by `tariff set`, and let the settings say the same"
        )


def _chain(settings: Settings, found: Findings, has_books: bool) -> Iterable[str]:
    """The rules that `run` would follow, books and stored headers considered."""
    import trio

    from pinning_worker.adapters.electrum.header_file import HeaderFile
    from pinning_worker.adapters.sql.books import SqlBooks
    from pinning_worker.adapters.sql.database import open_database
    from pinning_worker.adapters.sql.name_index import SqlNameIndex
    from pinning_worker.domain.chain.networks import NETWORKS, with_checkpoint
    from pinning_worker.wiring.chain import network_followed

    async def followed() -> Network:
        async with open_database(settings.database_url) as database:
            return await network_followed(settings, SqlBooks(database), SqlNameIndex(database))

    found.network = with_checkpoint(NETWORKS[settings.network], settings.checkpoint)
    if has_books:
        found.network = trio.run(followed)
    HeaderFile(settings.data_dir, found.network).load()
    return ()
