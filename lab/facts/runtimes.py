"""What stands between us and the processor: containers, virtual machines, and impersonators of other kernels.

Two readings need a word:

* gVisor. It answers system calls itself, so uname is its own invention: "#1 SMP Sun Jan 10 15:06:54 PST 2016" has
  been its constant version from 4.4.0 (2018) to 4.19.0-gvisor (2026). That is certain. google/gvisor #54 asks for
  more, and there is none: the jokes in its dmesg cannot be read without ctypes.
* Docker. ``/.dockerenv`` is a file that is easily copied into a virtual machine's disk (our build machine has one),
  so alone it is a hint. The files that docker mounts over /etc/hosts are proof.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from lab.architectures import is_x86
from lab.facts.files import exists, read
from lab.facts.kernel import Kernel, wine_version

Finding = Dict[str, Any]
"""``{"name": str, "certain": bool, "evidence": [str, ...]}``"""


class Sign(NamedTuple):
    """One sign of a runtime: its name, whether the sign is proof, and what was looked at."""

    name: str
    certain: bool
    evidence: str


_GVISOR_VERSION = "#1 SMP Sun Jan 10 15:06:54 PST 2016"
_MOUNTS = (("kubernetes", "/kubelet/pods/"), ("podman", "/overlay-containers/"),
           ("docker", r"/containers/[0-9a-f]{64}/(?:hosts|hostname|resolv\.conf)$"))
_VENDORS = (("firecracker", "firecracker"), ("qemu", "qemu"), ("vmware", "vmware"), ("virtualbox", "innotek"),
            ("hyper-v", "microsoft"), ("xen", "xen"), ("ec2", "amazon ec2"), ("gce", "google"),
            ("apple", "apple virtualization"), ("parallels", "parallels"))


def runtime(root: str, kernel: Kernel, environ: Mapping[str, str]) -> Optional[Finding]:
    """What stands between us and the kernel. The first sign gives the name: impersonators, containers, then WSL 2."""
    return _conclude(_impersonators(root, kernel) + _containers(root, environ) + _windows_subsystem(kernel, "wsl2"))


def virtualization(root: str, kernel: Kernel) -> Optional[Finding]:
    """The virtual machine that the kernel runs in, as far as a guest can tell."""
    signs: List[Sign] = []
    cpuinfo = read(root, "proc/cpuinfo") or ""
    if not is_x86(kernel.machine) and re.search("GenuineIntel|AuthenticAMD", cpuinfo):
        signs.append(Sign("qemu-user", True, "the machine is %s, but /proc/cpuinfo is an x86's" % kernel.machine))
    for path in ("sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name", "sys/hypervisor/type"):
        text = (read(root, path) or "").lower()
        signs += [Sign(name, True, "/%s" % path) for name, word in _VENDORS if word in text]
    if "firecracker" in (read(root, "proc/cmdline") or "").lower():
        signs.append(Sign("firecracker", False, "/proc/cmdline mentions it"))
    if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE):
        signs.append(Sign("hypervisor", True, "hypervisor flag in /proc/cpuinfo"))
    return _conclude(signs)


def _impersonators(root: str, kernel: Kernel) -> List[Sign]:
    """Signs of what answers system calls itself: what we measure there is its own, not Linux's or Windows'."""
    signs: List[Sign] = []
    if kernel.version == _GVISOR_VERSION:
        signs.append(Sign("gvisor", True, "the kernel's version is gVisor's constant"))
    if "gvisor" in kernel.release.lower():
        signs.append(Sign("gvisor", True, "the kernel's release names it"))
    if exists(root, "proc/version") and not exists(root, "proc/sys/kernel/osrelease"):
        signs.append(Sign("gvisor", False, "/proc has no sys/kernel/osrelease"))  # google/gvisor #12487, until 2026
    wine = wine_version()
    if wine is not None:
        signs.append(Sign("wine", True, "ntdll has wine_get_version: %s" % wine))
    return signs + _windows_subsystem(kernel, "wsl1")


def _windows_subsystem(kernel: Kernel, kind: str) -> List[Sign]:
    """WSL 1 translates system calls (4.4.0-19041-Microsoft); WSL 2 is a Linux in a virtual machine
    (5.15.90.1-microsoft-standard-WSL2)."""
    if "microsoft" not in kernel.release.lower() or kernel.system != "Linux":
        return []
    found = "wsl1" if kernel.release.endswith("-Microsoft") else "wsl2"
    return [Sign(found, True, "the kernel's release names Microsoft")] if found == kind else []


def _containers(root: str, environ: Mapping[str, str]) -> List[Sign]:
    mounted, group = _mounted(root), read(root, "proc/1/cgroup") or ""
    signs = [Sign(name, True, "%s is mounted by it" % target)
             for name, part in _MOUNTS for target, source, _ in mounted if re.search(part, source)]
    if exists(root, "var/run/secrets/kubernetes.io"):
        signs.append(Sign("kubernetes", True, "/var/run/secrets/kubernetes.io exists"))
    if "KUBERNETES_SERVICE_HOST" in environ:
        signs.append(Sign("kubernetes", False, "KUBERNETES_SERVICE_HOST is set"))
    for name, word in (("kubernetes", "kubepods"), ("podman", "libpod"), ("docker", "docker"), ("lxc", "/lxc")):
        if word in group:
            signs.append(Sign(name, True, "/proc/1/cgroup mentions it"))
    if exists(root, "run/.containerenv"):
        signs.append(Sign("podman", False, "/run/.containerenv exists"))
    if exists(root, ".dockerenv"):
        signs.append(Sign("docker", False, "/.dockerenv exists"))
    order = ("kubernetes", "podman", "docker", "lxc")
    signs.sort(key=lambda sign: order.index(sign.name))
    if any(target == "/" and kind == "overlay" for target, _, kind in mounted):
        signs.append(Sign("container", False, "/ is an overlay"))
    return signs


def _mounted(root: str) -> List[Tuple[str, str, str]]:
    """(target, source, kind) of the mounts on / and on the files that engines put into /etc. The source is the
    path inside its own file system: an engine's host has the same paths as targets (proc(5), mountinfo)."""
    found = []
    for line in (read(root, "proc/self/mountinfo") or "").splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) > 4 and fields[4] in ("/", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"):
            found.append((fields[4], fields[3], right.partition(" ")[0]))
    return found


def _conclude(signs: List[Sign]) -> Optional[Finding]:
    if not signs:
        return None
    name = signs[0].name
    return {"name": name, "certain": any(sign.certain for sign in signs if sign.name == name),
            "evidence": list(dict.fromkeys(sign.evidence for sign in signs))}
