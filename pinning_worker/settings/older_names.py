"""The environment names of older deployments, accepted for ours. A note names the present setting for each.

    ENABLE_CIRCUIT_RELAY    true: PINNING_RELAY=on, false: PINNING_RELAY=off
    IPFS_PROFILE            server or lowpower: PINNING_PROFILE; Kubo's other profiles have no meaning here
    IPFS_BOOTSTRAP_REMOVE   true: PINNING_BOOTSTRAP=none; false: nothing

`false` is false, and so are no, off and 0. Our own name wins wherever it stands.
"""

from __future__ import annotations

_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
_PROFILES = ("server", "lowpower")
OLDER_NAMES = {
    "ENABLE_CIRCUIT_RELAY": "PINNING_RELAY",
    "IPFS_PROFILE": "PINNING_PROFILE",
    "IPFS_BOOTSTRAP_REMOVE": "PINNING_BOOTSTRAP",
}


def translated(name: str, text: str) -> str | None:
    """The value for OLDER_NAMES[name]; None: no effect here. Raises ValueError, whose text ends a sentence."""
    if name == "IPFS_PROFILE":
        return next((profile for profile in _PROFILES if profile in text.lower().replace(",", " ").split()), None)
    said = text.lower()
    if said not in _TRUE | _FALSE:
        raise ValueError("must be true or false")
    if name == "ENABLE_CIRCUIT_RELAY":
        return "on" if said in _TRUE else "off"
    return "none" if said in _TRUE else None
