"""`bustd import-config`: what it prints says what the other daemon was told, and `bustd check` accepts it."""

import io
import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_monitor import config
from bustd_monitor.cli import import_config
from bustd_monitor.cli.commands import IMPORT_CONFIG
from bustd_monitor.cli.import_config import SOURCES, examined
from bustd_monitor.cli.importing import earlyoom, nohang
from bustd_monitor.cli.importing.draft import NO_LIMIT_MIB, NotThat
from tests.support.typed import typed

CONFIGS = Path(__file__).parents[3] / "data/configs"


def printed(draft) -> dict:
    """The values of the file that the draft prints, which has no problem."""
    text = draft.text("a title")
    assert examined(text).problems == []
    return tomllib.loads(text)


def of_earlyoom(options: str):
    return earlyoom.read(f"EARLYOOM_ARGS='{options}'")


# --- the command


@pytest.mark.parametrize("path", sorted(CONFIGS.iterdir()), ids=lambda path: path.name)
def test_what_is_made_of_a_real_file_passes_check(monkeypatch, capfd, tmp_path, path):
    daemon = path.name.partition("-")[0]
    code, out, err = typed(monkeypatch, capfd, "import-config", daemon, str(path))
    assert code == 0
    assert f"Made by `bustd import-config {daemon} " in out
    assert "not carried over" in err
    made = tmp_path / "bustd.toml"
    made.write_text(out)
    assert config.examine(made, required=True).problems == []
    empty = tmp_path / "killer.toml"
    empty.write_text("")
    code, out, _ = typed(monkeypatch, capfd, "check", "--config", str(made), "--killer-config", str(empty))
    assert (code, "problem" in out) == (0, False)


def test_a_daemon_that_can_be_named_has_a_reader_and_no_other():
    assert IMPORT_CONFIG.daemons == tuple(SOURCES)


def test_without_file_the_file_of_the_daemons_package_is_read(monkeypatch, capfd, tmp_path):
    file = tmp_path / "earlyoom"
    file.write_text('EARLYOOM_ARGS="-m 7"')
    monkeypatch.setitem(SOURCES, "earlyoom", SOURCES["earlyoom"]._replace(file=str(file)))
    code, out, _ = typed(monkeypatch, capfd, "import-config", "earlyoom")
    assert (code, "available_percent = 7\n" in out) == (0, True)


def test_a_hyphen_reads_standard_input(monkeypatch, capfd, tmp_path):
    file = tmp_path / "earlyoom"
    file.write_text('EARLYOOM_ARGS="--dryrun"')
    descriptor, kept = os.open(file, os.O_RDONLY), os.dup(0)
    try:
        os.dup2(descriptor, 0)
        code, out, err = typed(monkeypatch, capfd, "import-config", "earlyoom", "-")
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(descriptor)
    assert (code, "dry_run = true\n" in out, err) == (0, True, "")


@pytest.mark.parametrize(
    ("daemon", "content", "sentence"),
    [
        ("earlyoom", None, "No such file or directory"),
        ("earlyoom", b"", "no line of it sets EARLYOOM_ARGS, as /etc/default/earlyoom does"),
        ("earlyoom", b"EARLYOOM_ARGS='-m 5", "a quotation mark in it is never closed"),
        ("earlyoom", b"EARLYOOM_ARGS='--zebra'", "earlyoom would not take its options: option --zebra not recognized"),
        ("earlyoom", b"EARLYOOM_ARGS='-m'", "earlyoom would not take its options: option -m requires argument"),
        ("earlyoom", b"EARLYOOM_ARGS='x'", "earlyoom would not take its options: it takes no argument, found 'x'"),
        ("earlyoom", b"EARLYOOM_ARGS='-m x'", "-m of earlyoom is a number above 0, or two with a comma, found 'x'"),
        ("earlyoom", b"EARLYOOM_ARGS='-s 0'", "-s of earlyoom is a number above 0, or two with a comma, found '0'"),
        ("earlyoom", b"EARLYOOM_ARGS='-M inf'", "-M of earlyoom is a number above 0, or two with a comma, found 'inf'"),
        ("nohang", b"", "it has no key and no rule of a nohang.conf"),
        ("nohang", b'EARLYOOM_ARGS="-r 3600"\n', "it has no key and no rule of a nohang.conf"),
        (
            "nohang",
            b"soft_threshold_min_mem = 5\n",
            "soft_threshold_min_mem is a number with % or M behind it, found '5'",
        ),
        (
            "nohang",
            b"@BADNESS_ADJ_RE_NAME ^x$\n",
            "a rule is @BADNESS_ADJ_RE_PROPERTY NUMBER /// EXPRESSION, found '@BADNESS_ADJ_RE_NAME ^x$'",
        ),
        ("nohang", b"@BADNESS_ADJ_RE_SHOE 1 /// x\n", "nohang has no rule @BADNESS_ADJ_RE_SHOE"),
        ("nohang", b"a = \xff\n", "expected text in UTF-8, found the byte 0xff"),
        ("nohang", b"#" * (2**20 + 1), "it has more than 1048576 bytes"),
    ],
)
def test_wrong_input_is_one_sentence_and_65_and_nothing_is_printed(
    monkeypatch, capfd, tmp_path, daemon, content, sentence
):
    file = tmp_path / "given"
    if content is not None:
        file.write_bytes(content)
    assert typed(monkeypatch, capfd, "import-config", daemon, str(file)) == (65, "", f"bustd: {file}: {sentence}\n")


def test_what_would_not_pass_check_is_not_printed(monkeypatch, capfd, tmp_path):
    file = tmp_path / "earlyoom"
    file.write_text("EARLYOOM_ARGS=''")
    monkeypatch.setattr(import_config.Draft, "text", lambda self, title: "zebra = 1\n")
    code, out, err = typed(monkeypatch, capfd, "import-config", "earlyoom", str(file))
    assert (code, out) == (65, "")
    assert err.startswith("bustd: it can't be carried over: bustd.toml: zebra: unknown key")


def test_a_rule_that_is_valid_and_can_hardly_be_meant_so_is_warned_of(monkeypatch, capfd, tmp_path):
    file = tmp_path / "earlyoom"
    file.write_text("EARLYOOM_ARGS='--ignore .*'")
    code, _, err = typed(monkeypatch, capfd, "import-config", "earlyoom", str(file))
    assert code == 0
    assert "warning: bustd.toml: victims.never.names" in err


# --- earlyoom


def test_the_options_of_earlyoom_have_their_keys():
    draft = of_earlyoom('-g --dryrun -d --ignore-root-user --prefer ^java$ --avoid=^X --ignore "a b"')
    assert printed(draft) == {
        "dry_run": True,
        "verbose": True,
        "victims": {
            "scope": "group",
            "prefer": {"names": ["java"]},
            "avoid": {"names": ["X*"]},
            "never": {"users": [0], "names": ["*a b*"]},
        },
    }
    assert draft.lost == []


@pytest.mark.parametrize(
    ("options", "floor"),
    [
        ("-m 15", {"available_percent": 15, "available_mib": NO_LIMIT_MIB}),
        ("-m 15,7.5", {"available_percent": 15, "available_mib": NO_LIMIT_MIB}),
        ("-m 4,3", {"available_percent": 4, "available_mib": NO_LIMIT_MIB, "kill_fraction_percent": 75}),
        ("-m 4,8", {"available_percent": 8, "available_mib": NO_LIMIT_MIB, "kill_fraction_percent": 100}),
        ("-m 4,0", {"available_percent": 4, "available_mib": NO_LIMIT_MIB, "kill_fraction_percent": 0}),
        ("-m 7.5", {"available_percent": 7.5, "available_mib": NO_LIMIT_MIB}),
        ("-m 10 -M 1048576", {"available_percent": 10, "available_mib": 1024}),
        ("-M 1048577", {"available_percent": 40, "available_mib": 1025}),
        ("-m 3 -m 5", {"available_percent": 5, "available_mib": NO_LIMIT_MIB}),
        ("-s 100", {"swap_percent": 100}),
        ("-s 20,5", {"swap_percent": 20, "kill_fraction_percent": 25}),
    ],
)
def test_the_thresholds_of_earlyoom_are_those_of_one_condition(options, floor):
    assert printed(of_earlyoom(options)) == {"conditions": {"floor": floor}}


def test_a_threshold_that_bustd_can_not_hold_becomes_the_nearest_and_the_comment_says_so():
    text = of_earlyoom("-m 0.01").text("")
    assert "# -m 0.01: 0.01 became 0.1\navailable_percent = 0.1\n" in text


@pytest.mark.parametrize(
    "option",
    [
        "-r 60",
        "-n",
        "-N /x",
        "-P /x",
        "-p",
        "-S 5",
        "-k",
        "-i",
        "-v",
        "-h",
        "--syslog",
        "--help",
        "--kernel-oom",
        "--sort-by-rss",
    ],
)
def test_an_option_of_earlyoom_that_has_no_key_is_said_to_be_lost(option):
    draft = of_earlyoom(option)
    (lost,) = draft.lost
    assert lost.startswith(f"{option}: ")
    assert printed(draft) == {}


def test_each_share_for_sigkill_that_differs_from_the_first_is_said_to_be_lost():
    draft = of_earlyoom("-m 10,5 -s 10,1")
    assert draft.lost == ["the share of -s for SIGKILL, 10 %: bustd has one share, 50 %, for all"]


def test_an_expression_that_can_not_become_a_glob_stands_in_a_comment_with_the_reason():
    draft = of_earlyoom("--avoid (?i)firefox")
    assert printed(draft) == {}
    assert "# - --avoid (?i)firefox: (?i can't be said in a glob\n" in draft.text("")


def test_a_glob_that_matches_more_says_so():
    text = of_earlyoom("--prefer ^python[0-9.]+$").text("")
    assert "# --prefer ^python[0-9.]+$; the globs match more than the regular expression\n" in text
    assert 'names = ["python[0-9.]*"]\n' in text


def test_a_name_that_is_too_long_to_match_is_left_out_with_what_would_match():
    draft = of_earlyoom("--avoid ^(init|gnome-control-center)$")
    assert printed(draft)["victims"]["avoid"] == {"names": ["init"]}
    assert draft.lost == [
        "--avoid ^(init|gnome-control-center)$: gnome-control-center can't match, because the kernel keeps 15 bytes "
        "of a name; gnome-control-c would"
    ]


def test_the_last_assignment_counts_and_may_go_on_in_the_next_line():
    draft = earlyoom.read((CONFIGS / "earlyoom-desktop").read_text())
    assert printed(draft)["conditions"]["floor"] == {"available_percent": 4, "available_mib": 400, "swap_percent": 100}
    assert printed(draft)["victims"]["avoid"]["names"] == ["init", "systemd", "Xorg", "sshd"]


# --- nohang


def test_the_shipped_file_of_nohang_sets_its_thresholds_and_nothing_else():
    assert printed(nohang.read((CONFIGS / "nohang-shipped.conf").read_text())) == {
        "conditions": {
            "floor": {
                "available_percent": 5,
                "available_mib": NO_LIMIT_MIB,
                "swap_percent": 10,
                "kill_fraction_percent": 40,
            }
        }
    }


def test_a_rule_of_nohang_becomes_one_of_the_table_that_its_sign_says():
    draft = nohang.read((CONFIGS / "nohang-desktop.conf").read_text())
    victims = printed(draft)["victims"]
    assert victims["prefer_points"] == 200
    assert victims["avoid_points"] == 200
    assert victims["prefer"] == {
        "names": ["Web Content", "Isolated Web Co", "*tracker*"],
        "commands": ["*--type=renderer*"],
        "cgroups": ["*/foo.service"],
    }
    assert victims["avoid"] == {
        "users": [0, 1000],
        "names": ["[a-z]*d", "one-shell", "one-session-bin"],
        "cgroups": ["/system.slice/*"],
    }
    lost = [sentence.partition(": ")[0] for sentence in draft.lost]
    assert [what for what in lost if what.startswith("@")] == [
        "@check_kmsg",
        "@SOFT_ACTION_RE_NAME ^foo$ /// kill -USR1 $PID",
        "@BADNESS_ADJ_RE_UID -100 /// ^1",
        "@BADNESS_ADJ_RE_REALPATH -200 /// ^/usr/lib/one/",
        "@BADNESS_ADJ_RE_CWD 200 /// ^/home/",
        "@BADNESS_ADJ_RE_ENVIRON 100 /// USER=user",
    ]


def test_points_that_differ_become_the_largest_and_the_comment_has_all():
    text = nohang.read("@BADNESS_ADJ_RE_NAME 5 /// a\n@BADNESS_ADJ_RE_NAME 70 /// b").text("")
    assert (
        "# the same for all rules of [victims.prefer], and of nohang's 70, 5 the largest\nprefer_points = 70\n" in text
    )


def test_a_rule_of_0_points_does_nothing():
    assert printed(nohang.read("@BADNESS_ADJ_RE_NAME 0 /// a")) == {}


@pytest.mark.parametrize(
    ("text", "floor"),
    [
        ("soft_threshold_min_mem = 300 M", {"available_percent": 40, "available_mib": 300}),
        (
            "soft_threshold_min_mem=8%\nhard_threshold_min_mem = 4 %",
            {"available_percent": 8, "available_mib": NO_LIMIT_MIB},
        ),
        (
            "soft_threshold_min_swap = 25 %\nhard_threshold_min_swap = 5 %",
            {"swap_percent": 25, "kill_fraction_percent": 20},
        ),
    ],
)
def test_the_thresholds_of_nohang_are_those_of_one_condition(text, floor):
    assert printed(nohang.read(text)) == {"conditions": {"floor": floor}}


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("soft_threshold_min_swap = 300 M", "soft_threshold_min_swap = 300 M: bustd counts swap in percent"),
        (
            "soft_threshold_min_mem = 8 %\nhard_threshold_min_mem = 50 M",
            "hard_threshold_min_mem = 50 M: it is in another unit",
        ),
        ("soft_threshold_min_mem = 0 %\nhard_threshold_min_mem = 0 %", "hard_threshold_min_mem = 0 %: it is"),
        ("post_kill_exe = /bin/x", "post_kill_exe = /bin/x: bustd runs no program"),
        (
            "soft_threshold_min_mem = 10 %\nhard_threshold_min_mem = 5 %\nsoft_threshold_min_swap = 10 %\n"
            "hard_threshold_min_swap = 4 %",
            "hard_threshold_min_swap, 40 % of the soft one: bustd has one share, 50 %, for all",
        ),
        ("zram_checking_enabled = True", "zram_checking_enabled = True: not needed"),
    ],
)
def test_a_value_of_nohang_that_has_no_key_is_said_to_be_lost(text, lost):
    draft = nohang.read(text)
    printed(draft)
    assert [sentence for sentence in draft.lost if sentence.startswith(lost)]


def test_psi_some_avg10_is_carried_over_and_psi_full_is_not():
    text = "soft_threshold_min_mem = 5 %\npsi_checking_enabled = True\nsoft_threshold_max_psi = 30\npsi_metrics = "
    assert printed(nohang.read(f"{text}some_avg10"))["conditions"]["pressure"] == {"psi_some_avg10": 30}
    assert "pressure" not in printed(nohang.read(f"{text}full_avg10"))["conditions"]


# --- anything at all

PATTERNS = st.text(st.sampled_from("ab.*+?^$|()[]\\{}-/ \"'#\n\té\x7f\x1b😀"), max_size=20)
NUMBERS = st.floats(0, 200).map(lambda number: f"{number:g}") | st.just("5,2") | st.text("0123456789.,-x", max_size=5)
OPTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["-m", "-M", "-s", "-S", "-r"]), NUMBERS).map(list),
        st.tuples(st.sampled_from(["--prefer", "--avoid", "--ignore", "-N"]), PATTERNS).map(list),
        st.sampled_from(["-g", "-n", "-p", "-d", "--dryrun", "--ignore-root-user", "x"]).map(lambda word: [word]),
    ),
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(OPTIONS)
def test_whatever_options_earlyoom_has_the_file_is_valid_or_a_sentence_says_why_not(options):
    try:
        draft = earlyoom.of_words([word for words in options for word in words])
    except NotThat as reason:
        assert str(reason)
    else:
        printed(draft)


UNITS = st.sampled_from(["%", " M", ""])
LINES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["soft", "hard"]), st.sampled_from(["mem", "swap"]), NUMBERS, UNITS).map(
            lambda given: f"{given[0]}_threshold_min_{given[1]} = {given[2]}{given[3]}"
        ),
        st.tuples(
            st.sampled_from(["NAME", "CMDLINE", "CGROUP_V2", "REALPATH", "UID", "CWD"]),
            st.integers(-2000, 2000),
            PATTERNS,
        ).map(lambda given: f"@BADNESS_ADJ_RE_{given[0]} {given[1]} /// {given[2]}"),
        st.text(max_size=30),
    ),
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(LINES)
def test_whatever_lines_nohang_has_the_file_is_valid_or_a_sentence_says_why_not(lines):
    try:
        draft = nohang.read("\n".join(lines))
    except NotThat as reason:
        assert str(reason)
    else:
        printed(draft)


@given(st.text())
def test_whatever_is_in_the_file_of_earlyoom_the_shell_could_read_it_or_a_sentence_says_why_not(text):
    try:
        printed(earlyoom.read(io.StringIO(text).read()))
    except NotThat as reason:
        assert str(reason)
