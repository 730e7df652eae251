"""Every cure is wired in, says whether upstream knows, and declares its order where order matters."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from pinning_worker.adapters.p2p import cures
from pinning_worker.adapters.p2p.cures.once import replaced

FOLDER = Path(cures.__file__).parent
FILES = {
    str(file.relative_to(FOLDER).with_suffix("")): file for file in FOLDER.glob("*/*.py") if file.stem != "__init__"
}
NEEDS_AIORTC = importlib.util.find_spec("aiortc") is None


def paths(modules: tuple[ModuleType, ...]) -> set[str]:
    return {"/".join(module.__name__.split(".")[-2:]) for module in modules}


def test_every_cure_in_the_folder_is_in_the_list() -> None:
    assert len(set(cures.ALL)) == len(cures.ALL)
    assert paths(cures.ALL) == {path for path in FILES if not path.startswith("webrtc/")}


@pytest.mark.skipif(NEEDS_AIORTC, reason="the extra [webrtc] is not installed")
def test_every_cure_of_webrtc_is_in_its_list() -> None:
    assert paths(cures.webrtc_cures()) == {path for path in FILES if path.startswith("webrtc/")}


@pytest.mark.parametrize("path", FILES)
def test_each_says_whether_upstream_knows(path: str) -> None:
    told = ast.get_docstring(ast.parse(FILES[path].read_text())) or ""
    assert any(line.startswith("Upstream: ") for line in told.splitlines())


def earlier(cure: ModuleType) -> set[ModuleType]:
    """All that its AFTER names, and theirs."""
    named: tuple[ModuleType, ...] = getattr(cure, "AFTER", ())
    return set(named).union(*map(earlier, named))


def undeclared() -> list[str]:
    """Pairs of cures that replace one method, of which neither names the other. In a process of its own: mends all."""
    cures.mend_all()
    if not NEEDS_AIORTC:
        cures.mend_webrtc()
    told = list[str]()
    for (owner, name), modules in replaced().items():
        wrapped = [sys.modules[module] for module in modules]
        for inner, outer in pairwise(wrapped):
            if inner not in earlier(outer):
                told.append(f"{owner.__name__}.{name}: {inner.__name__}, {outer.__name__}")
    return told


def test_cures_that_replace_the_same_method_declare_their_order() -> None:
    script = "from tests.adapters.p2p.test_cures import undeclared; print(undeclared())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_each_stands_behind_those_that_it_names() -> None:
    order = cures.in_order(reversed(cures.ALL))
    assert set(order) == set(cures.ALL)
    for cure in order:
        assert all(order.index(named) < order.index(cure) for named in earlier(cure)), cure.__name__
