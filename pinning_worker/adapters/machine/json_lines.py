"""Files of one JSON object a line, which outlive the database; and small files of one JSON object.

They are read like a stranger's files: a bad line costs only that line, and a bad file raises one exception of ours.
Before a line is appended, a line that a power cut shortened is ended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import structlog

from pinning_worker.adapters.machine.disk_faults import trouble_of
from pinning_worker.domain.money.swartz import Swartz

Row = TypeVar("Row")
LONGEST = 64 * 1024  # bytes of a small file, at most
_END_BYTES = 1024 * 1024  # of a long one, searched for the newest line
# Raised when JSON of unknown origin does not fit a type of ours; errors of the disk come on top.
UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError, AttributeError)

log = structlog.get_logger(__name__)


def line_of(values: Mapping[str, object]) -> bytes:
    return json.dumps(values, ensure_ascii=True).encode() + b"\n"


def append_lines(file: Path, rows: Iterable[Mapping[str, object]], *, sync: bool = False) -> None:
    """Raises OSError; the file may then end with half a line."""
    lines = b"".join(map(line_of, rows))
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        cut_short = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        rest = memoryview(b"\n" + lines if cut_short else lines)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def note_lines(file: Path, rows: Iterable[Mapping[str, object]], *, sync: bool = False) -> None:
    """`append_lines` for a journal beside the books. Raises Trouble."""
    try:
        append_lines(file, rows, sync=sync)
    except OSError as error:
        raise trouble_of(f"{file} cannot be written", error) from error


def read_lines(file: Path, read: Callable[[dict[str, Any]], Row]) -> Iterator[Row]:
    """Yields one row after the other; none if the file is missing. Raises Trouble."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    yield read(json.loads(line))
                except UNREADABLE as error:
                    log.warning("receipts.line_skipped", file=str(file), line=number, why=repr(error)[:200])
    except FileNotFoundError:
        return
    except OSError as error:
        raise trouble_of(f"{file} cannot be read", error) from error


def read_newest(file: Path, read: Callable[[dict[str, Any]], Row]) -> Row | None:
    """The last readable row, or None if there is none. Of a long file it reads only the end first. Raises Trouble."""
    try:
        with file.open("rb") as lines:
            begin = max(0, lines.seek(0, os.SEEK_END) - _END_BYTES)
            lines.seek(begin)
            end = lines.read().splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise trouble_of(f"{file} cannot be read", error) from error
    for line in reversed(end[1:] if begin else end):
        with suppress(*UNREADABLE):
            return read(json.loads(line))
    return next(reversed(list(read_lines(file, read))), None) if begin else None


def read_object(file: Path) -> dict[str, Any] | None:
    """None if the file is missing. Raises OSError, and ValueError for anything else that is wrong with it."""
    try:
        with file.open("rb") as opened:
            data = opened.read(LONGEST + 1)
    except FileNotFoundError:
        return None
    if len(data) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("is no JSON object")  # noqa: TRY004  # whatever is wrong with it is one kind of error
    return found


def whole_number(value: object) -> int:
    """Checks a number from a file. Raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise ValueError(f"has {str(value)[:40]!r} where a number should be")
    return value


def plain(value: object) -> object:
    """Converts a value for JSON."""
    match value:
        case Swartz():
            return value.amount
        case datetime():
            return value.isoformat()
        case _:
            return value
