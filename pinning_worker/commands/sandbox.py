"""`sandbox`: a Doichain regtest on this machine, and the commands that change it from another terminal."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pinning_worker.commands.configured import json_option
from pinning_worker.commands.telling import ExitCode, Told, say_json, telling

if TYPE_CHECKING:
    from pinning_worker.sandbox.control import SandboxControl
    from pinning_worker.sandbox.wallet import Kind

Result = TypeVar("Result")
REGTEST = "doichain-regtest"
DEFAULT_DIRECTORY = Path("~/.pinning-sandbox")

directory_option = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_DIRECTORY,
    show_default=True,
    help="The sandbox's directory.",
)


@click.group(invoke_without_command=True)
@directory_option
@click.pass_context
def sandbox(context: click.Context, directory: Path) -> None:
    """Start a Doichain of your own, or make a running one pay, mine, reorganise, move the time.

    Without a sub-command it starts: a regtest node with a wallet under a real ElectrumX, on the loopback only. It
    prints every line that the .env of a worker needs to sell on it, and runs until Ctrl-C. The chain lives in memory
    and begins anew each time, and so must the worker: take the new lines. Needs the extra [sandbox] of the package.

    \b
    A paid pin, from three terminals in one empty folder:
      pinning-worker sandbox | tee .env
      pinning-worker migrate && pinning-worker run
      pinning-worker ask FILE                              # prints the two commands that pay it:
      pinning-worker sandbox pay m… 1000000 ask/1 bafy…
      pinning-worker sandbox mine 6
    """
    context.obj = directory.expanduser()
    if context.invoked_subcommand is None:
        _start(context.obj)


@sandbox.command()
@click.argument("address")
@click.argument("amount", type=int)
@click.argument("name")
@click.argument("cid")
@click.option(
    "--kind", type=click.Choice(("p2wpkh", "p2pkh")), default="p2wpkh", show_default=True, help="Coins spent."
)
@json_option
@click.pass_obj
def pay(directory: Path, address: str, amount: int, name: str, cid: str, kind: Kind, as_json: bool) -> None:
    """Pay AMOUNT swartz to ADDRESS for CID under NAME, as the browser does; print the txid.

    A second payment under a name spends the name, and has to wait for the block of the first.

    \b
    Example:
      pinning-worker sandbox pay mfWyW5fc9NUj75YAnFgoRLrjxgLDn2MMth 1000000 art/1 bafy…
    """
    from pinning_worker.domain.money.swartz import Swartz

    txid = _tell(directory, lambda control: control.pay(address, Swartz(amount), name, cid, kind))
    _say(as_json, {"txid": txid}, txid)


@sandbox.command()
@click.argument("blocks", type=click.IntRange(1, 1000), default=1)
@click.option("--auxpow", is_flag=True, help="Merge-mined blocks, as mainnet's are.")
@json_option
@click.pass_obj
def mine(directory: Path, blocks: int, auxpow: bool, as_json: bool) -> None:
    """Mine BLOCKS blocks (default 1); the first holds what waits in the mempool. Print their hashes.

    \b
    Example:
      pinning-worker sandbox mine 6
    """
    hashes = _tell(directory, lambda control: control.mine(blocks, auxpow=auxpow))
    _say(as_json, {"blocks": hashes}, *hashes)


@sandbox.command()
@click.argument("depth", type=click.IntRange(1, 1000))
@click.option("--confirm", is_flag=True, help="Put the transactions into the new branch too.")
@json_option
@click.pass_obj
def reorg(directory: Path, depth: int, confirm: bool, as_json: bool) -> None:
    """Replace the last DEPTH blocks by a longer branch; print its hashes. Their transactions wait in the mempool.

    \b
    Example, a payment taken back and proven again:
      pinning-worker sandbox reorg 3
      pinning-worker sandbox mine 6
    """
    hashes = _tell(directory, lambda control: control.reorg(depth, confirm=confirm))
    _say(as_json, {"blocks": hashes}, *hashes)


@sandbox.command("move-time")
@click.argument("duration")
@json_option
@click.pass_obj
def move_time(directory: Path, duration: str, as_json: bool) -> None:
    """Move the sandbox's clock by DURATION (90s, 15m, 24h, 30d), and mine six blocks so that the chain's time follows.

    A worker whose PINNING_CLOCK_OFFSET_FILE names the sandbox's file moves along.

    \b
    Example:
      pinning-worker sandbox move-time 30d
    """
    seconds = _seconds(duration)

    async def move(control: SandboxControl) -> int:
        offset = await control.move_time(seconds)
        await control.mine(_BLOCKS_THAT_MOVE_THE_MEDIAN)
        return offset

    offset = _tell(directory, move)
    _say(as_json, {"clockOffset": offset}, f"{offset} seconds ahead since its start")


@sandbox.command()
@json_option
@click.pass_obj
def info(directory: Path, as_json: bool) -> None:
    """Show a running sandbox: its servers, wallet, height, clock.

    \b
    Example:
      pinning-worker sandbox info --json | jq .height
    """
    told = _tell(directory, lambda control: control.info())
    shown = {
        "electrum": told.electrum_urls,
        "address": told.address,
        "balance": told.balance.amount,
        "height": told.height,
        "clockOffset": told.clock_offset,
        "clockOffsetFile": told.clock_offset_file,
    }
    lines = (*told.electrum_urls.values(), *(f"{key:<16} {shown[key]}" for key in list(shown)[1:]))
    _say(as_json, shown, *lines)


_BLOCKS_THAT_MOVE_THE_MEDIAN = 6


def _start(directory: Path) -> None:
    network = os.environ.get("PINNING_NETWORK", REGTEST)
    if network != REGTEST:
        raise Told(f"PINNING_NETWORK is {network}: a sandbox is {REGTEST} only", ExitCode.CONFIGURATION)

    import trio

    from pinning_worker.sandbox.control import serve_sandbox
    from pinning_worker.sandbox.directory import DirectoryHeld, DirectoryRefused
    from pinning_worker.sandbox.electrumx import ElectrumXFailed

    outcomes: dict[type[Exception], ExitCode] = {
        DirectoryHeld: ExitCode.IN_USE,
        DirectoryRefused: ExitCode.CONFIGURATION,
        ElectrumXFailed: ExitCode.UNAVAILABLE,
        PermissionError: ExitCode.UNAVAILABLE,
    }
    with telling(outcomes):
        trio.run(serve_sandbox, directory, click.echo)


def _tell(directory: Path, order: Callable[[SandboxControl], Awaitable[Result]]) -> Result:
    """Raises Told."""
    import trio

    from pinning_worker.sandbox.control import SandboxControl
    from pinning_worker.sandbox.rejected import Rejected
    from pinning_worker.sandbox.rpc_client import SandboxUnreachable

    try:
        control = SandboxControl.in_directory(directory)
    except FileNotFoundError:
        raise Told(
            f"no sandbox runs in {directory}: start one with `pinning-worker sandbox`", ExitCode.UNAVAILABLE
        ) from None

    async def give() -> Result:
        return await order(control)

    with telling({Rejected: ExitCode.REFUSED, SandboxUnreachable: ExitCode.UNAVAILABLE}):
        return trio.run(give)


def _seconds(duration: str) -> int:
    from datetime import timedelta

    from pinning_worker.settings.values import as_duration

    backwards = duration.startswith("-")
    try:
        meant = as_duration(duration.removeprefix("-"))
    except ValueError as error:
        raise click.BadParameter(f"{duration} {error}", param_hint="DURATION") from None
    assert isinstance(meant, timedelta)
    return int(meant.total_seconds()) * (-1 if backwards else 1)


def _say(as_json: bool, data: dict[str, Any], *lines: str) -> None:
    if as_json:
        say_json(data)
        return
    for line in lines:
        click.echo(line)
