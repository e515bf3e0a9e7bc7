"""`bustd record` and `bustd replay` as they are typed: arguments, what they print, how they end."""

import json

import pytest

from bustd_monitor.cli.parser import parsed
from bustd_monitor.cli.replay import ReplayResult, differences
from bustd_monitor.traces.replaying import Kill
from bustd_protocol.messages import Signal
from tests.support.traces import GIB, HEADER, MIB, process, reading, trace
from tests.support.typed import typed

LEAK, OTHER = process(200, 900 * MIB, b"leak"), process(300, 300 * MIB, b"other")
SHORT = trace(8, lambda at_ms: reading(GIB if at_ms < 5000 else 150 * MIB), lambda _: [LEAK, OTHER])
ONLY_FLOOR = "".join(f"conditions.{name}.enabled = false\n" for name in ("pressure", "stall", "forecast"))


@pytest.fixture
def bustd(monkeypatch, capfd, tmp_path):
    """The command in this process and in a directory of its own: its code and what it printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "killer.toml").write_text("")
    (tmp_path / "bustd.toml").write_text(ONLY_FLOOR)
    (tmp_path / "short.trace").write_bytes(SHORT)

    return lambda *words: typed(monkeypatch, capfd, *words)


RULES = ("--killer-config", "killer.toml")
CONFIG = ("--config", "bustd.toml", *RULES)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["record"], "record needs a FILE: the trace to write"),
        (["replay"], "replay needs a FILE: the trace or table to read"),
        (["record", ""], "record: the name of FILE is empty"),
        (["record", "a", "b"], "record takes one FILE, found 'b'"),
        (["record", "a", "--nonsense"], "--nonsense is unknown"),
        (["record", "a", "--seconds", "0"], "--seconds: expected a whole number above 0, found '0'"),
        (["record", "a", "--limit", "much"], "--limit: expected a whole number above 0, found 'much'"),
        (["replay", "a", "--seconds", "5"], "--seconds is an option of record, not of replay"),
        (["record", "a", "--csv"], "--csv is an option of replay, not of record"),
        (
            ["replay", "a", "--config", "a", "--config", "b", "--config", "c"],
            "replay compares two --config, and no more",
        ),
    ],
)
def test_wrong_arguments_are_one_sentence_and_64(bustd, words, sentence):
    assert bustd(*words) == (64, "", f"bustd: {sentence} (bustd {words[0]} --help shows what there is)\n")


@pytest.mark.parametrize("words", [["--seconds", "5", "FILE"], ["FILE", "--seconds", "5"]])
def test_the_file_may_stand_before_or_after_the_options(words):
    options = parsed(["record", *words])
    assert (options.file, options.seconds) == ("FILE", 5)


def test_of_several_configurations_every_other_command_takes_the_last_as_ever():
    assert parsed(["check", "--config", "a", "--config", "b"]).config == "b"


def test_a_replay_tells_who_would_have_been_killed_when_and_why(bustd):
    code, out, err = bustd("replay", "short.trace", *CONFIG)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "short.trace: 2048 MiB of memory, Linux 6.12.0-synthetic; by bustd 0.1.0"
    assert lines[1].startswith("    5.0 s  floor fires: 150 MiB of 2048 MiB available (7.3 %)")
    assert "SIGTERM for 200 (leak)" in lines[1]
    assert lines[2:] == [
        "    8.0 s  the end, after 81 readings and 9 process tables",
        "200 was still in flight.",
        "1 kill.",
    ]


@pytest.fixture
def standard_input(monkeypatch, tmp_path):
    """A function that puts bytes into standard input."""
    opened = []

    def put(data: bytes) -> None:
        (tmp_path / "input").write_bytes(data)
        opened.append((tmp_path / "input").open())
        monkeypatch.setattr("sys.stdin", opened[-1])

    yield put
    for file in opened:
        file.close()


def test_replay_reads_standard_input_also_for_two_configurations(bustd, standard_input, tmp_path):
    _, from_file, _ = bustd("replay", "short.trace", *CONFIG)
    standard_input(SHORT)
    code, out, err = bustd("replay", "-", *CONFIG)
    assert (code, err) == (0, "")
    assert out == from_file.replace("short.trace:", "standard input:", 1)
    (tmp_path / "same.toml").write_text(ONLY_FLOOR)
    standard_input(SHORT)
    code, out, _ = bustd("replay", "-", *CONFIG, "--config", "same.toml")
    assert (code, out.count("SIGTERM for 200 (leak)")) == (0, 2)
    standard_input(b"time,MemAvailable,SwapFree\n0,2000000,0\n1,100000,0\n")
    assert "    1.0 s  floor fires" in bustd("replay", "-", "--csv", *CONFIG)[1]
    standard_input(b"nonsense")
    assert bustd("replay", "-", *CONFIG) == (65, "", "bustd: standard input: it does not begin as a trace does\n")


def test_replay_as_json_has_each_kill_and_what_was_said(bustd, tmp_path):
    code, out, err = bustd("replay", "short.trace", *CONFIG, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    (only,) = found["replays"]
    assert found["differ"] is False
    assert only["kills"] == [
        {
            "at_ms": 5000,
            "condition": "floor",
            "signal": "TERM",
            "pid": 200,
            "start_ticks": LEAK.start_ticks,
            "comm": "leak",
            "scope": "process",
            "kin": 0,
        }
    ]
    assert (only["in_flight_pid"], only["ram_bytes"], only["config"]) == (200, 2 * GIB, "bustd.toml")
    assert [line["at_ms"] for line in only["log"]] == [5000, 8000]
    (tmp_path / "careful.toml").write_text(ONLY_FLOOR + 'victims.never.names = ["leak", "other"]\n')
    code, out, _ = bustd("replay", "short.trace", *CONFIG, "--config", "careful.toml", "--json")
    found = json.loads(out)
    assert (code, found["differ"], [len(one["kills"]) for one in found["replays"]]) == (1, True, [1, 0])


def test_the_json_of_a_replay_is_ascii_whatever_the_trace_has_in_it(bustd, tmp_path):
    hostile = LEAK._replace(comm=b"\xff\x1b", unit="a\nb")
    data = trace(8, lambda at_ms: reading(GIB if at_ms < 5000 else 150 * MIB), lambda _: [hostile])
    (tmp_path / "hostile.trace").write_bytes(data)
    _, out, _ = bustd("replay", "hostile.trace", *CONFIG, "--json")
    assert out.isascii()
    (only,) = json.loads(out)["replays"]
    assert only["kills"][0]["comm"] == "\\xff\x1b"


def test_a_replay_in_which_nothing_happens_says_so(bustd, tmp_path):
    (tmp_path / "quiet.trace").write_bytes(trace(3, lambda _: reading(GIB), lambda _: [LEAK]))
    code, out, _ = bustd("replay", "quiet.trace", *CONFIG)
    assert (code, out.splitlines()[-1]) == (0, "No process would have been killed.")


def test_options_go_on_top_of_the_configuration(bustd):
    _, out, _ = bustd("replay", "short.trace", *CONFIG, "-u", "le*", "-V")
    assert "SIGTERM for 300 (other)" in out
    assert "calm -> act" in out


def test_the_killers_rules_protect_in_a_replay_too_and_its_limits_are_told(bustd, tmp_path):
    (tmp_path / "killer.toml").write_text('protect.names = ["leak"]\nlimits.available_percent = 5\n')
    _, out, _ = bustd("replay", "short.trace", *CONFIG)
    assert "SIGTERM for 300 (other)" in out
    assert "\nwarning: conditions.floor can fire at 10 % of available memory, where the killer still refuses" in out


def test_a_trace_whose_end_is_missing_is_replayed_with_a_warning(bustd, tmp_path):
    (tmp_path / "cut.trace").write_bytes(SHORT[:-5])
    code, out, err = bustd("replay", "cut.trace", *CONFIG)
    assert (code, err) == (0, "")
    assert "warning: its last frame is cut off" in out
    assert "SIGTERM for 200 (leak)" in out


def test_two_configurations_that_come_to_the_same_are_told_as_such_with_0(bustd, tmp_path):
    (tmp_path / "same.toml").write_text(ONLY_FLOOR)
    code, out, _ = bustd("replay", "short.trace", *CONFIG, "--config", "same.toml")
    assert code == 0
    assert out.startswith("With bustd.toml:\nshort.trace: ")
    assert "\n\nWith same.toml:\nshort.trace: " in out
    assert out.splitlines()[-1] == "No difference: the same kills, at the same times, for the same reasons."


def test_two_configurations_that_differ_are_told_kill_by_kill_with_1(bustd, tmp_path):
    (tmp_path / "careful.toml").write_text(ONLY_FLOOR + 'victims.never.names = ["leak", "other"]\n')
    code, out, _ = bustd("replay", "short.trace", *CONFIG, "--config", "careful.toml")
    assert code == 1
    assert out.endswith(
        "\n\nKill 1 differs:\n"
        "      5.0 s  floor, SIGTERM for 200 (leak)  (bustd.toml)\n"
        "             no kill  (careful.toml)\n"
    )


def test_a_kill_differs_by_its_victim_its_condition_its_signal_and_its_time():
    kill = Kill(5000, "floor", Signal.TERM, 1, 2, b"a")
    others = [kill._replace(pid=3), kill._replace(condition="stall"), kill._replace(signal=Signal.KILL)]
    for other in [*others, kill._replace(at_ms=5100), kill._replace(start_ticks=9)]:
        assert differences(ReplayResult("x", (kill,)), ReplayResult("y", (other,)))
    assert differences(ReplayResult("x", (kill,)), ReplayResult("y", (kill,))) == []


def test_a_table_is_known_by_the_end_of_its_name_or_by_the_option(bustd, tmp_path):
    rows = "time,MemAvailable,SwapFree\n0,2000000,0\n1,100000,0\n2,100000,0\n"
    (tmp_path / "a.CSV").write_text(rows)
    (tmp_path / "b").write_text(rows)
    for words in (["a.CSV"], ["b", "--csv"]):
        code, out, _ = bustd("replay", *words, *CONFIG)
        assert code == 0
        assert "    1.0 s  floor fires: 98 MiB of 1953 MiB available" in out
        assert "for the process that would have been ranked first" in out


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("gone", None, "No such file or directory"),
        ("a.trace", b"nonsense", "it does not begin as a trace does"),
        ("a.csv", b"nonsense", "line 1: no column is time; there must be time, MemAvailable and SwapFree"),
        ("a\x1b[2J", b"nonsense", "it does not begin as a trace does"),
    ],
)
def test_what_is_neither_a_trace_nor_a_table_is_one_sentence_and_65(bustd, tmp_path, name, data, told):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    shown = name.replace("\x1b", "\\x1b")
    assert bustd("replay", name, *CONFIG) == (65, "", f"bustd: {shown}: {told}\n")


def test_a_configuration_that_is_wrong_is_78(bustd, tmp_path):
    (tmp_path / "bustd.toml").write_text("verbose = 1\n")
    code, out, err = bustd("replay", "short.trace", *CONFIG)
    assert (code, out) == (78, "")
    assert err == f"bustd: {tmp_path}/bustd.toml: verbose: expected true or false, found 1\n"


def test_names_in_a_trace_can_forge_no_line(bustd, tmp_path):
    hostile = LEAK._replace(comm=b"\x1b[2J\n    9.9 s", unit="a\nb", command="c\nd")
    header = HEADER._replace(writer="\x1b[2J", release="6\n.0")
    data = trace(8, lambda at_ms: reading(GIB if at_ms < 5000 else 150 * MIB), lambda _: [hostile], header)
    (tmp_path / "hostile.trace").write_bytes(data)
    _, out, _ = bustd("replay", "hostile.trace", *CONFIG)
    assert all(line.isprintable() for line in out.splitlines())
    assert len(out.splitlines()) == 5
