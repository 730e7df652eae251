"""A setting has one name and one default, from the environment to its use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinning_worker.settings import Settings

PACKAGE = Path(__file__).resolve().parents[1] / "pinning_worker"
SETTINGS = frozenset(Settings.model_fields)
WIRING = [*sorted((PACKAGE / "wiring").glob("*.py")), PACKAGE / "daemon.py", PACKAGE / "settings" / "fields.py"]
BELOW_SETTINGS = sorted({*PACKAGE.rglob("*.py")} - {*(PACKAGE / "settings").rglob("*.py")})

OTHER_NAMES = {
    "network_name": "network",  # of a chain's row, whose name it is
    "topic_name": "topic",
    "key": "data_dir",
    "headers": "data_dir",
    "release": "data_dir",
    "webrtc_pem": "data_dir",
    "most_unpaid": "staging_quota",  # the unpaid half of the quarantine has as much room as the shelf
    "kept_for_dialling": "max_connections",  # a part of them
    "serves": "dht",
    "per_mib_month": "price_per_mib_month",  # of a tariff, of which the settings give only the first
    "least": "min_fee",
}
"""The arguments to which a setting gives another thing than itself."""


def of_a_setting(node: ast.AST) -> set[str]:
    """The settings that an expression reads, except for those that it hands on by keyword to another call."""
    if isinstance(node, ast.keyword):
        return set()
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return {node.attr} & SETTINGS if node.value.id in ("settings", "self") else set()
    return {name for child in ast.iter_child_nodes(node) for name in of_a_setting(child)}


def renamed(tree: ast.AST) -> Iterator[str]:
    for call in (each for each in ast.walk(tree) if isinstance(each, ast.Call)):
        for argument in call.keywords:
            names = of_a_setting(argument.value)
            if names and argument.arg not in names and OTHER_NAMES.get(argument.arg or "") not in names:
                yield f"line {argument.value.lineno}: {argument.arg} is {', '.join(sorted(names))}"


@pytest.mark.parametrize("file", WIRING, ids=lambda file: file.name)
def test_a_setting_keeps_its_name_on_the_way(file: Path) -> None:
    """Catches: a search for the name of a setting ends in the wiring, and its use has another one."""
    assert not list(renamed(ast.parse(file.read_text())))


def defaults(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The names with a default: fields of classes, and parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value
        elif isinstance(node, ast.arguments):
            places = [*node.posonlyargs, *node.args]
            yield from (
                (place.arg, value) for place, value in zip(reversed(places), reversed(node.defaults), strict=False)
            )
            yield from (
                (place.arg, value) for place, value in zip(node.kwonlyargs, node.kw_defaults, strict=True) if value
            )


def has_a_value(default: ast.expr) -> bool:
    """Whether a number or a text is written out. Nothing at all (None, False, 0, an empty tuple) is no value."""
    return any(isinstance(each, ast.Constant) and bool(each.value) for each in ast.walk(default))


def test_a_default_stands_once() -> None:
    """Catches: a default that was changed in the settings stays as it was in a room that states it again."""
    again = {
        f"{file.relative_to(PACKAGE)}: {name}"
        for file in BELOW_SETTINGS
        for name, default in defaults(ast.parse(file.read_text()))
        if name in SETTINGS and has_a_value(default)
    }
    assert not again


@pytest.mark.parametrize("source", ["Door(rules=5, half_open=settings.max_half_open)", "Budget(idle=self.idle_time)"])
def test_these_tests_see_another_name(source: str) -> None:
    assert list(renamed(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ["class Rules:\n    max_half_open: int = 64", "def f(quote_life=timedelta(hours=24)): ..."]
)
def test_these_tests_see_a_second_default(source: str) -> None:
    assert any(has_a_value(default) for _, default in defaults(ast.parse(source)))
