"""containerd's default spec, as its own client makes it, to be changed in one place by each test."""

from __future__ import annotations

import copy
from typing import Any

from bridge.policy import HostMount, Permissions, RuleBook

CAPABILITIES = [
    *(
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
    ),
    *("CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"),
]
_DEVICES = [(1, 3), (1, 8), (1, 7), (5, 0), (1, 5), (1, 9), (5, 1), (5, 2)]

DEFAULT: dict[str, Any] = {
    "ociVersion": "1.1.0",
    "hostname": "web",
    "process": {
        "args": ["sh"],
        "cwd": "/",
        "env": ["PATH=/bin"],
        "user": {"uid": 0, "gid": 0},
        "noNewPrivileges": True,
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}],
    },
    "root": {"path": "rootfs"},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]},
    ],
    "linux": {
        "cgroupsPath": "/default/web.1",
        "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
        "maskedPaths": [
            *("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"),
            *("/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/scsi"),
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        "resources": {
            "cpu": {"shares": 1024},
            "devices": [
                {"allow": False, "access": "rwm"},
                {"allow": True, "type": "c", "major": 136, "access": "rwm"},
                *({"allow": True, "type": "c", "major": one, "minor": two, "access": "rwm"} for one, two in _DEVICES),
            ],
        },
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The default spec with one value replaced; the last step of the path may be new, `+` appends to a list."""
    spec = copy.deepcopy(DEFAULT)
    at: Any = spec
    *steps, last = path.split(".")
    for step in steps:
        at = at[step]
    if last == "+":
        at.append(value)
    else:
        at[last] = value
    return spec


def without(path: str) -> dict[str, Any]:
    """The default spec without one value."""
    spec = copy.deepcopy(DEFAULT)
    at: Any = spec
    *steps, last = path.split(".")
    for step in steps:
        at = at[step]
    del at[last]
    return spec


async def anything(**_: Any) -> None:
    """Be a permission that allows everything."""


LENIENT = RuleBook(
    default="allow",
    spec=Permissions(
        privileged=True, hooks=True, propagation=True, oom_score=True, host_mounts=[HostMount(source="/", write=True)],
        host_namespaces=["net", "pid", "ipc", "uts", "mount"], namespace_paths=["/"], file_systems=["*"], cgroup_paths=["*"],
        log_files=["/"], labels=["*"], hosts_dirs=["/"], sysctls=["*"],
        annotations=["*"], runtimes=["*"], runtime_options=["*"], fields=["*"],
    ),
)  # fmt: skip
"""Rules for tests that are about something else."""
