"""With which signal a process ends best, and what systemd makes of it. Pure.

systemd takes a main process that SIGTERM has ended for one that has ended well: the unit is "deactivated successfully",
and Restart=on-failure does not bring it back (systemd.service(5), SuccessExitStatus= and Restart=). After SIGKILL the
unit has failed, and Restart=on-failure, on-abnormal, on-abort and always bring it back.
"""

from __future__ import annotations

from bustd_shared.daemon.libc import matches_glob

from ..sensing.processes import Process
from .settings import Victims

_MANAGER = 1
"""PID 1 starts the main process of each service of the system. Whether it is systemd, the control group says."""

NEEDS_GRACE = (
    "postgresql*.service",
    "postgres*.service",
    "mysql*.service",
    "mariadb*.service",
    "mongod*.service",
    "redis*.service",
    "valkey*.service",
    "cassandra*.service",
    "scylla-server.service",
    "clickhouse-server.service",
    "elasticsearch*.service",
    "opensearch*.service",
    "influxdb*.service",
    "prometheus.service",
    "couchdb.service",
    "neo4j.service",
    "rabbitmq-server.service",
    "etcd.service",
    "slapd.service",
    "firebird*.service",
    "oracle*.service",
    "mssql-server.service",
    "libvirtd.service",
    "docker.service",
    "containerd.service",
)
"""Units whose data, or whose other processes, a SIGKILL would leave in disorder: they keep the grace of a SIGTERM."""


def service_ended_with(process: Process, whole: str) -> str:
    """The system service that ends with this process, "" if none does: it is the main process, or all of it dies.

    `whole`: the control group that dies with it, "" for none. What a user's own manager started is no system service:
    that is below user.slice, and all else of the system, in whichever slice it is.
    """
    unit = process.unit
    if not unit.endswith(".service") or not process.cgroup or process.cgroup.startswith("/user.slice/"):
        return ""
    return unit if process.parent == _MANAGER or whole.endswith(f"/{unit}") else ""


def is_killed_at_once(service: str, victims: Victims) -> bool:
    """Whether `victims.signal` asks for SIGKILL instead of SIGTERM, for what ends this service ("": none)."""
    if victims.signal != "auto":
        return victims.signal == "kill"
    needs_grace = NEEDS_GRACE + victims.grace.units
    return bool(service) and not any(matches_glob(pattern.encode(), service.encode()) for pattern in needs_grace)
