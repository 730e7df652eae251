"""The peers from `peers import`: `bootstrap.peers` in the data directory, a multiaddr a line, # for comments.

The worker dials them besides those of PINNING_BOOTSTRAP. The operator may edit the file by hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pinning_worker.settings.values import check_bootstrap

FILE_NAME = "bootstrap.peers"
_HEAD = (
    "# Peers that `pinning-worker peers import` brought; the worker stays connected with them. A line may be deleted.\n"
)


def read_imported(data_dir: Path) -> tuple[str, ...]:
    """The addresses in the file. Raises ValueError (the rest of a sentence that begins with PINNING_BOOTSTRAP)."""
    path = data_dir / FILE_NAME
    try:
        lines = path.read_text("utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):  # the data directory's own check reports the second
        return ()
    except UnicodeDecodeError:
        raise ValueError(f"is completed by {path}, which is not UTF-8") from None
    except OSError as error:
        raise ValueError(f"is completed by {path}, which cannot be read: {error.strerror}") from None
    found = [text for line in lines if (text := line.partition("#")[0].strip())]
    for address in found:
        try:
            check_bootstrap(address)
        except ValueError as error:
            raise ValueError(f"is completed by {path}, which {error}") from None
    return tuple(found)


def written(addresses: Iterable[str]) -> bytes:
    """The file's content."""
    return (_HEAD + "".join(f"{address}\n" for address in addresses)).encode()
