"""PSI triggers in the three ways: handed over, our own, none. All of them are ordinary."""

import errno
import os
from pathlib import Path

import pytest

from bustd_monitor.sensing.triggers import arm_triggers, of_file

PSI = Path("/proc/pressure/memory")


@pytest.fixture
def psi(tmp_path):
    """A file in place of the kernel's: it takes every trigger."""
    path = tmp_path / "memory"
    path.write_bytes(b"")
    return path


@pytest.fixture
def refusing(monkeypatch):
    """A function that makes write(2) fail on the descriptors of some files, from write `after` to write `until`."""
    real = os.write

    def refuse(code: int, *paths: Path, after: int = 0, until: int = 2**31) -> None:
        written: list[int] = []

        def write(fileno, data):
            if Path(f"/proc/self/fd/{fileno}").resolve() in paths:
                written.append(fileno)
                if after < len(written) <= until:
                    raise OSError(code, os.strerror(code))
            return real(fileno, data)

        monkeypatch.setattr(os, "write", write)

    return refuse


def handed(*names: str, directory: Path) -> dict[str, int]:
    return {name: os.open(directory / name, os.O_RDWR | os.O_CREAT) for name in names}


def close(triggers) -> None:
    for descriptor in triggers.descriptors:
        os.close(descriptor)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_what_was_handed_over_is_armed_with_a_window_of_a_second(tmp_path, psi):
    passed = handed("psi-some", "psi-full", directory=tmp_path)
    triggers = arm_triggers(passed, str(psi))
    assert triggers.descriptors == (passed["psi-some"], passed["psi-full"])
    assert triggers.how == "PSI triggers with a window of 1 s, opened with privilege"
    assert (tmp_path / "psi-some").read_bytes() == b"some 100000 1000000\0"
    assert (tmp_path / "psi-full").read_bytes() == b"full 50000 1000000\0"
    close(triggers)


def test_what_is_handed_over_for_other_ends_is_left_alone(tmp_path, psi):
    passed = handed("killer", directory=tmp_path)
    triggers = arm_triggers(passed, str(psi))
    assert passed["killer"] not in triggers.descriptors
    assert (tmp_path / "killer").read_bytes() == b""
    os.close(passed["killer"])
    close(triggers)


def test_one_that_was_armed_already_is_good_as_it_is(tmp_path, psi, refusing):
    passed = handed("psi-some", directory=tmp_path)
    refusing(errno.EBUSY, tmp_path / "psi-some")
    triggers = arm_triggers(passed, str(psi))
    assert triggers.descriptors == (passed["psi-some"],)
    close(triggers)


def test_if_one_of_two_can_not_be_armed_the_other_serves_and_its_number_stays_taken(tmp_path, psi, refusing):
    passed = handed("psi-some", "psi-full", directory=tmp_path)
    refusing(errno.EINVAL, tmp_path / "psi-full")
    triggers = arm_triggers(passed, str(psi))
    assert triggers.descriptors == (passed["psi-some"],)
    assert is_open(passed["psi-full"])
    os.close(passed["psi-full"])
    close(triggers)


def test_what_was_handed_over_without_privilege_is_armed_with_a_window_of_two_seconds(tmp_path, psi, refusing):
    """A launcher in a container lacks CAP_SYS_RESOURCE, and its monitor may open nothing for writing (Landlock)."""
    passed = handed("psi-some", "psi-full", directory=tmp_path)
    refusing(errno.EINVAL, tmp_path / "psi-some", tmp_path / "psi-full", until=2)
    triggers = arm_triggers(passed, str(psi))
    assert triggers.descriptors == (passed["psi-some"], passed["psi-full"])
    assert triggers.how == "PSI triggers with a window of 2 s, opened for it without privilege"
    assert (tmp_path / "psi-some").read_bytes() == b"some 200000 2000000\0"
    close(triggers)


def test_where_nothing_that_was_handed_over_can_be_armed_the_monitor_opens_its_own(tmp_path, psi, refusing):
    passed = handed("psi-some", "psi-full", directory=tmp_path)
    refusing(errno.EINVAL, tmp_path / "psi-some", tmp_path / "psi-full")
    triggers = arm_triggers(passed, str(psi))
    assert triggers.how == "PSI triggers with a window of 2 s"
    assert [Path(f"/proc/self/fd/{descriptor}").resolve() for descriptor in triggers.descriptors] == [psi, psi]
    for descriptor in passed.values():
        os.close(descriptor)
    close(triggers)


def test_a_descriptor_that_is_not_even_open_is_no_trigger_and_no_trouble(psi):
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    triggers = arm_triggers({"psi-some": writer}, str(psi))
    assert triggers.how == "PSI triggers with a window of 2 s"
    close(triggers)


def test_its_own_descriptors_do_not_block_and_are_not_inherited(psi):
    triggers = arm_triggers({}, str(psi))
    assert len(triggers.descriptors) == 2
    assert not any(os.get_blocking(descriptor) for descriptor in triggers.descriptors)
    assert not any(os.get_inheritable(descriptor) for descriptor in triggers.descriptors)
    close(triggers)


def test_its_own_triggers_are_one_for_some_and_one_for_full_with_a_window_of_two_seconds(psi, monkeypatch):
    written, real = [], os.write
    monkeypatch.setattr(os, "write", lambda fileno, data: written.append(data) or real(fileno, data))
    triggers = arm_triggers({}, str(psi))
    assert written == [b"some 200000 2000000\0", b"full 100000 2000000\0"]
    close(triggers)


@pytest.mark.parametrize(("after", "count"), [(0, 0), (1, 1)])
def test_a_kernel_that_takes_no_trigger_from_an_ordinary_user_is_polled(psi, refusing, after, count):
    refusing(errno.EPERM, psi, after=after)
    triggers = arm_triggers({}, str(psi))
    assert len(triggers.descriptors) == count
    if not count:
        assert triggers.how.startswith("no PSI triggers, polling instead: the kernel takes no trigger")
    close(triggers)


def test_a_kernel_without_psi_is_polled_and_the_reason_said(tmp_path):
    triggers = arm_triggers({}, str(tmp_path / "missing"))
    assert triggers == ((), "no PSI triggers, polling instead: No such file or directory")


@pytest.mark.skipif(not PSI.exists(), reason="this kernel has no PSI")
def test_the_real_kernel_takes_ours_and_says_busy_to_a_second_trigger_on_the_same_descriptor():
    first = arm_triggers({})
    if not first.descriptors:
        assert first.how.startswith("no PSI triggers, polling instead: ")
        return
    assert first.how == "PSI triggers with a window of 2 s"
    again = arm_triggers({"psi-some": first.descriptors[0]})
    assert again.descriptors == first.descriptors[:1], "armed by our former self: EBUSY is ordinary"
    close(first)


def test_what_was_handed_over_of_another_file_is_not_taken_for_the_group_that_is_watched(tmp_path, psi):
    passed = handed("psi-some", "memory", directory=tmp_path)
    assert of_file(passed, str(psi)) == {"memory": passed["memory"]}
    assert of_file(passed, str(tmp_path / "gone")) == {}
    for descriptor in passed.values():
        os.close(descriptor)
