"""The output of `ask` for each step, for a person or as JSON lines.

Answers go to standard output, the progress of the fetch to standard error: on a terminal as one line that is
overwritten, else as lines. Texts of the worker are printed without control characters: it is a stranger's text on an
operator's terminal, and people copy the command to pay.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pinning_worker.domain.content.cid import Cid
    from pinning_worker.domain.topic.following import Offer, Step

REGTEST = "doichain-regtest"
BAR = 24


@dataclass
class Shown:
    """`size`: bytes of the served file, None for a bare CID. `sandbox`: the directory of one."""

    cid: Cid
    as_json: bool
    size: int | None = None
    name: str = "ask/1"
    sandbox: Path | None = None
    terminal: bool = False
    _open_line: bool = False

    def step(self, step: Step) -> None:
        from pinning_worker.domain.topic.following import Fetching, Kept

        if isinstance(step, Kept):
            self.name = step.name  # a payment under this name extends the term; another would begin a second one
        if self.as_json:
            click.echo(json_line(step))
        elif isinstance(step, Fetching):
            self._progress(progress(step.blocks, step.size, self.size))
        else:
            self._say(lines(step, self.cid, self.name, self.sandbox))

    def note(self, text: str) -> None:
        """Prints a note about our own actions."""
        self._end_line()
        click.echo(text, err=True)

    def _say(self, told: Iterable[str]) -> None:
        self._end_line()
        for line in told:
            click.echo(plain(line))

    def _progress(self, text: str) -> None:
        if not self.terminal:
            click.echo(text, err=True)
            return
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)
        self._open_line = True

    def _end_line(self) -> None:
        if self._open_line:
            click.echo(err=True)
            self._open_line = False


def progress(blocks: int, size: int, whole: int | None) -> str:
    """`fetching [######------] 1.5 MB of 3 MB, 2 blocks`"""
    from pinning_worker.domain.content.sizes import human_size

    counted = f"{human_size(size)}, {blocks} blocks"
    if not whole:
        return f"fetching {counted}"
    full = min(BAR, BAR * size // whole)
    return f"fetching [{'#' * full}{'-' * (BAR - full)}] {human_size(size)} of {human_size(whole)}, {blocks} blocks"


def lines(step: Step, cid: Cid, name: str, sandbox: Path | None) -> list[str]:
    from pinning_worker.domain.topic.following import Audited, Fetching, Gone, Kept, Offer, Pinned, Refused, Seen, Short

    match step:
        case Offer():
            return offer_lines(step, cid, name, sandbox)
        case Kept(kept, until):
            return [f"kept already, as {kept} until {until}; what follows is the offer to keep it longer"]
        case Seen():
            return [f"payment seen: {step.txid} for {step.name}, {step.confirmations} of {step.needed} confirmations"]
        case Short():
            return [f"paid too little: {step.received}; {step.missing} are missing, under the same name {step.name}"]
        case Gone(_, txid):
            return [f"payment gone: {txid} left the mempool without a block, or was double spent"]
        case Audited(receipt):
            signed = [f"receipt: {receipt}, a block of the worker's (docs/receipts.md)"] if receipt is not None else []
            return ["added: every block is on the worker's disk, and its hash is right", *signed]
        case Pinned(pinned, until):
            return [f"pinned as {pinned} until {until}"]
        case Refused(code, message, again_after):
            again = f" (again in {again_after} s)" if again_after is not None else ""
            return [f"{code}: {message}{again}"]
        case Fetching():
            return [progress(step.blocks, step.size, None)]


def offer_lines(offer: Offer, cid: Cid, name: str, sandbox: Path | None) -> list[str]:
    from pinning_worker.domain.content.sizes import human_size
    from pinning_worker.domain.topic.following import NAME_AMOUNT, USUAL_NETWORK_FEE

    foreign = [f"not kept     {link}" for link in offer.foreign]
    return [
        f"amount       {offer.amount} ({offer.amount.amount} swartz)",
        f"for          {offer.months} months, {human_size(offer.size)} in {offer.blocks} blocks",
        f"address      {offer.address} ({offer.network})",
        f"name value   ipfs://{cid}",
        f"besides      {NAME_AMOUNT} for the name, which stay yours in it; about {USUAL_NETWORK_FEE} network fee",
        f"until        {offer.expires}, quote {offer.quote}",
        *foreign,
        *how_to_pay(offer, cid, name, sandbox),
    ]


def how_to_pay(offer: Offer, cid: Cid, name: str, sandbox: Path | None) -> list[str]:
    if offer.network != REGTEST:
        return ["to pay: one transaction that writes the name and pays the address (docs/protocol.md, The payment)"]
    there = f"pinning-worker sandbox{'' if sandbox is None else f' --dir {shlex.quote(str(sandbox))}'}"
    pay = shlex.join([offer.address, str(offer.amount.amount), name, str(cid)])
    return ["to pay, from another terminal:", f"  {there} pay {pay}", f"  {there} mine 6"]


def json_line(step: Step) -> str:
    """`{"step":"offer","amount":…}`"""
    said = {key: value["amount"] if isinstance(value, dict) else value for key, value in asdict(step).items()}
    return json.dumps({"step": type(step).__name__.lower(), **said}, separators=(",", ":"))


def plain(text: str) -> str:
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
