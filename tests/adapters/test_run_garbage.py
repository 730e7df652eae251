"""A full collection of garbage does not look through the whole program."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from pinning_worker.commands.run import set_the_program_aside

pytestmark = pytest.mark.slow  # it starts the command, again and again


@pytest.fixture
def collected_again_afterwards() -> Iterator[None]:
    yield
    gc.unfreeze()


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.mark.usefixtures("collected_again_afterwards")
def test_what_was_loaded_is_set_aside_and_what_comes_after_is_collected() -> None:
    looked_through = len(gc.get_objects())
    set_the_program_aside()
    assert len(gc.get_objects()) < looked_through / 10
    Cycle()
    assert gc.collect() >= 1
