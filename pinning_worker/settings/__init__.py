"""Typed settings: what an operator may decide, where it is read from, and what is refused before anything starts.

    fields.py    every setting, its default, its check; one class for the store's place, one for the whole worker
    values.py    how a value is written: lists, sizes, durations, amounts, addresses of machines
    sources.py   where values come from: the environment, `.env`, systemd credentials; unknown names are refused
    denylist.py  the file of CIDs that are never fetched
    swarm_key.py the key of a private network
    imported_peers.py  the peers that `peers import` brought
    profiles.py  other defaults, for large and small machines
    older_names.py  the environment names of older deployments
    spelling.py  a setting as one would write it, secrets masked
    advice.py    what is allowed and still deserves a warning

Rules: the classes read nothing by themselves (a test that builds `Settings(...)` gets what it wrote), `load` reads the
three sources, all that is wrong is said at once, each with its mend, and no secret is ever part of a message.
Read by the command line and the daemon only: everything else is handed plain values.
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
