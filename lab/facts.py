"""What "here" is: the platform as data that travels with every record.

A result without its platform is worth nothing, and records leave the machine: so each value below describes a kind
of platform, and none its owner. No host name, user name, path of theirs, environment value or container id gets in;
evidence names what was looked at, never what else stood there. tests/core/test_facts.py holds this.

Nothing here raises. A reading that fails is None: whichever error it was, the answer is the same, that this platform
does not tell. Every file is read below ``root``, so that tests can craft a platform out of a folder.

Three readings need a word:

* libc. The loader that the interpreter's ELF header asks for decides. ``platform.libc_ver()`` says ('libc', '') on
  musl, and SOABI says "gnu" there on CPython before 3.11 unless the distribution patched it (bpo-43112).
* gVisor. It answers system calls itself, so uname is its own invention: "#1 SMP Sun Jan 10 15:06:54 PST 2016" has
  been its constant version from 4.4.0 (2018) to 4.19.0-gvisor (2026). That is certain. google/gvisor #54 asks for
  more, and there is none: the jokes in its dmesg cannot be read without ctypes.
* Docker. ``/.dockerenv`` is a file that is easily copied into a virtual machine's disk (our build machine has one),
  so alone it is a hint. What docker mounts over /etc/hosts is proof.
"""

from __future__ import annotations

import os
import platform
import re
import select
import struct
import subprocess
import sys
import sysconfig
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from lab.capabilities import CAPABILITIES, has
from lab.upstream import upstream

Finding = Dict[str, Any]
"""``{"name": str, "certain": bool, "evidence": [str, ...]}``"""


class Kernel(NamedTuple):
    """What uname(2) says; on Windows the build, on Wine its version. ``version`` is the build's, e.g. ``#1 SMP``."""

    system: str
    release: str
    version: str
    machine: str


class Sign(NamedTuple):
    """One thing that speaks for a runtime."""

    name: str
    certain: bool
    evidence: str


def facts(root: str = "/") -> Dict[str, Any]:
    """This platform, in values that JSON can hold. None stands for what the platform does not tell. Never raises.

    system: ``Linux``, ``Windows``, ``Darwin``, ``Wine``, ...
    kernel: release, version, upstream (of Linux, see ``lab.upstream``; None elsewhere).
    architecture: machine (the kernel's: x86_64 also for a 32-bit interpreter), bits (of a pointer), byte_order
        (little, big).
    libc: name (glibc, musl, bionic, uclibc), version (or None), evidence [str]. None off Linux.
    distribution: id, version (or None for a rolling one), as in os-release(5); macos, windows or wine elsewhere.
    interpreter: implementation (CPython, PyPy), version (of the language: 3.9.16), release (its own, where that is
        another: 7.3.11 for PyPy), compiler, debug (bool), free_threaded (bool: built so), gil (bool: is on now).
    limits: nofile ({soft, hard}: descriptors, or the word ``unlimited``), fd_setsize (descriptors; on Windows
        sockets in one call), somaxconn (connections), max_user_watches (of epoll, over all processes of a user).
    cpus: that this process may use.
    runtime: what stands between us and the kernel, as a ``Finding``: gvisor, wsl1, wine, kubernetes, podman, docker,
        lxc, wsl2, or container for one without a name. Evidence lists all signs, also of the others.
    virtualization: firecracker, qemu, kvm, ... or hypervisor, as a ``Finding``; qemu-user where a foreign
        processor is emulated above a kernel that is not its own.
    features: bool each, of what Python offers here, by the names of ``lab.capabilities``. Whether the kernel keeps
        the promise is for a probe to find out. A record of an older lab has fewer.
    """
    kernel = uname()
    source = upstream(kernel.release, kernel.version) if kernel.system == "Linux" else None
    return {
        "system": kernel.system,
        "kernel": {"release": kernel.release, "version": kernel.version, "upstream": source},
        "architecture": {"machine": kernel.machine, "bits": struct.calcsize("P") * 8, "byte_order": sys.byteorder},
        "libc": libc(root) if kernel.system == "Linux" else None,
        "distribution": distribution(root, kernel),
        "interpreter": interpreter(),
        "limits": limits(root),
        "cpus": cpus(),
        "runtime": runtime(root, kernel, os.environ),
        "virtualization": virtualization(root, kernel),
        "features": features(),
    }


def uname() -> Kernel:
    """The kernel under us, by system call. ``platform.uname`` starts a process before 3.9, and WMI since 3.12."""
    if sys.platform == "win32":
        build = sys.getwindowsversion()
        machine = os.environ.get("PROCESSOR_ARCHITEW6432") or os.environ.get("PROCESSOR_ARCHITECTURE", "")
        wine = _wine()
        if wine is not None:  # it says that it is Windows 7, or whichever its user has set
            return Kernel("Wine", wine, "as Windows %d.%d.%d" % build[:3], machine)
        return Kernel("Windows", "%d.%d" % build[:2], "%d.%d.%d" % build[:3], machine)
    name = os.uname()
    return Kernel(name.sysname, name.release, name.version, name.machine)


def distribution(root: str, kernel: Kernel) -> Optional[Dict[str, Any]]:
    """ID and VERSION_ID of os-release(5); ``macos``, ``windows`` and ``wine`` with their versions."""
    if kernel.system == "Windows":
        return {"id": "windows", "version": kernel.version}
    if kernel.system == "Wine":
        return {"id": "wine", "version": kernel.release}
    if kernel.system == "Darwin":
        return {"id": "macos", "version": platform.mac_ver()[0] or None}
    text = _read(root, "etc/os-release") or _read(root, "usr/lib/os-release")
    if text is None:
        return None
    values = dict(re.findall(r"""^(ID|VERSION_ID)=["']?([^"'\n]*?)["']?\s*$""", text, re.MULTILINE))
    return {"id": values.get("ID", "linux"), "version": values.get("VERSION_ID")}


def interpreter() -> Dict[str, Any]:
    """The Python that runs this."""
    own = sys.implementation.version
    release = "%d.%d.%d" % own[:3]
    is_gil_on = getattr(sys, "_is_gil_enabled", None)  # since 3.13
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "release": release if own[:3] != sys.version_info[:3] else None,
        "compiler": platform.python_compiler() or "".join(re.findall(r"with (.*)\]", sys.version)),  # PyPy: "" at first
        "debug": hasattr(sys, "gettotalrefcount"),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "gil": bool(is_gil_on()) if is_gil_on is not None else True,
    }


def cpus() -> Optional[int]:
    """CPUs that this process may run on; a container's quota is not among what it sees."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count()


def features() -> Dict[str, bool]:
    """What Python offers here, by name."""
    return {name: has(name) for name in CAPABILITIES}


# Limits.

def limits(root: str = "/") -> Dict[str, Any]:
    """What this process may open, queue and watch; see ``facts``."""
    return {"nofile": nofile(root), "fd_setsize": fd_setsize(),
            "somaxconn": _number(root, "proc/sys/net/core/somaxconn"),
            "max_user_watches": _number(root, "proc/sys/fs/epoll/max_user_watches")}


def nofile(root: str = "/") -> Optional[Dict[str, Union[int, str]]]:
    """Soft and hard limit on open descriptors: getrlimit(2), or /proc where Python lacks the module (Debian's
    python3-minimal)."""
    if sys.platform == "win32":
        return None
    try:
        import resource
    except ImportError:
        return limits_file(_read(root, "proc/self/limits") or "")
    pair = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = ["unlimited" if each == resource.RLIM_INFINITY else each for each in pair]
    return {"soft": soft, "hard": hard}


def limits_file(text: str) -> Optional[Dict[str, Union[int, str]]]:
    """The line on open files in /proc/self/limits (proc(5))."""
    match = re.search(r"^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)", text, re.MULTILINE)
    if match is None:
        return None
    soft, hard = [each if each == "unlimited" else int(each) for each in match.groups()]
    return {"soft": soft, "hard": hard}


def fd_setsize() -> Optional[int]:
    """FD_SETSIZE as Python enforces it: select refuses this number with ValueError, and takes the one below.

    Nothing has to be open for it: a number in range that is not open is EBADF. On Windows the members of a set are
    counted before they are looked at, so the number is repeated. None where a million is still in range.
    """
    for size in [1 << power for power in range(6, 21)]:
        try:
            select.select([0] * (size + 1) if sys.platform == "win32" else [size], [], [], 0)
        except ValueError:
            return size
        except OSError:  # EBADF or WSAENOTSOCK: it went as far as the kernel, so it is in range
            continue
    return None


# The C library.

def libc(root: str = "/", executable: str = sys.executable, soabi: Optional[str] = None) -> Optional[Dict[str, Any]]:
    """The C library of a Linux interpreter, told by the first that knows: its loader, what is mapped, its build."""
    if soabi is None:
        soabi = "%s %s" % (sysconfig.get_config_var("SOABI"), sysconfig.get_config_var("MULTIARCH"))
    loader = elf_loader(executable)
    for text, source in ((loader, "the interpreter's ELF loader"), (_read(root, "proc/self/maps"), "/proc/self/maps"),
                         (soabi, "sysconfig SOABI or MULTIARCH")):
        name = _libc_name(text or "")
        if name is not None:
            version = _glibc_version() if name == "glibc" else _musl_version(loader) if name == "musl" else None
            return {"name": name, "version": version, "evidence": [source]}
    return None


def _libc_name(text: str) -> Optional[str]:
    for name, pattern in (("musl", r"ld-musl-|libc\.musl-|-linux-musl"), ("uclibc", r"ld(?:64)?-uClibc"),
                          ("bionic", r"/system/bin/linker|-linux-android"),
                          ("glibc", r"/ld-linux|/ld64\.so\.|/ld\.so\.1|/libc\.so\.6|/libc-2\.|-linux-gnu")):
        if re.search(pattern, text):
            return name
    return None


def elf_loader(path: str) -> Optional[str]:
    """The program loader that an ELF file names in PT_INTERP (elf(5)); None for a static one, and no ELF file."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            is_64, order = head[4:5] == b"\x02", ">" if head[5:6] == b"\x02" else "<"
            if head[:4] != b"\x7fELF":
                return None
            offset, = struct.unpack_from(order + ("Q" if is_64 else "I"), head, 32 if is_64 else 28)
            size, count = struct.unpack_from(order + "HH", head, 54 if is_64 else 42)
            file.seek(offset)
            table = file.read(size * count)
            for entry in range(0, size * count, size):
                if struct.unpack_from(order + "I", table, entry)[0] == 3:  # PT_INTERP
                    at, = struct.unpack_from(order + ("Q" if is_64 else "I"), table, entry + (8 if is_64 else 4))
                    length, = struct.unpack_from(order + ("Q" if is_64 else "I"), table, entry + (32 if is_64 else 16))
                    file.seek(at)
                    return file.read(min(length, 4096)).rstrip(b"\0").decode("ascii", "replace")
    except (OSError, struct.error, ValueError):  # unreadable, cut short, or a header that makes no sense
        pass
    return None


def _glibc_version() -> Optional[str]:
    confstr = getattr(os, "confstr", None)
    try:
        return str(confstr("CS_GNU_LIBC_VERSION")).partition(" ")[2] or None if confstr is not None else None
    except (OSError, ValueError):  # ValueError: this libc has no such name
        return None


def _musl_version(loader: Optional[str]) -> Optional[str]:
    """musl has no call that tells; its loader, run without a program, prints it and fails."""
    if loader is None:
        return None
    try:
        done = subprocess.run([loader], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):  # ENOENT for a file of another root; or it hangs
        return None
    match = re.search(rb"^Version (\d[\w.]*)", done.stderr, re.MULTILINE)
    return match.group(1).decode("ascii") if match else None


# Containers, virtual machines, and other kernels' impersonators.

_GVISOR_VERSION = "#1 SMP Sun Jan 10 15:06:54 PST 2016"
_MOUNTS = (("kubernetes", "/kubelet/pods/"), ("podman", "/overlay-containers/"),
           ("docker", r"/containers/[0-9a-f]{64}/(?:hosts|hostname|resolv\.conf)$"))
_VENDORS = (("firecracker", "firecracker"), ("qemu", "qemu"), ("vmware", "vmware"), ("virtualbox", "innotek"),
            ("hyper-v", "microsoft"), ("xen", "xen"), ("ec2", "amazon ec2"), ("gce", "google"),
            ("apple", "apple virtualization"), ("parallels", "parallels"))


def runtime(root: str, kernel: Kernel, environ: Mapping[str, str]) -> Optional[Finding]:
    """What stands between us and the kernel; the first that any sign speaks for gives the name."""
    return _conclude(_impersonators(root, kernel) + _containers(root, environ) + _windows_subsystem(kernel, "wsl2"))


def virtualization(root: str, kernel: Kernel) -> Optional[Finding]:
    """The virtual machine that the kernel runs in, as far as a guest can tell."""
    signs: List[Sign] = []
    cpuinfo = _read(root, "proc/cpuinfo") or ""
    is_x86 = re.match(r"x86|i\d86|amd64", kernel.machine, re.IGNORECASE) is not None
    if not is_x86 and re.search("GenuineIntel|AuthenticAMD", cpuinfo):
        signs.append(Sign("qemu-user", True, "the machine is %s, but /proc/cpuinfo is an x86's" % kernel.machine))
    for path in ("sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name", "sys/hypervisor/type"):
        text = (_read(root, path) or "").lower()
        signs += [Sign(name, True, "/%s" % path) for name, word in _VENDORS if word in text]
    if "firecracker" in (_read(root, "proc/cmdline") or "").lower():
        signs.append(Sign("firecracker", False, "/proc/cmdline mentions it"))
    if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE):
        signs.append(Sign("hypervisor", True, "hypervisor flag in /proc/cpuinfo"))
    return _conclude(signs)


def _impersonators(root: str, kernel: Kernel) -> List[Sign]:
    """Those that answer system calls themselves: what is measured there is theirs, not Linux's or Windows'."""
    signs: List[Sign] = []
    if kernel.version == _GVISOR_VERSION:
        signs.append(Sign("gvisor", True, "the kernel's version is gVisor's constant"))
    if "gvisor" in kernel.release.lower():
        signs.append(Sign("gvisor", True, "the kernel's release names it"))
    if _exists(root, "proc/version") and not _exists(root, "proc/sys/kernel/osrelease"):
        signs.append(Sign("gvisor", False, "/proc has no sys/kernel/osrelease"))  # google/gvisor #12487, until 2026
    wine = _wine()
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
    mounted, group = _mounted(root), _read(root, "proc/1/cgroup") or ""
    signs = [Sign(name, True, "%s is mounted by it" % target)
             for name, part in _MOUNTS for target, source, _ in mounted if re.search(part, source)]
    if _exists(root, "var/run/secrets/kubernetes.io"):
        signs.append(Sign("kubernetes", True, "/var/run/secrets/kubernetes.io exists"))
    if "KUBERNETES_SERVICE_HOST" in environ:
        signs.append(Sign("kubernetes", False, "KUBERNETES_SERVICE_HOST is set"))
    for name, word in (("kubernetes", "kubepods"), ("podman", "libpod"), ("docker", "docker"), ("lxc", "/lxc")):
        if word in group:
            signs.append(Sign(name, True, "/proc/1/cgroup mentions it"))
    if _exists(root, "run/.containerenv"):
        signs.append(Sign("podman", False, "/run/.containerenv exists"))
    if _exists(root, ".dockerenv"):
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
    for line in (_read(root, "proc/self/mountinfo") or "").splitlines():
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


def _wine() -> Optional[str]:
    """Wine's version; None on Windows proper and elsewhere."""
    if sys.platform != "win32":
        return None
    try:
        import ctypes
        tell: Any = ctypes.WinDLL("ntdll").wine_get_version
        tell.restype = ctypes.c_char_p
        return bytes(tell()).decode("ascii", "replace")
    except (ImportError, OSError, AttributeError):  # AttributeError: the real ntdll
        return None


# Files below a root.

def _path(root: str, path: str) -> str:
    """Where that file is. On Windows nowhere: "/proc" would be on the current drive, and Wine's is the Linux below."""
    return os.path.join(root, path) if sys.platform != "win32" or root != "/" else ""


def _read(root: str, path: str) -> Optional[str]:
    """The text of a file, up to 1 MiB; None where it cannot be read."""
    try:
        with open(_path(root, path), "rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace")
    except OSError:  # ENOENT, EACCES, EIO of a sysctl: whichever it is, this platform does not tell
        return None


def _number(root: str, path: str) -> Optional[int]:
    text = (_read(root, path) or "").strip()
    return int(text) if re.match(r"^\d+$", text) else None


def _exists(root: str, path: str) -> bool:
    return os.path.exists(_path(root, path))
