"""A setting's value as one would write it into `.env`, with any password masked: for people and logs."""

from __future__ import annotations

import re
from datetime import timedelta

from pinning_worker.domain.chain.networks import PinnedBlock
from pinning_worker.domain.money.swartz import Swartz
from pinning_worker.settings.fields import PREFIX, StoreSettings

_PASSWORD_IN_URL = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)")
_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


def spell(settings: StoreSettings) -> dict[str, str]:
    """The spelled values by full name. Reading them again gives equal settings (but for a masked password)."""
    return {PREFIX + field.upper(): mask(_text(getattr(settings, field))) for field in type(settings).model_fields}


def mask(text: str) -> str:
    """Replaces the password of any URL in the text: `scheme://user:***@host`."""
    return _PASSWORD_IN_URL.sub(r"\1***", text)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case tuple():
            return ",".join(str(item) for item in value)
        case Swartz():
            return str(value.amount)
        case PinnedBlock():
            return f"{value.height}:{value.block_hash}"
        case timedelta():
            return _duration(value)
        case _:
            return str(value)


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    for unit, size in _UNITS:
        if seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"
