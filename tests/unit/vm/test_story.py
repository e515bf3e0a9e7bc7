"""How the story goes on from boot to boot. What its steps see is the virtual machine's matter."""

import pytest

from tests.unit.vm.test_guest import guest as guest


@pytest.fixture
def told(guest, monkeypatch, tmp_path):
    """Tell one chapter: what was told, whether the machine comes back, and how it ends. `fails`: the name of a step."""
    story = guest("story")
    monkeypatch.setattr(story, "_CHAPTER", tmp_path / "chapter")
    monkeypatch.setattr(story.os, "sync", lambda: None)

    def tell_one(fails: str = "") -> tuple[list[str], bool, list[str]]:
        names, ends = [], []

        def tell(name, seconds, step):
            names.append(name)
            return {"error": "no"} if name == fails else {"faults": []}

        monkeypatch.setattr(story, "reboot", lambda: ends.append("reboot"))
        monkeypatch.setattr(story, "crash", lambda: ends.append("crash"))
        monkeypatch.setattr(story.machine, "emit", lambda kind, **fields: ends.append(fields["name"]))
        return names, story.perform({"deb": "bustd.deb"}, tell), ends

    return tell_one


def test_each_boot_has_a_chapter_and_the_last_one_ends_the_story(told):
    again = "story: the machine starts again"
    names, goes_on, ends = told()
    assert (names[0], len(names), goes_on, ends) == ("install", 5, True, [again, "reboot"])
    assert told() == (["story: after a reboot"], True, [again, "crash"])
    assert told() == (["story: after a crash"], False, [])


def test_after_a_step_that_could_not_be_performed_nothing_more_is_told(told):
    assert told("story: a user logs in") == (["install", "story: a user logs in"], False, [])
    assert told("story: a leak")[0][-1] == "story: a leak", "it has not gone on to another chapter"
