"""The container image and the DaemonSet: what they start exists, as they start it. make image-test runs them."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bustd_killer import start
from bustd_monitor import arguments, config
from bustd_monitor.cli.parser import parsed
from bustd_shared import __version__
from bustd_shared.rules import killer_toml
from tests.unit.monitor.making import DEFAULTS

ROOT = Path(__file__).resolve().parents[3]
CONTAINER = ROOT / "packaging/container"
MANIFEST = ROOT / "packaging/kubernetes/bustd.yaml"
READS = {"bustd-killer": start.parse_arguments, "bustd-monitor": arguments.parse_arguments}


@pytest.fixture(scope="module")
def collect() -> Any:
    """The script that collects the image's files."""
    spec = importlib.util.spec_from_file_location("collect", CONTAINER / "collect.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def documents() -> dict[str, Any]:
    """What the manifest makes, by its kind."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return {document["kind"]: document for document in yaml.safe_load_all(MANIFEST.read_text())}


@pytest.fixture
def pod(documents) -> dict[str, Any]:
    return documents["DaemonSet"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("number", [0, 1])
def test_each_container_starts_a_program_of_the_image_with_options_that_it_has(pod, number):
    container = pod["containers"][number]
    (program,) = container["command"]
    name = Path(program).name
    assert (CONTAINER / name).read_text().startswith("#!/usr/bin/python3 -IS\n")
    READS[name](container.get("args", []))


def test_the_halves_meet_at_the_socket_where_both_mount_the_same(pod):
    killer, monitor = pod["containers"]
    path = start.parse_arguments(killer["args"]).socket_path
    assert path == DEFAULTS.killer.socket
    for container in (killer, monitor):
        assert str(Path(path).parent) in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_the_monitors_container_is_the_images_user_bustd_with_no_power(pod, collect):
    context = pod["containers"][1]["securityContext"]
    assert context["runAsUser"] == context["runAsGroup"] == collect.USERS["bustd"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert all(mount["readOnly"] for mount in pod["containers"][1]["volumeMounts"])


def test_nothing_can_gain_a_privilege_or_write_to_the_image(pod):
    for container in pod["containers"]:
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"]["drop"] == ["ALL"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_configuration_of_the_manifest_is_in_order(documents, tmp_path):
    for name, text in documents["ConfigMap"]["data"].items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o444)
    rules = killer_toml.load(str(tmp_path / "killer.toml"), required=True)
    assert not rules.warnings
    assert "kubelet.service" in killer_toml.protection_of(rules).units
    assert not config.load(str(tmp_path / "bustd.toml"), required=True).warnings


def test_it_is_valid_for_kubernetes(documents):
    validating = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed (PyPI)")
    for document in documents.values():
        validating.validate(document, "1.33", strict=True)


def test_readmes_command_gives_the_pair_what_the_manifest_gives_the_killer(pod):
    readme = (CONTAINER / "README.md").read_text()
    (command,) = re.findall(r"^    (podman run .*?localhost/bustd:\S+)$", readme, re.MULTILINE | re.DOTALL)
    words = shlex.split(command.replace("\\\n", " "))
    capabilities = set(words[words.index("--cap-add") + 1].split(","))
    of_the_killer = set(pod["containers"][0]["securityContext"]["capabilities"]["add"])
    assert of_the_killer - capabilities == {"CHOWN"}, "the pair has no socket to give away"
    assert capabilities < of_the_killer


@pytest.mark.parametrize("file", ["container/README.md", "container/Containerfile", "kubernetes/bustd.yaml"])
def test_wherever_the_image_is_named_it_is_of_this_version(file):
    named = re.findall(r"localhost/bustd\S*|bustd-[\d.]+\.oci", (ROOT / "packaging" / file).read_text())
    assert named
    assert set(named) <= {f"localhost/bustd:{__version__}", f"bustd-{__version__}.oci"}


def test_the_image_begins_with_a_command_that_exists():
    text = (CONTAINER / "Containerfile").read_text()
    (words,) = re.findall(r'^CMD \["(.*)"\]$', text, re.MULTILINE)
    assert parsed(words.split('", "')).no_daemon


def test_the_image_has_every_package_of_the_wheel(collect):
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {Path(package).name for package in built["packages"]} == set(collect.OURS)
    copied = re.findall(r"^COPY (\S+) /source/\w+$", (CONTAINER / "Containerfile").read_text(), re.MULTILINE)
    assert set(copied) == set(built["packages"])


def test_the_programs_find_the_modules_where_they_are_collected(collect):
    for name in READS:
        assert f'sys.path.append("/{collect.MODULES}")' in (CONTAINER / name).read_text()
