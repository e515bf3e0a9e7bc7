"""docs/events.md: its scripts are run, with a `bustd` that has something to say and programs that note it."""

import json
import re
import shutil
import subprocess
from io import BytesIO

import pytest

from bustd_monitor.cli.entries import entries
from bustd_monitor.cli.watch import as_json
from bustd_monitor.reporting.events import DECIDED, ENDED, KINDS, NOTED, Kind, Told
from tests.support.install import ROOT
from tests.support.speaking import packet

TEXT = (ROOT / "docs/events.md").read_text()
MAIL, HOOK, RESTART = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)


def event(kind: Kind, message: str, *fields: tuple[str, int | str | bytes]) -> str:
    (entry,) = entries(BytesIO(packet(Told(kind, "", fields), message, 5)))
    return as_json(entry)


SAID = [
    event(NOTED, "memory is locked"),
    event(DECIDED, "floor fires: $(touch forged) `touch forged` 'leak'", ("VICTIM_COMM", b"$(touch forged)")),
    event(ENDED, "gone", ("VICTIM_PID", 12), ("VICTIM_UID", 112)),
    event(ENDED, "gone", ("VICTIM_PID", 13), ("VICTIM_UID", 1000), ("VICTIM_COMM", "mysqld")),
]


@pytest.fixture
def performed(tmp_path):
    """Run a script; what each of the other programs was told, its words and then its input."""

    def perform(script: str) -> list[str]:
        (tmp_path / "said").write_text("".join(f"{line}\n" for line in SAID))
        programs = {
            "bustd": f'[ "$*" = "watch --json --new" ] && cat {tmp_path}/said',
            **{name: f'{{ echo "{name} $*"; cat; echo; }} >>{tmp_path}/noted' for name in ("mail", "curl")},
            "systemctl": f'echo "systemctl $*" >>{tmp_path}/noted',
        }
        for name, text in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
        path = f"{tmp_path}:/usr/bin:/bin"
        subprocess.run(["sh", "-eu", "-c", script], check=True, env={"PATH": path}, cwd=tmp_path, timeout=60)
        assert not (tmp_path / "forged").exists()
        return (tmp_path / "noted").read_text().split("\n")

    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    return perform


def test_the_mail_is_the_line_of_each_kill(performed):
    words, line, *rest = performed(MAIL)
    assert words.startswith("mail -s bustd on ") and words.endswith(" root")
    assert line == "floor fires: $(touch forged) `touch forged` 'leak'"
    assert not any(rest)


def test_the_webhook_gets_the_events_of_level_4_and_below_as_they_are(performed):
    words, line, *rest = performed(HOOK)
    assert words.startswith("curl ") and json.loads(line) == json.loads(SAID[1])
    assert not any(rest)


def test_only_the_death_of_a_process_of_that_uid_restarts_the_service(performed):
    assert performed(RESTART) == ["systemctl restart mysql.service", ""]


def test_the_man_page_has_the_same_pipe_as_the_page():
    (pipe,) = re.findall(r"```\n(bustd watch.*?)```", (ROOT / "packaging/man/bustd.1.scd").read_text(), re.DOTALL)
    assert pipe.replace("\\\\n", "\\n") in MAIL.replace(' or .kind == "not protected"', "")


def test_every_kind_and_field_that_the_page_names_exists():
    table = TEXT.partition("| kind | when |")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(named) == 8 and set(named) <= {kind.name for kind in KINDS}
