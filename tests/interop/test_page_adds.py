"""What a person gives the page to keep: a picture, files, a folder; chosen or dropped. In a real Chromium."""

from hashlib import sha256
from pathlib import Path

import pytest

from tests.interop.browser import join
from tests.interop.chromium import needs_chromium
from tests.interop.helia import open_helia
from tests.interop.node_binary import needs_node
from tests.interop.test_chromium import Scene, ask, heard, open_scene

pytestmark = [pytest.mark.interop, needs_node, needs_chromium]

ALBUM = {"one.txt": b"first", "sub/two.txt": b"second", "sub/deep/three.txt": b"third", ".DS_Store": b"of the computer"}


def make_album(folder: Path, files: dict[str, bytes] = ALBUM) -> Path:
    album = folder / "album"
    for path, content in files.items():
        (album / path).parent.mkdir(parents=True, exist_ok=True)
        (album / path).write_bytes(content)
    return album


async def quoted_cid(scene: Scene, after: int = 0) -> str:
    """What the worker quoted; the one after so many others."""
    await scene.browser.shows("#headline", "Here is the price")
    return str((await heard(scene.browser, "ADDING-CID"))[after].said["cid"])


async def forget_what_was_asked(scene: Scene) -> None:
    await scene.browser.open(scene.url)
    await scene.browser.shows("#connection", "Connected")


async def test_a_folder_is_kept_as_a_directory(tmp_path: Path) -> None:
    """Catches: files that lie side by side because their paths were lost; a folder within a folder of its own name; the
    hidden files of the computer published with the rest."""
    async with open_scene(tmp_path) as scene, open_helia(listen=()) as bob:
        album = make_album(tmp_path)
        await scene.browser.upload("or a folder", album)
        await scene.browser.shows("#chosen", "Folder album: 3 files, 16 bytes\\. Left out: 1 hidden file")
        await scene.browser.click("Ask for a price")
        cid = await quoted_cid(scene)
        await scene.browser.shows("#asked", "album")
        await scene.browser.screenshot("folder")

        await join(bob, scene.worker)
        for path in ("one.txt", "sub/two.txt", "sub/deep/three.txt"):
            assert (await bob.cat(cid, path=path)).sha256 == sha256(ALBUM[path]).hexdigest()

        await forget_what_was_asked(scene)
        await scene.browser.drop("#drop", album)
        await scene.browser.shows("#chosen", "Folder album: 3 files")
        await scene.browser.click("Ask for a price")
        assert await quoted_cid(scene) == cid, "chosen or dropped, it is one and the same"


async def test_what_is_dropped_is_taken(tmp_path: Path) -> None:
    """Catches: a drop that makes the browser leave the page for the file; of many files only the first hundred."""
    many = {f"{at:03}.txt": f"{at}".encode() for at in range(120)}
    async with open_scene(tmp_path) as scene, open_helia(listen=()) as bob:
        browser = scene.browser
        await browser.click("Ask for a price")
        await browser.shows("#picture-form-error", "Choose a picture or a folder first, or drop one here")

        (tmp_path / "evening.png").write_bytes(b"small")
        await browser.drop("#drop", tmp_path / "evening.png")
        await browser.shows("#chosen", "evening.png, 5 bytes")
        await browser.fill("Title", "Evening")
        await browser.click("Ask for a price")
        dropped = await quoted_cid(scene)
        await forget_what_was_asked(scene)
        await ask(browser, tmp_path, b"small", "Evening")
        assert await quoted_cid(scene) == dropped

        await forget_what_was_asked(scene)
        await browser.drop("#drop", make_album(tmp_path, many))
        await browser.shows("#chosen", "Folder album: 120 files")
        await browser.drop("#drop", tmp_path / "evening.png", tmp_path / "album/007.txt")
        await browser.shows("#chosen", "2 files, 6 bytes")
        await browser.click("Ask for a price")
        wrapped = await quoted_cid(scene)
        await join(bob, scene.worker)
        assert (await bob.cat(wrapped, path="evening.png")).sha256 == sha256(b"small").hexdigest()
        assert (await bob.cat(wrapped, path="007.txt")).sha256 == sha256(b"7").hexdigest()
