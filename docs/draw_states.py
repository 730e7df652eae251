"""Draws the state table into the page beside this file: `make states`."""

import re
from pathlib import Path

from pinning_worker.domain.pin import Event, drawing

PAGE = Path(__file__).with_name("states.md")
_DRAWINGS = re.compile(r"```mermaid\n.*?```", re.DOTALL)


def redrawn(page: str) -> str:
    """The page with its two drawings, requests first, as the table has them now."""
    lanes = iter((Event.ASKED, Event.SEEN))
    return _DRAWINGS.sub(lambda _: f"```mermaid\n{drawing(next(lanes))}```", page)


if __name__ == "__main__":
    PAGE.write_text(redrawn(PAGE.read_text("utf-8")), "utf-8")
