"""The sources of values: the environment, then `.env`, then systemd credentials. The first value wins.

An empty value does not count. A name that begins with PINNING_ and is no setting is a mistake with consequences (a
price that is not applied), so it is refused, with the nearest known name. `.env` is read as systemd reads an
EnvironmentFile=: without interpolation, so that a `$` in a password stays one. A credential is a file in
$CREDENTIALS_DIRECTORY (systemd's LoadCredential=) with the name of the setting; if a setting names a file that is
itself the secret (FILE_FIELDS), the credential is that file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dotenv.parser import parse_stream

from pinning_worker.settings.fields import FILE_FIELDS, PREFIX, Settings
from pinning_worker.settings.older_names import OLDER_NAMES, translated
from pinning_worker.settings.profiles import PROFILES

KNOWN_NAMES = tuple(PREFIX + field.upper() for field in Settings.model_fields)


@dataclass(frozen=True, slots=True)
class Origin:
    """The text of a value and its place. The text may be a secret."""

    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Sources:
    """`found`: by the setting's full name. `problems`: unreadable sources and unknown names."""

    found: dict[str, Origin]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()  # about names of older deployments


def read_sources(environ: Mapping[str, str], env_file: Path | None) -> Sources:
    """Reads all sources; `env_file` may be missing. Raises nothing: all faults are in `problems`."""
    found: dict[str, Origin] = {}
    older: dict[str, Origin] = {}
    problems: list[str] = []
    for name, origin in (
        *_environment(environ),
        *_env_file(env_file, problems),
        *_credentials(environ.get("CREDENTIALS_DIRECTORY"), problems),
    ):
        if name in OLDER_NAMES and origin.text:
            older.setdefault(name, origin)
        if not name.upper().startswith(PREFIX):
            continue
        if name not in KNOWN_NAMES:
            problems.append(_unknown(name, origin.where))
        elif origin.text:
            found.setdefault(name, origin)
    notes = [_take_older(name, origin, found, problems) for name, origin in older.items()]
    _take_profile(found)
    return Sources(found, tuple(problems), tuple(filter(None, notes)))


def _take_older(name: str, origin: Origin, found: dict[str, Origin], problems: list[str]) -> str:
    """The note with our name for it; empty when it is a problem."""
    ours, met = OLDER_NAMES[name], f"{name}={origin.text} (in {origin.where})"
    try:
        value = translated(name, origin.text)
    except ValueError as error:
        problems.append(f"{name} {error} (it is {origin.text!r}, in {origin.where}); its name here is {ours}")
        return ""
    if value is None:
        return f"{met} is of an older deployment and changes nothing here; the setting is {ours}"
    if ours in found:
        return f"{met} is of an older deployment and was not taken, because {ours} is set: take it away"
    found[ours] = Origin(value, f"{origin.where}, as {name}")
    return f"{met} is of an older deployment and was taken as {ours}={value}: write that instead"


def _take_profile(found: dict[str, Origin]) -> None:
    """Adds the profile's defaults. An unknown profile adds none; the check of its field refuses it."""
    profile = found.get(f"{PREFIX}PROFILE")
    if profile is not None:
        for name, text in PROFILES.get(profile.text, {}).items():
            found.setdefault(name, Origin(text, f"profile {profile.text}"))


def _environment(environ: Mapping[str, str]) -> Iterator[tuple[str, Origin]]:
    for name, text in environ.items():
        yield name, Origin(text.strip(), "the environment")


def _env_file(path: Path | None, problems: list[str]) -> Iterator[tuple[str, Origin]]:
    text = _read(path, problems) if path is not None else None
    if text is None:
        return
    seen: dict[str, int] = {}
    for binding in parse_stream(io.StringIO(text)):
        line = binding.original.line + _leading_newlines(binding.original.string)
        if binding.error or (binding.key is not None and binding.value is None):
            problems.append(f"{path} line {line} cannot be read: a line is NAME=value, or a comment after #")
        elif binding.key is not None and binding.value is not None:
            if binding.key in seen and binding.key.startswith(PREFIX):
                problems.append(f"{binding.key} stands twice in {path}, lines {seen[binding.key]} and {line}: keep one")
            seen[binding.key] = line
            yield binding.key, Origin(binding.value.strip(), f"{path} line {line}")


def _leading_newlines(text: str) -> int:
    return text[: len(text) - len(text.lstrip())].count("\n")


def _credentials(directory: str | None, problems: list[str]) -> Iterator[tuple[str, Origin]]:
    if not directory:
        return
    try:
        files = sorted(Path(directory).iterdir())
    except OSError as error:
        problems.append(f"the credentials directory {directory} cannot be read: {error.strerror}")
        return
    for file in files:
        if file.name.removeprefix(PREFIX).lower() in FILE_FIELDS:
            yield file.name, Origin(str(file), f"credential {file.name}")
        elif file.name.upper().startswith(PREFIX) and (text := _read(file, problems)) is not None:
            yield file.name, Origin(text.strip(), f"credential {file.name}")


def _read(path: Path, problems: list[str]) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        problems.append(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8")
    return None


def _unknown(name: str, where: str) -> str:
    return f"{name} is not a setting (in {where}): did you mean {_nearest(name)}?"


def _nearest(name: str) -> str:
    """The nearest known name, by the part after the prefix; a name that contains it, or is contained, comes first."""
    own = name.upper().removeprefix(PREFIX)
    names = [known.removeprefix(PREFIX) for known in KNOWN_NAMES]
    related = [known for known in names if own and (own in known or known in own)]
    return PREFIX + get_close_matches(own, related or names, n=1, cutoff=0)[0]
