"""Headers on disk: what a power cut can leave behind, and that nothing but our own verified headers comes back."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pinning_worker.adapters.electrum.header_file import HeaderFile, snapshot
from pinning_worker.domain.chain.anchor import start_chain
from pinning_worker.domain.chain.difficulty import work_of
from pinning_worker.domain.chain.headerchain import HeaderChain
from pinning_worker.domain.chain.headers import HEADER_SIZE, parse_header
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST, Anchor
from tests.mining import LATER, REGTEST_GENESIS, mine_many

BIN, TIP = "headers-doichain-regtest.bin", "headers-doichain-regtest.tip"


def chain_of(blocks: int) -> HeaderChain:
    chain = start_chain(DOICHAIN_REGTEST, REGTEST_GENESIS.raw)
    grow(chain, 0, blocks)
    return chain


def grow(chain: HeaderChain, fork_height: int, blocks: int, salt: int = 1) -> int:
    branch = chain.branch(fork_height)
    branch.extend(
        b"".join(header.raw for header in mine_many(chain.header_at(fork_height), blocks, salt=salt)), now=LATER
    )
    first_new = chain.adopt(branch)
    assert first_new is not None
    return first_new


def stored(directory: Path) -> HeaderFile:
    return HeaderFile(directory, DOICHAIN_REGTEST)


def loaded_tip(directory: Path) -> str | None:
    chain = stored(directory).load()
    return chain.tip().hash if chain else None


def test_nothing_is_stored_at_first(tmp_path: Path) -> None:
    assert stored(tmp_path).load() is None


def test_what_is_stored_comes_back_with_its_work(tmp_path: Path) -> None:
    chain = chain_of(20)
    stored(tmp_path).save(snapshot(chain, 0))
    again = stored(tmp_path).load()
    assert again is not None
    assert (again.tip(), again.work, again.base_height) == (chain.tip(), chain.work, 0)
    assert (tmp_path / BIN).read_bytes() == chain.raw_from(0)


def test_work_of_more_than_64_bits_comes_back(tmp_path: Path) -> None:
    """Three headers as hard as Bitcoin's; what was verified once is not asked for its work again."""
    headers = [REGTEST_GENESIS]
    for _ in range(3):
        fields = struct.pack("<i32s32sIII", 4, headers[-1].hash, bytes(32), headers[-1].time + 1, 0x1701F0CC, 0)
        headers.append(parse_header(fields))
    network = replace(DOICHAIN_REGTEST, anchor=Anchor(0, REGTEST_GENESIS.hash[::-1].hex()))
    chain = HeaderChain(network, 0, b"".join(header.raw for header in headers), sum(work_of(h.bits) for h in headers))
    HeaderFile(tmp_path, network).save(snapshot(chain, 0))
    again = HeaderFile(tmp_path, network).load()
    assert again is not None
    assert again.work == chain.work > 1 << 64


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    chain, file = chain_of(20), stored(tmp_path)
    file.save(snapshot(chain, 0))
    first_new = grow(chain, 20, 3)
    change = snapshot(chain, first_new)
    assert len(change.headers) == 3 * HEADER_SIZE
    file.save(change)
    assert loaded_tip(tmp_path) == chain.tip().hash


def test_a_reorg_replaces_and_cuts_off(tmp_path: Path) -> None:
    chain, file = chain_of(20), stored(tmp_path)
    file.save(snapshot(chain, 0))
    file.save(snapshot(chain, grow(chain, 12, 9, salt=2)))
    assert loaded_tip(tmp_path) == chain.tip().hash
    assert (tmp_path / BIN).stat().st_size == 22 * HEADER_SIZE


class PowerCut(BaseException):
    """Nothing after this moment happens."""


@pytest.mark.parametrize("reorg", [False, True], ids=["append", "reorg"])
def test_a_power_cut_at_any_moment_leaves_a_chain_that_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reorg: bool
) -> None:
    """Every sync and rename of a save is once the last thing that happens; and of the bytes that were written but not
    synced, any number may have reached the disk."""
    chain = chain_of(20)
    stored(tmp_path).save(snapshot(chain, 0))
    old_tip = chain.tip().hash
    change = snapshot(chain, grow(chain, 12 if reorg else 20, 12, salt=2))
    fork, new_tip = chain.hash_at(12), chain.tip().hash
    allowed = {old_tip, fork, new_tip} if reorg else {old_tip, new_tip}

    seen: set[str | None] = set()
    moment, finished = 0, False
    while not finished:
        directory = tmp_path / f"cut-{moment}"
        shutil.copytree(tmp_path, directory, ignore=shutil.ignore_patterns("cut-*"))
        with monkeypatch.context() as patch:
            cut_power_after(patch, moment)
            try:
                stored(directory).save(change)
                finished = True
            except PowerCut:
                pass
        for torn in (0, 1, HEADER_SIZE, 5 * HEADER_SIZE + 3):
            if not finished and torn and not tear(directory, torn):
                continue
            seen.add(loaded_tip(directory))
        moment += 1
    assert moment > 3
    assert seen <= allowed
    assert new_tip in seen


def cut_power_after(patch: pytest.MonkeyPatch, moments: int) -> None:
    left = iter(range(moments))

    def or_cut(call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object) -> object:
            if next(left, None) is None:
                raise PowerCut
            return call(*arguments)

        return wrapped

    patch.setattr(os, "fsync", or_cut(os.fsync))
    patch.setattr(Path, "replace", or_cut(Path.replace))


def tear(directory: Path, count: int) -> bool:
    """Takes the last bytes of the headers away, if nothing that counts is among them."""
    size = (directory / BIN).stat().st_size
    fields = json.loads((directory / TIP).read_text())
    safe = (fields["height"] - fields["base"] + 1) * HEADER_SIZE
    if size - count < safe:
        return False
    with (directory / BIN).open("r+b") as file:
        file.truncate(size - count)
    return True


def test_what_lies_above_the_tip_is_cut_off_by_the_next_save(tmp_path: Path) -> None:
    chain, file = chain_of(20), stored(tmp_path)
    file.save(snapshot(chain, 0))
    with (tmp_path / BIN).open("ab") as headers:
        headers.write(b"\xee" * 1000)
    assert loaded_tip(tmp_path) == chain.tip().hash
    file.save(snapshot(chain, grow(chain, 20, 1)))
    assert (tmp_path / BIN).stat().st_size == 22 * HEADER_SIZE


@pytest.mark.parametrize(
    "spoil",
    [
        lambda directory: (directory / BIN).unlink(),
        lambda directory: (directory / BIN).write_bytes((directory / BIN).read_bytes()[:-1]),
        lambda directory: (directory / BIN).write_bytes((directory / BIN).read_bytes()[HEADER_SIZE:]),
        lambda directory: (directory / BIN).write_bytes(b""),
        lambda directory: (directory / TIP).write_text(""),
        lambda directory: (directory / TIP).write_text("[]"),
        lambda directory: (directory / TIP).write_text('{"base": 0}'),
        lambda directory: (directory / TIP).write_text('{"base": 0, "height": -5, "hash": "", "work": "0x0"}'),
        lambda directory: (directory / TIP).write_bytes(b"\xff"),
        lambda directory: change_tip(directory, height=19),
        lambda directory: change_tip(directory, work="0x1"),
        lambda directory: change_tip(directory, base=1),
        lambda directory: change_tip(directory, hash="00" * 32),
    ],
)
def test_a_spoilt_file_is_not_believed_and_can_be_written_over(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    chain, file = chain_of(20), stored(tmp_path)
    file.save(snapshot(chain, 0))
    spoil(tmp_path)
    assert file.load() is None
    file.save(snapshot(chain, 0))
    assert loaded_tip(tmp_path) == chain.tip().hash


def change_tip(directory: Path, **fields: object) -> None:
    (directory / TIP).write_text(json.dumps(json.loads((directory / TIP).read_text()) | fields))


def test_a_chain_of_another_network_is_another_file(tmp_path: Path) -> None:
    stored(tmp_path).save(snapshot(chain_of(3), 0))
    assert HeaderFile(tmp_path, replace(DOICHAIN_REGTEST, name="doichain-test")).load() is None
