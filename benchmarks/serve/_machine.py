"""The machine a run was made on, and who else was using it. Reads /proc only."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import msgspec

QUIET_SHARE = 0.05
"""Above this share of the machine's time, others are named as a disturbance."""


class Machine(msgspec.Struct, frozen=True):
    """What a figure depends on and the code does not say."""

    processor: str
    cores: int
    memory_bytes: int
    kernel: str
    system: str


class CpuTimes(msgspec.Struct, frozen=True):
    """Seconds since boot, of all cores together."""

    busy_s: float
    steal_s: float
    total_s: float


class Neighbours(msgspec.Struct, frozen=True):
    """Who used the machine in the second before the run."""

    load_average_1m: float
    busy_share: float
    steal_share: float


def machine() -> Machine:
    """This machine."""
    return Machine(
        processor=_field(Path("/proc/cpuinfo"), "model name"),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release(),
        system=platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
    )


def _field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def parse_cpu_times(text: str, ticks_per_s: int) -> CpuTimes:
    """The first line of /proc/stat as seconds.

    Source: proc_stat(5): user nice system idle iowait irq softirq steal guest guest_nice;
    guest is part of user.
    """
    user, nice, system, idle, wait, irq, softirq, steal = map(
        int, text.split("\n", 1)[0].split()[1:9]
    )
    busy = user + nice + system + irq + softirq
    total = busy + idle + wait + steal
    return CpuTimes(busy / ticks_per_s, steal / ticks_per_s, total / ticks_per_s)


def cpu_times() -> CpuTimes:
    """Now."""
    return parse_cpu_times(Path("/proc/stat").read_text(), os.sysconf("SC_CLK_TCK"))


def neighbours(watched_s: float = 1.0) -> Neighbours:
    """Watches for `watched_s` seconds, during which the caller runs nothing."""
    load_average, before = os.getloadavg()[0], cpu_times()
    time.sleep(watched_s)
    after = cpu_times()
    total_s = after.total_s - before.total_s
    return Neighbours(
        load_average_1m=load_average,
        busy_share=(after.busy_s - before.busy_s) / total_s,
        steal_share=(after.steal_s - before.steal_s) / total_s,
    )
