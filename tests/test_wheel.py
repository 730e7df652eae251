"""The wheel, as an operator installs it: the package, its command and the migrations, whatever folder one stands in."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_migrate_from_the_installed_wheel_in_an_empty_folder(tmp_path: Path) -> None:
    """Catches: a wheel without its migrations, and migrations found only because the checkout lies around."""
    wheels, installed, empty = tmp_path / "wheels", tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(ROOT)], tmp_path)
    (wheel,) = wheels.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--no-index"]
    run([*pip, "--target", str(installed), str(wheel)], tmp_path)

    told = run([str(installed / "bin/pinning-worker"), "migrate"], empty, PYTHONPATH=str(installed))
    assert (empty / "data/pinning.db").exists(), told
    where = "import pinning_worker; print(pinning_worker.__file__)"
    assert run([sys.executable, "-c", where], empty, PYTHONPATH=str(installed)).startswith(str(installed))


def run(command: list[str], folder: Path, **environment: str) -> str:
    """What a command printed; fails the test with it when the command fails."""
    ended = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PINNING_DATA_DIR": str(folder / "data"), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout
