"""What a test can hold of docs and style: live links and paths, the list of log events, units of time.

Each finding names the place and what to do. Reads files only, in a second or two.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from pinning_worker.domain.pin import TABLE, State

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("pinning_worker", "tests", "docs", "deploy", "examples", "migrations")
OPERATING = ROOT / "docs" / "operating.md"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
ALIASES = {"log", "tell", "level"}  # a level that was chosen at run time: `tell = log.info if first else log.debug`
STATES_OF_PINS = {after for (before, _), after in TABLE.items() if before is not None} - {
    State.REQUESTED,
    State.FETCHING,
    State.QUOTED,
    State.STALLED,
    State.REFUSED,
    State.LAPSED,
}
NO_VERB = {
    "ready",  # scripts of operators wait for it
    "minute",  # a line of counters, about nothing in particular
}


# ---------------------------------------------------------------- what there is


@cache
def files() -> frozenset[str]:
    """Every file of ours, as a path from the root."""
    deep = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "node_modules" not in path.parts)
    found = [*(path for path in ROOT.iterdir()), *deep]
    return frozenset(str(path.relative_to(ROOT)) for path in found if path.is_file())


@cache
def pages() -> dict[str, str]:
    """Text of every Markdown page, by its path from the root."""
    return {name: (ROOT / name).read_text("utf-8") for name in sorted(files()) if name.endswith(".md")}


@cache
def modules() -> dict[str, ast.Module]:
    names = sorted(name for name in files() if name.startswith("pinning_worker/") and name.endswith(".py"))
    return {name: ast.parse((ROOT / name).read_text("utf-8")) for name in names}


@cache
def calls() -> tuple[tuple[str, ast.Call], ...]:
    """(module, call) of every call in the code."""
    found = ((name, node) for name, module in modules().items() for node in ast.walk(module))
    return tuple((name, node) for name, node in found if isinstance(node, ast.Call))


# ---------------------------------------------------------------- links and paths


LINK = re.compile(r"\]\([^)\s]+\)")


def anchors(page: str) -> set[str]:
    """Headings as GitHub turns them into anchors."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S), re.M)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def test_links_between_pages_lead_somewhere() -> None:
    dead = []
    for name, text in pages().items():
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
        for link in re.findall(r"\]\(([^)\s]+)\)", prose):
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            target = (ROOT / name).parent / path if path else ROOT / name
            if not target.exists():
                dead.append(f"{name}: {link}: no such file")
            elif anchor and anchor not in anchors(target.read_text("utf-8")):
                dead.append(f"{name}: {link}: no such heading")
    assert not dead, "\n".join(dead)


def test_files_that_pages_name_exist() -> None:
    """`steps/due.py` may leave out the folders before it. Placeholders (`<kind>_rows.py`) name no file."""
    dead = [
        f"{name}: `{path}` does not exist"
        for name, text in pages().items()
        for path in re.findall(r"(?<![\w<>./-])((?:[\w.-]+/)*[\w-]+\.(?:py|js|md))(?![\w/])", LINK.sub("", text))
        if not _exists(path)
    ]
    assert not dead, "\n".join(dead)


def test_files_that_comments_name_exist() -> None:
    """Docstrings and comments; paths in quotes are a test's own business, libraries name files of theirs."""
    dead = [
        f"{name}:{number}: {path} does not exist"
        for name in sorted(files())
        if name.endswith(".py")
        for number, line in enumerate((ROOT / name).read_text("utf-8").splitlines(), start=1)
        if ".py" in line and not re.search("libp2p|electrumx", line)
        for path in re.findall(r"(?<![\w<>./'\"*-])((?:[\w.-]+/)*[\w-]+\.py)\b", line)
        if not _exists(path)
    ]
    assert not dead, "\n".join(dead)


@cache
def _exists(path: str) -> bool:
    return any(file == path or file.endswith(f"/{path}") for file in files())


def test_settings_that_pages_name_exist() -> None:
    known = set(re.findall(r"PINNING_[A-Z_]+", (ROOT / ".env.example").read_text("utf-8")))
    unknown = [
        f"{name}: {setting} is not in .env.example"
        for name, text in pages().items()
        for setting in re.findall(r"PINNING_[A-Z_]+[A-Z]", text)
        if setting not in known
    ]
    assert not unknown, "\n".join(unknown)


def test_what_pages_say_to_make_can_be_made() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    unknown = [
        f"{name}: `make {target}` is no target of the Makefile"
        for name, text in pages().items()
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", text, re.M)
        if target not in targets
    ]
    assert not unknown, "\n".join(unknown)


DRAWN = {
    "imports go one way": "docs/architecture.md",
    "rooms inside the domain": "docs/architecture.md",
    "rooms inside the p2p adapter": "docs/p2p.md",
}


def test_drawn_floors_are_those_of_import_linter() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        if contract["type"] == "layers":
            page = DRAWN[contract["name"]]
            floors = "\n".join(layer.replace("pinning_worker.", "") for layer in contract["layers"])
            assert f"```\n{floors}\n```" in pages()[page], f"{page} draws other floors than pyproject.toml:\n{floors}"


# ---------------------------------------------------------------- log events


def logged() -> Iterator[tuple[str, str]]:
    """(place, event) of each line that may be logged. An event made from a pin's state gives one for each state."""
    for name, call in calls():
        place = f"{name}:{call.lineno}"
        for keyword in call.keywords:  # of a row of a table, which is logged elsewhere
            if keyword.arg == "log_event" and isinstance(keyword.value, ast.Constant):
                yield place, str(keyword.value.value)
        if not (call.args and _logs(call.func)):
            continue
        match call.args[0]:
            case ast.Constant(value=str(event)):
                yield place, event
            case ast.JoinedStr(values=[ast.Constant(value="pin."), ast.FormattedValue()]):
                yield from ((place, f"pin.{state.value}") for state in STATES_OF_PINS)
            case ast.Constant() | ast.JoinedStr():
                yield place, "an event made up at run time"
            case _:  # the event is a name's, which is looked at where it is written
                pass


def _logs(function: ast.expr) -> bool:
    match function:
        case ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level):
            return level in LEVELS
        case ast.Attribute(value=ast.Call(func=ast.Attribute(attr="get_logger")), attr=level):
            return level in LEVELS
        case ast.Name(id=alias):
            return alias in ALIASES
        case _:
            return False


def listed() -> set[str]:
    """Events of the first column of each table below "The log at three in the morning", and those at debug."""
    _, _, chapter = OPERATING.read_text("utf-8").partition("## The log at three in the morning")
    rows = [line.split("|")[1] for line in chapter.splitlines() if line.startswith("| `")]
    _, _, at_debug = chapter.partition("**At debug**")
    return set(re.findall(r"`([a-z0-9_.]+)`", " ".join(rows) + at_debug.partition("\n\n")[0]))


def test_operating_lists_every_log_event() -> None:
    known = listed()
    unlisted = [
        f"{place}: {event} is not in docs/operating.md, which says what to do"
        for place, event in logged()
        if event not in known
    ]
    assert not unlisted, "\n".join(unlisted)


def test_the_code_logs_every_event_that_operating_lists() -> None:
    gone = sorted(listed() - {event for _, event in logged()})
    assert not gone, f"docs/operating.md lists events that nothing logs: {', '.join(gone)}"


def test_log_events_are_noun_and_verb() -> None:
    wrong = [
        f"{place}: {event!r} is no `noun.verb` in small letters"
        for place, event in logged()
        if event not in NO_VERB and not re.fullmatch(r"[a-z0-9]+\.[a-z0-9_]+", event)
    ]
    assert not wrong, "\n".join(wrong)


# ---------------------------------------------------------------- units

WAITS = {"sleep", "move_on_after", "fail_after"}
CLOCKS = {"now", "current_time", "monotonic", "time"}
LAPSES = {"waited", "lasted", "seconds"}
DURATIONS = {"seconds", "deadline", "timeout", "delay"}  # parameters: what is handed over for one is a time
UNITS = ("SECONDS", "MILLISECONDS", "MINUTES", "HOURS", "DAYS")


def times() -> Iterator[tuple[str, str]]:
    """(place, name) of module constants that are numbers and durations: something waits for them or measures a clock by
    them, or their comment speaks of seconds. A timedelta has its unit in it."""
    used = {(_home(name, node), _name_of(node)) for name, node in durations()}
    for name, module in modules().items():
        lines = (ROOT / name).read_text("utf-8").splitlines()
        for node in module.body:
            if isinstance(node, ast.Assign):
                is_told = re.match(r"\s*seconds\b", lines[node.lineno - 1].partition("#")[2]) is not None
                for target, value in _pairs(node.targets[0], node.value):
                    if _is_number(value) and (is_told or (name, target) in used):
                        yield f"{name}:{node.lineno}", target


def times_in_classes() -> Iterator[tuple[str, str]]:
    """(place, name) of the fields of dataclasses and named tuples that are numbers and durations."""
    used = {node.attr for _, node in durations() if isinstance(node, ast.Attribute)}
    for name, module in modules().items():
        for owner in ast.walk(module):
            if isinstance(owner, ast.ClassDef) and _holds_data(owner):
                for field in owner.body:
                    match field:
                        case ast.AnnAssign(target=ast.Name(id=called), annotation=ast.Name(id="float" | "int")):
                            if called in used:
                                yield f"{name}:{field.lineno}", called
                        case _:
                            pass


def _holds_data(owner: ast.ClassDef) -> bool:
    marks = [ast.unparse(each) for each in (*owner.decorator_list, *owner.bases)]
    return any(mark.startswith("dataclass") or mark == "NamedTuple" for mark in marks)


@cache
def durations() -> tuple[tuple[str, ast.Name | ast.Attribute], ...]:
    """(module, node) of each name or attribute that stands where a duration does."""
    found = ((name, part) for name, module in modules().items() for part in _durations_in(module))
    return tuple((name, part) for name, part in found if isinstance(part, ast.Name | ast.Attribute))


def _durations_in(module: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(module):
        match node:
            case ast.Call():
                for argument in _waited_for(node):
                    yield from _summands(argument)
            case ast.BinOp(left=left, op=ast.Add(), right=right) if _is_clock(left):
                yield from _summands(right)
            case ast.BinOp(left=left, op=ast.Sub(), right=right) if _is_lapse(left):
                yield from _summands(right)
            case ast.Compare(left=left, comparators=others):
                for one, other in pairwise([left, *others]):
                    yield from _compared(one, other)
                    yield from _compared(other, one)
            case ast.For(target=ast.Name(id=each), iter=ast.Name() as several):
                waits = (call for call in ast.walk(node) if isinstance(call, ast.Call))
                if any(_name_of(part) == each for call in waits for part in _waited_for(call)):
                    yield several
            case _:
                pass


def _compared(one: ast.expr, other: ast.expr) -> Iterator[ast.expr]:
    """`now - since > TERM`, or `now < since + TERM`: TERM is a duration, `since` a moment."""
    if _is_lapse(one):
        yield from _summands(other)
    elif _is_clock(one) and isinstance(other, ast.BinOp) and isinstance(other.op, ast.Add):
        yield from _summands(other.right)


def _is_clock(part: ast.expr) -> bool:
    if isinstance(part, ast.Call):  # `int(time.time())` is one, too
        return any(isinstance(each, ast.Call) and _name_of(each.func) in CLOCKS for each in ast.walk(part))
    return isinstance(part, ast.Name) and part.id == "now"


def _is_lapse(part: ast.expr) -> bool:
    if isinstance(part, ast.BinOp):
        return isinstance(part.op, ast.Sub) and (_is_clock(part.left) or _is_lapse(part.left))
    return _name_of(part) in LAPSES


def _waited_for(call: ast.Call) -> list[ast.expr]:
    """Arguments of a call that are times: of what waits, and of our own functions whose parameter is called so."""
    name = _name_of(call.func)
    if name in WAITS:
        return call.args
    if name == "CancelScope":  # its deadline is a moment
        return []
    named = [keyword.value for keyword in call.keywords if keyword.arg in DURATIONS]
    return named + [call.args[at] for at in parameters().get(name, ()) if at < len(call.args)]


@cache
def parameters() -> dict[str, set[int]]:
    """Positions of the durations among the parameters of our functions, by the function's name."""
    found: dict[str, set[int]] = {}
    for module in modules().values():
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [each.arg for each in node.args.args if each.arg not in ("self", "cls")]
                found.setdefault(node.name, set()).update(at for at, each in enumerate(names) if each in DURATIONS)
    return {name: positions for name, positions in found.items() if positions}


def _summands(part: ast.expr) -> Iterator[ast.expr]:
    """The parts that are added, or of which the larger or smaller counts, but not how often something is."""
    if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add | ast.Sub):
        if not _is_clock(part.left):
            yield from (*_summands(part.left), *_summands(part.right))
    elif isinstance(part, ast.BinOp):  # `TERM / 2`, `TRIES * TERM`: the time is the dividend, or the second factor
        yield part.right if isinstance(part.op, ast.Mult) else part.left
    elif isinstance(part, ast.IfExp):
        yield from (*_summands(part.body), *_summands(part.orelse))
    elif isinstance(part, ast.Call) and _name_of(part.func) in ("max", "min"):
        for argument in part.args:
            yield from _summands(argument)
    else:
        yield part


def _name_of(part: ast.expr) -> str:
    return ast.unparse(part).rpartition(".")[2]


def _home(module: str, part: ast.expr) -> str:
    """The module in which a constant is defined, as seen from one that uses it."""
    name = ast.unparse(part).partition(".")[0]
    for node in modules()[module].body:
        if isinstance(node, ast.ImportFrom) and node.module and any(name in (a.asname, a.name) for a in node.names):
            inner = f"{node.module}.{name}" if isinstance(part, ast.Attribute) else node.module
            return inner.replace(".", "/") + ".py"
    return module


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """`A, B = 1, 2` is two constants."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for each, its in zip(target.elts, value.elts, strict=True):
            yield from _pairs(each, its)
    elif isinstance(target, ast.Name):
        yield target.id, value


def _is_number(value: ast.expr) -> bool:
    if isinstance(value, ast.BinOp):
        return _is_number(value.left) and _is_number(value.right)
    if isinstance(value, ast.Tuple):
        return all(map(_is_number, value.elts))
    return isinstance(value, ast.Constant) and type(value.value) in (int, float) and value.value != 0  # 0 has no unit


def test_constants_of_time_end_in_their_unit() -> None:
    wrong = [
        f"{place}: {name} is a time: let its name end in _SECONDS (or another unit)"
        for place, name in times()
        if not name.endswith(UNITS)
    ]
    assert not wrong, "\n".join(wrong)


def test_fields_of_time_end_in_their_unit() -> None:
    wrong = [
        f"{place}: {name} is a time: let its name end in _seconds (or another unit)"
        for place, name in times_in_classes()
        if not any(unit in name.upper() for unit in UNITS)  # `seconds_per_block` has it in front
    ]
    assert not wrong, "\n".join(wrong)
