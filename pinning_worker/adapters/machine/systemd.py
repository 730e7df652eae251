"""Notifies systemd: ready, stopping, and that the loop still turns. Does nothing without systemd.

The protocol is one datagram of `NAME=value` lines to the unix socket in $NOTIFY_SOCKET; an address that begins with @
is abstract (sd_notify(3)). `watch` pings twice per $WATCHDOG_USEC from inside the trio loop: a loop that hangs stops
pinging, and systemd kills and restarts the worker.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
import trio
from trio_typing import TaskStatus

LONGEST_STATUS = 1000  # characters

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Systemd:
    """`address` is that of the notify socket, or None; after `watchdog_seconds` of silence systemd restarts the worker
    (None: no watchdog)."""

    address: str | None = None
    watchdog_seconds: float | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Systemd:
        told = os.environ if environ is None else environ
        usec, pid = told.get("WATCHDOG_USEC", ""), told.get("WATCHDOG_PID", str(os.getpid()))
        watched = usec.isdigit() and int(usec) > 0 and pid == str(os.getpid())
        return cls(told.get("NOTIFY_SOCKET") or None, int(usec) / 1_000_000 if watched else None)

    def ready(self, status: str) -> None:
        """Reports that everything has started; `systemctl status` shows `status`."""
        self._tell(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """Sets the line that `systemctl status` shows from now on."""
        self._tell(f"STATUS={' '.join(text.split())[:LONGEST_STATUS]}")

    def stopping(self) -> None:
        self._tell("STOPPING=1\nSTATUS=draining")

    async def watch(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pings the watchdog until cancelled; returns at once if systemd has not asked for it."""
        task_status.started()
        if self.watchdog_seconds is None:
            return
        while True:
            self._tell("WATCHDOG=1")
            await trio.sleep(self.watchdog_seconds / 2)

    def _tell(self, lines: str) -> None:
        """Never blocks and never raises: a deaf systemd is no reason to stop serving."""
        if self.address is None:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                notify.setblocking(False)
                notify.sendto(lines.encode(), address)
        except OSError as error:
            log.warning("systemd.not_told", error=str(error))
