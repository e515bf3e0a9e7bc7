"""Where the daemons come from that bustd is compared with."""

import os
from pathlib import Path

import pytest

from tests.bench import peers

_APT = """#!/bin/sh
echo "$@" >>"$0.log"
[ ! -e "$0.broken" ] || exit 100
: >one_1_all.deb
"""
_DPKG = """#!/bin/sh
mkdir -p "$3/usr/bin"
printf '#!/bin/sh\\n' >"$3/usr/bin/bustd-test-peer"
chmod 0755 "$3/usr/bin/bustd-test-peer"
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch) -> Path:
    """A folder with an apt-get and a dpkg-deb that lay out one small package; the peer `one` is nowhere installed."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, text in (("apt-get", _APT), ("dpkg-deb", _DPKG)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setitem(peers._PROGRAMS, "one", "usr/bin/bustd-test-peer")
    return folder


def test_a_package_is_laid_out_once_for_all_sections_that_ask_for_it(tools, tmp_path):
    first = peers.find("one", tmp_path, may_download=True)
    assert first.program == tmp_path / "one/usr/bin/bustd-test-peer"
    assert peers.find("one", tmp_path, may_download=True) == first
    assert (tools / "apt-get.log").read_text().splitlines() == ["-qq download one"]


def test_a_download_that_failed_is_named_and_tried_again_by_the_next_that_asks(tools, tmp_path):
    broken = tools / "apt-get.broken"
    broken.touch()
    with pytest.raises(peers.Missing, match="apt-get download one does not work here"):
        peers.find("one", tmp_path, may_download=True)
    broken.unlink()
    assert peers.find("one", tmp_path, may_download=True).program.exists()


def test_nothing_is_downloaded_where_it_may_not_be(tools, tmp_path):
    with pytest.raises(peers.Missing, match="not installed"):
        peers.find("one", tmp_path, may_download=False)
    assert not (tools / "apt-get.log").exists()
