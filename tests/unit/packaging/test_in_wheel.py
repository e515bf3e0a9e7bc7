"""The man pages come with the wheel and with the source archive, from which a wheel can be made without scdoc."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = {
    "man1/bustd.1",
    "man5/bustd.toml.5",
    "man5/killer.toml.5",
    "man8/bustd-killer.8",
    "man8/bustd-monitor.8",
}
SHARE = ".data/data/share/man/"

needs_scdoc = pytest.mark.skipif(not shutil.which("scdoc"), reason="scdoc is not installed (Debian: scdoc)")


def built(tree: Path, target: str, into: Path, **environment: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", into]
    subprocess.run(command, cwd=tree, env=os.environ | environment, capture_output=True, check=True)
    (archive,) = into.iterdir()
    return archive


def pages(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name.partition(SHARE)[2]: archive.read(name) for name in archive.namelist() if SHARE in name}


@pytest.fixture
def without_scdoc(tmp_path) -> str:
    """A PATH on which there is everything that build.sh calls, except scdoc."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "dirname", "mkdir", "cp"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    return str(tools)


@needs_scdoc
def test_a_wheel_made_from_the_archive_without_scdoc_has_the_pages_of_one_made_from_the_tree(tmp_path, without_scdoc):
    wheel = built(ROOT, "wheel", tmp_path / "wheel")
    assert pages(wheel).keys() == PAGES
    assert all(pages(wheel).values())
    subprocess.run(["tar", "-xf", built(ROOT, "sdist", tmp_path / "sdist"), "-C", tmp_path], check=True)
    (tree,) = tmp_path.glob("bustd-*")
    assert pages(built(tree, "wheel", tmp_path / "again", PATH=without_scdoc)) == pages(wheel)


def test_without_scdoc_a_wheel_made_from_the_tree_is_whole_except_for_the_pages(tmp_path, without_scdoc):
    wheel = built(ROOT, "wheel", tmp_path / "wheel", PATH=without_scdoc)
    assert pages(wheel) == {}
    assert "bustd_monitor/cli/main.py" in zipfile.ZipFile(wheel).namelist()


def test_a_page_that_does_not_fit_the_code_is_no_wheel(tmp_path):
    for name in ("pyproject.toml", "README.md", "protocol", "killer", "monitor"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "packaging", tmp_path / "packaging")
    (tmp_path / "packaging/man/bustd.1.scd").write_text("@NOTHING@\n")
    (tmp_path / "scdoc").symlink_to("/bin/cat")
    with pytest.raises(subprocess.CalledProcessError):
        built(tmp_path, "wheel", tmp_path / "wheel", PATH=f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "packaging/man/bustd.1.scd").write_text("")
    built(tmp_path, "wheel", tmp_path / "wheel", PATH=f"{tmp_path}:{os.environ['PATH']}")
