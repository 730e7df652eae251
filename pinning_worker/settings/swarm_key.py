"""The swarm key, which makes the worker's network a private one: read from the setting's file.

A systemd credential of that name is the file itself, as for every name in FILE_FIELDS (`sources.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pinning_worker.domain.swarm_key import BadSwarmKey, decode_swarm_key, unprotected

SWARM_KEY_NAME = "swarm.key"
_LARGEST_FILE = 4096


def read_swarm_key(path: Path) -> bytes:
    """The 32 bytes. Raises ValueError (the rest of a sentence that begins with the setting's name)."""
    try:
        with path.open("rb") as file:
            return decode_swarm_key(file.read(_LARGEST_FILE))
    except OSError as error:
        raise ValueError(f"names {path}, which cannot be read: {error.strerror}") from None
    except BadSwarmKey as error:
        raise ValueError(f"names {path}, which {error}") from None


def swarm_key_file(data_dir: Path | None, named: Path | None) -> Path | None:
    """The file in the setting, else the one that `peers import` put into the data directory, else None."""
    if named is not None or data_dir is None:
        return named
    own = data_dir / SWARM_KEY_NAME
    return own if os.path.exists(own) else None  # not Path.exists, which raises for an unreadable folder


def refuse_unprotected(listen: Iterable[str], key_file: Path) -> None:
    """Raises ValueError if one of the addresses would admit peers without the key."""
    for address in listen:
        if unprotected(address):
            raise ValueError(
                f"has {address}, but {key_file} makes this network a private one: webrtc-direct and QUIC take no swarm "
                "key, so anybody could come in there. Take away one of the two"
            )
