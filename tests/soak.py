"""How long a random test goes on: a short form in `make test`, a long one, of hours, in `make soak` (SOAK=1).

The seeds of the short form are the first of the long one's, so a failure of either is found again by its seed.
"""

import os

IS_SOAK = os.environ.get("SOAK") == "1"


def rounds(short: int, soak: int) -> int:
    return soak if IS_SOAK else short
