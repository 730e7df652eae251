"""Typed settings: the operator's decisions, their sources, and the checks before anything starts.

    fields.py    every setting, its default, its check; one class for the store's place, one for the whole worker
    values.py    the spelling of values: lists, sizes, durations, amounts, addresses of machines
    sources.py   the sources: environment, `.env`, systemd credentials; unknown names are refused
    denylist.py  the file of CIDs that are never fetched
    swarm_key.py the key of a private network
    imported_peers.py  the peers from `peers import`
    profiles.py  other defaults, for large and small machines
    older_names.py  the environment names of older deployments
    spelling.py  a setting as one would write it, secrets masked
    advice.py    warnings about allowed values

Rules: the classes read no source by themselves (a test that builds `Settings(...)` gets what it wrote); `load` reads
the three sources. One error lists every fault, each with its remedy; no secret is ever part of a message.
Only the command line, the daemon and `wiring/` read settings: everything else receives plain values, by the name of the
setting.
"""

from pinning_worker.settings.advice import advice
from pinning_worker.settings.fields import PREFIX, PeerSettings, Settings, StoreSettings
from pinning_worker.settings.load import Refused, load
from pinning_worker.settings.sources import Origin, Sources, read_sources
from pinning_worker.settings.spelling import mask, spell

__all__ = [
    "PREFIX",
    "Origin",
    "PeerSettings",
    "Refused",
    "Settings",
    "Sources",
    "StoreSettings",
    "advice",
    "load",
    "mask",
    "read_sources",
    "spell",
]
