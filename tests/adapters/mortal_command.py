"""A command that dies by SIGKILL just before it renames a file for the N-th time.

    python -m tests.adapters.mortal_command N restore /srv/backup

The steps from one whole state to the next are renames (`os.replace`), and take a moment that a random kill hardly hits.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from typing import Any

from pinning_worker.cli import main

real_replace = os.replace


def die_at(number: int) -> None:
    numbers = count(1)

    def replace(source: Any, target: Any) -> None:
        if next(numbers) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        real_replace(source, target)

    os.replace = replace  # type: ignore[assignment]  # the keyword arguments are used by nobody here


if __name__ == "__main__":
    die_at(int(sys.argv[1]))
    main(sys.argv[2:])
