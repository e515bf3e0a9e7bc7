"""What the packagings install and what they say of themselves. That a package works is for tests/vm to show."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from bustd_shared import __version__

ROOT = Path(__file__).resolve().parents[3]
PACKAGING = ROOT / "packaging"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

INSTALLED = {
    "etc/bustd/bustd.toml",
    "etc/bustd/killer.toml",
    "usr/share/bash-completion/completions/bustd",
    "usr/share/fish/vendor_completions.d/bustd.fish",
    "usr/share/zsh/site-functions/_bustd",
    "etc/xdg/autostart/bustd-notify.desktop",
    "usr/lib/systemd/catalog/bustd.catalog",
    "usr/lib/systemd/system/bustd-events.socket",
    "usr/lib/systemd/system/bustd-killer.service",
    "usr/lib/systemd/system/bustd-killer.socket",
    "usr/lib/systemd/system/bustd-metrics.service",
    "usr/lib/systemd/system/bustd-metrics.timer",
    "usr/lib/systemd/system/bustd-monitor.service",
    "usr/lib/systemd/system/bustd.slice",
    "usr/lib/sysusers.d/bustd.conf",
    "usr/share/bustd/prometheus/bustd.rules.yml",
    "usr/lib/tmpfiles.d/bustd.conf",
}


def found(pattern: str, file: str) -> str:
    match = re.search(pattern, (PACKAGING / file).read_text(), flags=re.MULTILINE)
    assert match, f"{file} has nothing like {pattern}"
    return match[1]


# --- what they say of themselves


def test_every_packaging_is_of_the_same_version():
    (ebuild,) = (PACKAGING / "gentoo/sys-process/bustd").glob("*.ebuild")
    assert {
        "the code": __version__,
        "Debian": found(r"\Abustd \((.*?)\)", "debian/changelog"),
        "Arch": found(r"^pkgver=(.*)$", "arch/PKGBUILD"),
        "RPM": found(r"^Version: +(.*)$", "rpm/bustd.spec"),
        "RPM's changelog": found(r"^%changelog\n.* - (.*)-\d+$", "rpm/bustd.spec"),
        "Gentoo": ebuild.stem.removeprefix("bustd-"),
        "CHANGELOG.md": found(r"^## \[(\d.*?)\] - \d{4}-\d\d-\d\d$", "../CHANGELOG.md"),
    } == dict.fromkeys(
        ["the code", "Debian", "Arch", "RPM", "RPM's changelog", "Gentoo", "CHANGELOG.md"], PROJECT["version"]
    )


def test_every_packaging_depends_on_what_the_project_does():
    needed = {re.match(r"[\w-]+", requirement)[0] for requirement in PROJECT["dependencies"]}
    short = {name.removeprefix("python-") for name in needed}
    assert short == {"msgpack", "prctl", "psutil"}
    debian = dict(line.split() for line in (PACKAGING / "debian/py3dist-overrides").read_text().splitlines())
    assert debian == {name: f"python3-{name.removeprefix('python-')}" for name in needed}
    assert {f"python-{name}" for name in short} < set(found(r"^depends=\((.*)\)$", "arch/PKGBUILD").split())
    spec = (PACKAGING / "rpm/bustd.spec").read_text()
    assert set(re.findall(r"^Requires: +python3-(\w+)$", spec, flags=re.MULTILINE)) == short
    ebuild = (PACKAGING / f"gentoo/sys-process/bustd/bustd-{PROJECT['version']}.ebuild").read_text()
    asked = set(re.findall(r"dev-python/([\w-]+)-([\d.]+)\[", ebuild))
    assert asked == {tuple(requirement.split(">=")) for requirement in PROJECT["dependencies"]}


def test_every_packaging_offers_what_notifications_need():
    assert PROJECT["optional-dependencies"]["notify"] == ["jeepney>=0.8"]
    assert found(r"^Recommends: (.*)$", "debian/control") == "python3-jeepney"
    assert found(r"^Recommends: +(.*)$", "rpm/bustd.spec") == "python3-jeepney"
    assert found(r"^optdepends=\('([\w-]+):", "arch/PKGBUILD") == "python-jeepney"
    ebuild = f"gentoo/sys-process/bustd/bustd-{PROJECT['version']}.ebuild"
    assert found(r"^\toptfeature .* (\S+)$", ebuild) == "dev-python/jeepney"


def test_a_session_starts_the_command_that_is_installed():
    entry = (PACKAGING / "bustd-notify.desktop").read_text().splitlines()
    assert {"[Desktop Entry]", "Type=Application", "Exec=bustd notify", "TryExec=bustd"} < set(entry)


def test_what_make_run_starts_in_a_session_is_its_own_and_goes_with_it(tmp_path):
    edit = found(r'^ +sed "(s\|Exec=.*)" "\$here/bustd-notify', "install.sh")
    command = ["sed", edit.replace("$prefix", "/opt/bustd"), PACKAGING / "bustd-notify.desktop"]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {"Exec=/opt/bustd/bin/bustd notify", "TryExec=/opt/bustd/bin/bustd"} < set(made)
    assert found(r'grep -qs "(.*)" "\$autostart"', "uninstall.sh") == "^Exec=$prefix/bin/bustd "


def test_arch_keeps_each_configuration_file_that_was_changed():
    kept = found(r"^backup=\((.*)\)$", "arch/PKGBUILD").split()
    assert set(kept) == {name for name in INSTALLED if name.startswith("etc/")}


# --- what make run installs

LOCKED = {name: (PACKAGING / name).read_text() for name in ("requirements.txt", "requirements-build.txt")}


def locked(name: str) -> dict[str, str]:
    """The version of each package in a file of requirements."""
    return dict(re.findall(r"^([\w-]+)==(\S+) \\$", LOCKED[name], flags=re.MULTILINE))


@pytest.mark.parametrize("name", LOCKED)
def test_every_package_that_make_run_fetches_has_hashes(name):
    lines = [line for line in LOCKED[name].splitlines() if not line.startswith("#")]
    pinned = re.split(r"^(?=\S)", "\n".join(lines), flags=re.MULTILINE)[1:]
    assert len(pinned) == len(locked(name)) > 0
    for one in pinned:
        assert re.fullmatch(r"[\w-]+==[\w.]+( \\\n    --hash=sha256:[0-9a-f]{64})+\n?", one), one


def test_make_run_installs_what_the_project_depends_on_in_versions_that_it_may_have():
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["notify"]]
    asked = dict(requirement.split(">=") for requirement in wanted)
    assert locked("requirements.txt").keys() == asked.keys()
    for name, version in locked("requirements.txt").items():
        assert [int(part) for part in version.split(".")] >= [int(part) for part in asked[name].split(".")]
    (build_backend,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert build_backend in locked("requirements-build.txt")


@pytest.mark.parametrize("script", ["install.sh", "dist.sh"])
def test_pip_fetches_nothing_but_by_hash(script):
    text = (PACKAGING / script).read_text().replace("\\\n", " ")
    calls = re.findall(r"(?:\$pip|-m pip) .*\b(?:install|download|wheel)\b.*", text)
    assert calls
    for call in calls:
        assert "--require-hashes" in call or "--no-index" in call, call


DPKG = """#!/bin/sh
echo "dpkg $*" >>"$CALLS"
[ ! -e "$CALLS.refused" ]
"""


@pytest.mark.parametrize("is_refused", [False, True])
def test_what_the_build_has_brought_is_removed_and_what_could_not_be_is_said_and_stays_recorded(tmp_path, is_refused):
    (tmp_path / "dpkg").write_text(DPKG)
    (tmp_path / "dpkg").chmod(0o755)
    record, calls = tmp_path / "record", tmp_path / "calls"
    record.write_text("libcap-dev:amd64\ngcc\n")
    if is_refused:
        Path(f"{calls}.refused").touch()
    text = f'. {PACKAGING}/functions.sh; . {PACKAGING}/apt.sh; remove_tools "{record}"; remove_tools "{record}.none"'
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls)}
    ran = subprocess.run(["sh", "-euc", text], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0
    assert calls.read_text() == "dpkg --purge libcap-dev:amd64 gcc\n"
    said = "could not be removed" if is_refused else "removed what was brought to build with"
    assert f"{said}: libcap-dev:amd64 gcc\n" in ran.stdout
    assert (record.read_text() == "") is not is_refused


def test_what_bustd_runs_with_is_not_removed_with_the_tools_and_uninstall_names_both():
    assert found(r'^\[ -z "\$brought" \] .* >>"(.*)"$', "install.sh") == "$needed"
    assert found(r'remove_tools "(.*)"\' EXIT', "install.sh") == "$record"
    assert found(r"^ +brought=\$\(cat (.*) 2>", "uninstall.sh") == '"$record" "$needed"'


def test_nothing_of_the_debian_package_is_fetched_by_pip_and_no_compiled_module_is_in_it():
    """Its dependencies are the distribution's packages (py3dist-overrides), and python3-hatchling builds it."""
    assert "pip" not in re.findall(
        r"\w+", (PACKAGING / "deb.sh").read_text() + (PACKAGING / "debian/rules").read_text()
    )
    control = (PACKAGING / "debian/control").read_text()
    assert "\nArchitecture: all\n" in control
    assert "${python3:Depends}" in control
    assert "python3-hatchling" in control


def test_make_deb_refuses_a_changelog_of_another_version(tmp_path):
    shutil.copytree(PACKAGING, tmp_path / "packaging")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "7.8.9"\n')
    ended = subprocess.run(["sh", tmp_path / "packaging/deb.sh"], capture_output=True, text=True)
    assert ended.returncode == os.EX_DATAERR
    assert "pyproject.toml is at version 7.8.9" in ended.stderr


@pytest.mark.parametrize(
    ("suite", "version", "distribution"),
    [
        ("bookworm", f"{PROJECT['version']}~deb12u1", "bookworm"),
        ("trixie", f"{PROJECT['version']}~deb13u1", "trixie"),
        ("forky", PROJECT["version"], "unstable"),
        ("noble", PROJECT["version"], "unstable"),
    ],
)
def test_a_release_of_debian_gets_a_version_below_the_next_ones(tmp_path, suite, version, distribution):
    tree = tmp_path / "tree"
    shutil.copytree(PACKAGING, tree / "packaging")
    made_source = ["sh", tree / "packaging/debian-source.sh", suite, tmp_path / "source"]
    subprocess.run(made_source, check=True, env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"})
    times = {path.stat().st_mtime for path in (tmp_path / "source").rglob("*")}
    assert times == {1700000000.0}, "dpkg would keep the time of a file that is older than its commit"
    own = (PACKAGING / "debian/changelog").read_text()
    made = (tmp_path / "source/debian/changelog").read_text()
    assert made.endswith(own)
    assert made.startswith(f"bustd ({version}) {distribution}; urgency=")
    dates = [parsedate_to_datetime(date) for date in re.findall(r"^ -- .*>  (.*)$", made, flags=re.MULTILINE)]
    assert dates == sorted(set(dates), reverse=True)


def test_the_suite_whose_systemd_is_old_gets_units_for_it():
    """What it comes to on a booted Debian 12 is for make vm-matrix."""
    rules = (PACKAGING / "debian/rules").read_text()
    assert re.findall(r"^SYSTEMD_OF_(\w+) = (\d+)$", rules, flags=re.MULTILINE) == [("bookworm", "252")]
    assert " SYSTEMD=$(SYSTEMD_OF_$(SUITE)) " in rules


# --- what they install


FROM_THE_WHEEL = {"usr/bin/bustd": 0o755, "usr/share/man/man1/bustd.1": 0o644}


def install(destdir: Path, *words: str) -> subprocess.CompletedProcess:
    """Run install-system-files.sh beside what it expects of the wheel."""
    for name, mode in FROM_THE_WHEEL.items():
        file = destdir / name
        file.parent.mkdir(parents=True)
        file.write_text("#!/usr/bin/python3\nimport sys\n")
        file.chmod(mode)
    command = ["sh", PACKAGING / "install-system-files.sh", destdir, *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_wheel_without_man_pages_is_no_package(tmp_path):
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/bustd").write_text("#!/usr/bin/python3\n")
    command = ["sh", PACKAGING / "install-system-files.sh", tmp_path, "/usr/bin/python3", "/usr/lib/python3"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == os.EX_UNAVAILABLE
    assert "built without scdoc" in ended.stderr
    assert set(tree(tmp_path)) == {"usr/bin/bustd"}


def tree(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_mode & 0o7777 for path in root.rglob("*") if path.is_file()}


def test_the_system_files_are_exactly_these_and_readable_by_all(tmp_path):
    ended = install(tmp_path / "root", "/usr/bin/python3", "/usr/lib/python3/dist-packages")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert tree(tmp_path / "root") == dict.fromkeys(INSTALLED, 0o644) | FROM_THE_WHEEL
    assert (tmp_path / "root/usr/bin/bustd").read_text() == "#!/usr/bin/python3 -I\nimport sys\n"
    folders = [path for path in (tmp_path / "root").rglob("*") if path.is_dir()]
    assert {path.stat().st_mode & 0o7777 for path in folders} == {0o755}


def test_every_source_of_a_system_file_is_installed():
    units = {path.name.removesuffix(".in") for path in (PACKAGING / "systemd").iterdir()}
    assert {f"usr/lib/systemd/system/{unit}" for unit in units} == {
        name for name in INSTALLED if "systemd/system" in name
    }
    for folder in ("sysusers.d", "tmpfiles.d"):
        assert [path.name for path in (PACKAGING / folder).iterdir()] == ["bustd.conf"]


def test_the_units_start_the_python_and_the_modules_that_were_named(tmp_path):
    install(tmp_path / "root", "/usr/bin/python3.13", "/usr/lib/python3.13/site-packages", "/lib/units")
    for part in ("killer", "monitor"):
        unit = (tmp_path / f"root/lib/units/bustd-{part}.service").read_text()
        modules = "/usr/lib/python3.13/site-packages"
        assert f"\nExecStart=/usr/bin/python3.13 -I -S {modules}/bustd_{part}/__main__.py\n" in unit


@pytest.mark.parametrize(
    ("version", "left_out"),
    [("252", {"OpenFile", "MemoryPressureWatch"}), ("253", {"MemoryPressureWatch"}), ("254", set()), ("", set())],
)
def test_units_for_an_older_systemd_lack_exactly_the_keys_that_it_does_not_know(
    tmp_path, monkeypatch, version, left_out
):
    def keys(root: str, version: str) -> list[str]:
        monkeypatch.setenv("SYSTEMD", version)
        (tmp_path / root).mkdir()
        install(tmp_path / root / "root", "/usr/bin/python3", "/usr/lib/python3/dist-packages")
        units = sorted((tmp_path / root / "root/usr/lib/systemd/system").iterdir())
        return [key for unit in units for key in re.findall(r"^(\w+)=", unit.read_text(), flags=re.MULTILINE)]

    newest = keys("newest", "999")
    assert keys("older", version) == [key for key in newest if key not in left_out]
    assert {"OpenFile", "MemoryPressureWatch"} < set(newest)


def understood(units: Path) -> list[str]:
    """What systemd says of these units; that an older one does not know a key is none of our business."""
    paths = [path for path in units.iterdir() if path.is_file()]
    ended = subprocess.run(["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True)
    return [line for line in ended.stderr.splitlines() if "Unknown key" not in line]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed (Debian: systemd)")
def test_systemd_understands_every_unit(tmp_path):
    root = tmp_path / "root"
    install(root, sys.executable, str(ROOT / "monitor"))
    units = root / "usr/lib/systemd/system"
    metrics = units / "bustd-metrics.service"
    metrics.write_text(metrics.read_text().replace("=/usr/bin/bustd ", f"={root}/usr/bin/bustd "))
    assert understood(units) == []
    monitor = units / "bustd-monitor.service"
    monitor.write_text(monitor.read_text().replace("MAINPID\"'", 'MAINPID"'))
    assert "quoting" in "".join(understood(units))


def test_no_placeholder_is_left(tmp_path):
    install(tmp_path / "root", "/usr/bin/python3", "/usr/lib/python3/dist-packages")
    for name in tree(tmp_path / "root"):
        # in the catalog the journal fills in fields of ours
        assert not re.search(r"@(?!BUSTD_)[\w.:]+@", (tmp_path / "root" / name).read_text()), name


@pytest.mark.parametrize("path", ["python3", "/opt/my python/bin/python3", "/opt/100%/python3", "/a|b/python3", ""])
def test_a_path_that_a_unit_would_not_understand_is_refused(tmp_path, path):
    assert install(tmp_path / "root", path, "/usr/lib/python3/dist-packages").returncode == os.EX_USAGE
    assert tree(tmp_path / "root") == FROM_THE_WHEEL


# --- the command


def isolated(script: Path) -> subprocess.CompletedProcess:
    words = ["sh", "-euc", '. "$1"; isolate "$2"', "sh", PACKAGING / "functions.sh", script]
    return subprocess.run(words, capture_output=True, text=True)


@pytest.mark.parametrize(
    "line", ["#!/usr/bin/python3", "#! /opt/b/bin/python3.13", "#!/usr/bin/python3 -sP", "#!/p/python -I"]
)
def test_the_command_starts_its_python_isolated(tmp_path, line):
    script = tmp_path / "bustd"
    script.write_text(f"{line}\n# not a python -x\n")
    assert isolated(script).returncode == 0
    interpreter = line.removeprefix("#!").split()[0]
    assert script.read_text() == f"#!{interpreter} -I\n# not a python -x\n"


@pytest.mark.parametrize("line", ["#!/bin/sh", "#!/usr/bin/env python3", "", "import python"])
def test_a_command_that_can_not_be_isolated_is_no_package(tmp_path, line):
    script = tmp_path / "bustd"
    script.write_text(f"{line}\n")
    assert isolated(script).returncode == os.EX_SOFTWARE
    assert script.read_text() == f"{line}\n"


@pytest.mark.parametrize("is_isolated", [False, True])
def test_no_environment_makes_the_isolated_command_run_other_code(tmp_path, is_isolated):
    (tmp_path / "sitecustomize.py").write_text("print('of the environment')\n")
    script = tmp_path / "bustd"
    shutil.copy(Path(sysconfig.get_path("scripts")) / "bustd", script)
    if is_isolated:
        isolated(script)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run([script, "--version"], capture_output=True, text=True, env=environment, check=True)
    assert ("of the environment" in ended.stdout) != is_isolated
    assert __version__ in ended.stdout


def test_make_run_isolates_the_command_that_it_installs():
    assert found(r"^ +(isolate .*)$", "install.sh") == 'isolate "$prefix/bin/bustd"'


# --- the scripts

POSIX = [
    *PACKAGING.rglob("*.sh"),
    *(PACKAGING / "debian").glob("bustd.p*"),
    *(path for path in (PACKAGING / "debian/tests").iterdir() if path.name != "control"),
    PACKAGING / "openrc/bustd.initd",
    PACKAGING / "openrc/bustd.confd",
]
BASH = [PACKAGING / "arch/PKGBUILD", *PACKAGING.rglob("*.ebuild")]


def named(paths: list[Path]) -> list:
    return [pytest.param(path, id=str(path.relative_to(PACKAGING))) for path in sorted(paths)]


@pytest.mark.parametrize("path", named(POSIX))
def test_a_script_parses(path):
    subprocess.run(["sh", "-n", path], check=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize("path", named(BASH))
def test_a_recipe_parses(path):
    subprocess.run(["bash", "-n", path], check=True)


@pytest.mark.skipif(shutil.which("rpmspec") is None, reason="rpmspec is not installed")
def test_the_rpm_spec_is_one(tmp_path):
    def parsed(path: Path) -> subprocess.CompletedProcess:
        return subprocess.run(["rpmspec", "-P", path], capture_output=True, text=True)

    whole = parsed(ROOT / "packaging/rpm/bustd.spec")
    assert whole.returncode == 0, whole.stderr
    assert "Requires:       python3-prctl" in whole.stdout
    broken = tmp_path / "broken.spec"
    broken.write_text((ROOT / "packaging/rpm/bustd.spec").read_text().replace("Version:", "Vesrion:"))
    assert parsed(broken).returncode != 0


def test_both_units_permit_the_interpreter_the_same_calls():
    def interpreter(unit: str) -> list[str]:
        text = (ROOT / f"packaging/systemd/{unit}.service.in").read_text()
        return re.findall(r"# the interpreter\n(.*?)# locked memory", text, re.DOTALL)

    assert interpreter("bustd-killer") == interpreter("bustd-monitor") != []
