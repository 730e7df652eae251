"""Where Node 22 is, and what happens to a test that needs it where it is not.

Helia 7 needs Node 22 or newer. One comes from npm as a package, locked beside the JavaScript parts
(`node/package.json`), so any Node with an npm can set everything up: `make node`.
`pytestmark = needs_node` skips a file's tests without it and says how to get it; in CI every skip is a failure
(tests/conftest.py).
"""

import shutil
import subprocess
from pathlib import Path

import pytest

NODE_PROJECT = Path(__file__).resolve().parent / "node"
OLDEST_MAJOR = 22
HOW_TO_GET_IT = f"no Node {OLDEST_MAJOR} with the packages of tests/interop/node: run `make node`"


def node_binary() -> Path | None:
    """A Node that is new enough, with the packages installed: npm's own, else the system's; None when there is none."""
    if not (NODE_PROJECT / "node_modules/.package-lock.json").exists():
        return None
    for installed in NODE_PROJECT.glob("node_modules/node-linux-*/bin/node"):
        return installed
    on_path = shutil.which("node")
    return Path(on_path) if on_path and _major(on_path) >= OLDEST_MAJOR else None


def _major(node: str) -> int:
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    return int(version.removeprefix("v").split(".")[0])


needs_node = pytest.mark.skipif(node_binary() is None, reason=HOW_TO_GET_IT)
