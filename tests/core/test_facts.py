"""The functions of lab.facts, tested on platforms made of a folder each; and that the facts contain nothing about the
user."""

from __future__ import annotations

import json
import os
import re
import select
import struct
import sys
from pathlib import Path
from typing import Any, Dict, Optional

import pytest

from lab import facts
from lab.capabilities import has

LINUX = facts.Kernel("Linux", "6.1.0-50-cloud-amd64", "#1 SMP Debian 6.1.170-1", "x86_64")
ID = "0123456789abcdef" * 4
GVISOR = "#1 SMP Sun Jan 10 15:06:54 PST 2016"


def tree(root: Path, files: Dict[str, str]) -> str:
    """A platform made of these files below ``root``, with a kernel that hides nothing."""
    for name, text in {"proc/version": "Linux", "proc/sys/kernel/osrelease": "6.1", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return str(root)


def mount(source: str, target: str, kind: str = "ext4") -> str:
    return "36 35 98:0 %s %s rw,noatime master:1 - %s /dev/root rw\n" % (source, target, kind)


def elf(loader: Optional[str], bits: int = 64, order: str = "<") -> bytes:
    """The smallest ELF file with one program header, of type PT_INTERP if a loader is given."""
    text = (loader or "").encode("ascii") + b"\0"
    kind = 3 if loader else 1
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    if bits == 64:
        head = struct.pack(order + "HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        table = struct.pack(order + "IIQQQQQQ", kind, 4, 120, 0, 0, len(text), len(text), 1)
    else:
        head = struct.pack(order + "HHIIIIIHHHHHH", 2, 3, 1, 0, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        table = struct.pack(order + "IIIIIIII", kind, 84, 0, 0, len(text), len(text), 4, 1)
    return ident + head + table + text


def libc_of(tmp_path: Path, program: bytes, maps: str = "", soabi: str = "") -> Optional[Dict[str, Any]]:
    (tmp_path / "python").write_bytes(program)
    return facts.libc(tree(tmp_path / "root", {"proc/self/maps": maps}), str(tmp_path / "python"), soabi)


class TestFacts:
    def test_the_compiler_is_told_on_every_implementation(self) -> None:
        """platform.python_compiler() returns an empty string on PyPy."""
        assert re.match(r"\w+", facts.interpreter()["compiler"])

    @pytest.mark.parametrize("kernel, source", [
        (LINUX, "6.1.170"), (LINUX._replace(version="#1 SMP"), "6.1.0"), (LINUX._replace(release="next"), "6.1.170"),
        (LINUX._replace(release="next", version="#1"), None), (LINUX._replace(system="Darwin"), None)])
    def test_the_source_of_the_kernel_is_told_of_linux(self, kernel: facts.Kernel, source: Optional[str],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(facts, "uname", lambda: kernel)
        assert facts.facts()["kernel"] == {"release": kernel.release, "version": kernel.version, "upstream": source}

    def test_every_value_is_json(self) -> None:
        here = facts.facts()
        assert json.loads(json.dumps(here)) == here

    def test_a_platform_that_tells_nothing_gives_none_and_no_error(self, tmp_path: Path) -> None:
        bare = facts.facts(str(tmp_path))
        assert bare["limits"]["somaxconn"] is None and bare["limits"]["max_user_watches"] is None
        assert bare["virtualization"] is None
        if bare["system"] == "Linux":
            assert bare["distribution"] is None

    def test_the_keys_are_the_same_on_every_platform(self, tmp_path: Path) -> None:
        assert list(facts.facts(str(tmp_path))) == list(facts.facts())

    def test_every_key_is_documented(self) -> None:
        for key in facts.facts():
            assert re.search(r"^ *%s: " % key, facts.facts.__doc__ or "", re.MULTILINE), key

    def test_nobody_is_in_them(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root = tree(tmp_path / "secret-root", {
            "proc/1/cgroup": "0::/docker/secret-%s" % ID, "proc/cmdline": "firecracker root=secret",
            "proc/self/mountinfo": mount("/secret/containers/%s/hosts" % ID, "/etc/hosts"),
            "var/run/secrets/kubernetes.io/secret": "", "proc/self/maps": "/home/secret/libc.so.6",
            "etc/os-release": 'ID=debian\nHOME_URL="https://secret"\n', "sys/class/dmi/id/sys_vendor": "QEMU secret"})
        for name in ("KUBERNETES_SERVICE_HOST", "HOSTNAME", "USER"):
            monkeypatch.setenv(name, "secret")
        text = json.dumps(facts.facts(root))
        assert "KUBERNETES_SERVICE_HOST" in text  # the function really looked
        assert "secret" not in text.replace("/var/run/secrets/kubernetes.io", "") and ID not in text

    def test_windows_reads_no_files_of_another_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Under Wine, /proc/version is that of the Linux below while the current drive is Z:."""
        monkeypatch.setattr(sys, "platform", "win32")
        assert facts._read("/", os.path.abspath(__file__)) is None
        assert not facts._exists("/", os.path.abspath(__file__))
        assert not has("proc")

    def test_files_that_are_no_text_are_no_error(self, tmp_path: Path) -> None:
        root = tree(tmp_path, {})
        (tmp_path / "proc/cpuinfo").write_bytes(b"\xff\xfe\0")
        (tmp_path / "proc/cmdline").mkdir()
        assert facts.virtualization(root, LINUX) is None


class TestLibc:
    @pytest.mark.parametrize("loader, name", [
        ("/lib/ld-musl-aarch64.so.1", "musl"), ("/lib64/ld-linux-x86-64.so.2", "glibc"),
        ("/lib/ld64.so.1", "glibc"), ("/lib64/ld64.so.2", "glibc"), ("/lib/ld-uClibc.so.0", "uclibc"),
        ("/system/bin/linker64", "bionic")])
    @pytest.mark.parametrize("bits, order", [(64, "<"), (64, ">"), (32, "<"), (32, ">")])
    def test_the_loader_decides(self, tmp_path: Path, loader: str, name: str, bits: int, order: str) -> None:
        """Even against SOABI, which said -gnu on musl before 3.11."""
        found = libc_of(tmp_path, elf(loader, bits, order), soabi="cpython-38-x86_64-linux-gnu")
        assert found is not None
        assert (found["name"], found["evidence"]) == (name, ["the interpreter's ELF loader"])

    def test_maps_decide_where_the_program_is_a_script(self, tmp_path: Path) -> None:
        found = libc_of(tmp_path, b"#!/bin/sh\n", maps="7f00 r-xp 0 0:0 1 /lib/ld-musl-x86_64.so.1\n")
        assert found == {"name": "musl", "version": None, "evidence": ["/proc/self/maps"]}

    def test_soabi_decides_for_a_static_one(self, tmp_path: Path) -> None:
        found = libc_of(tmp_path, elf(None), soabi="cpython-313-x86_64-linux-musl")
        assert found == {"name": "musl", "version": None, "evidence": ["sysconfig SOABI or MULTIARCH"]}

    def test_without_evidence_there_is_no_libc(self, tmp_path: Path) -> None:
        assert libc_of(tmp_path, b"\x7fELF" + bytes(3), soabi="None None") is None

    @pytest.mark.needs("sh")
    @pytest.mark.skipif(sys.platform == "win32", reason="the loader is a shell script")
    @pytest.mark.parametrize("text, version", [("Version 1.2.3", "1.2.3"), ("no such option", None)])
    def test_musl_tells_its_version_when_its_loader_is_run(self, tmp_path: Path, text: str,
                                                           version: Optional[str]) -> None:
        loader = tmp_path / "ld-musl-x86_64.so.1"
        loader.write_text("#!/bin/sh\nprintf 'musl libc (x86_64)\\n%s\\nDynamic' >&2\nexit 1\n" % text)
        loader.chmod(0o755)
        found = libc_of(tmp_path, elf(str(loader)))
        assert found is not None
        assert (found["name"], found["version"]) == ("musl", version)


class TestRuntime:
    @pytest.fixture(autouse=True)
    def _not_under_wine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hide Wine, which would be detected first as the runtime of every crafted platform."""
        monkeypatch.setattr(facts, "_wine", lambda: None)

    @pytest.mark.parametrize("kernel, name", [
        (LINUX._replace(release="4.4.0", version=GVISOR), "gvisor"),
        (LINUX._replace(release="4.19.0-gvisor"), "gvisor"),
        (LINUX._replace(release="4.4.0-19041-Microsoft"), "wsl1"),
        (LINUX._replace(release="5.15.90.1-microsoft-standard-WSL2"), "wsl2")])
    def test_kernels_that_tell(self, tmp_path: Path, kernel: facts.Kernel, name: str) -> None:
        found = facts.runtime(tree(tmp_path, {}), kernel, {})
        assert found is not None
        assert (found["name"], found["certain"]) == (name, True)

    @pytest.mark.parametrize("files, name, certain", [
        ({".dockerenv": ""}, "docker", False),
        ({"run/.containerenv": ""}, "podman", False),
        ({"proc/1/cgroup": "1:cpu:/docker/%s\n" % ID}, "docker", True),
        ({"proc/1/cgroup": "0::/kubepods/besteffort/pod1\n", ".dockerenv": ""}, "kubernetes", True),
        ({"proc/1/cgroup": "1:cpu:/lxc/web\n"}, "lxc", True),
        ({"proc/self/mountinfo": mount("/data/containers/%s/hosts" % ID, "/etc/hosts")}, "docker", True),
        ({"proc/self/mountinfo": mount("/x/overlay-containers/%s/userdata/hosts" % ID, "/etc/hosts")}, "podman", True),
        ({"proc/self/mountinfo": mount("/var/lib/kubelet/pods/1/etc-hosts", "/etc/hosts")}, "kubernetes", True),
        ({"proc/self/mountinfo": mount("/", "/", "overlay")}, "container", False),
        ({"var/run/secrets/kubernetes.io/token": ""}, "kubernetes", True)])
    def test_containers(self, tmp_path: Path, files: Dict[str, str], name: str, certain: bool) -> None:
        found = facts.runtime(tree(tmp_path, files), LINUX, {})
        assert found is not None
        assert (found["name"], found["certain"]) == (name, certain)

    def test_a_host_of_containers_is_none(self, tmp_path: Path) -> None:
        """On the host of dockerd, the container paths are targets of mounts, not sources of its own files."""
        root = tree(tmp_path, {"proc/self/mountinfo": mount("/", "/")
                               + mount("/", "/var/lib/docker/containers/%s/mounts/shm" % ID, "tmpfs")
                               + mount("/", "/var/lib/docker/overlay2/%s/merged" % ID, "overlay")})
        assert facts.runtime(root, LINUX, {}) is None

    def test_gvisor_below_docker_names_gvisor_and_keeps_both_signs(self, tmp_path: Path) -> None:
        root = tree(tmp_path, {".dockerenv": ""})
        found = facts.runtime(root, LINUX._replace(version=GVISOR), {})
        assert found == {"name": "gvisor", "certain": True,
                         "evidence": ["the kernel's version is gVisor's constant", "/.dockerenv exists"]}

    def test_a_missing_osrelease_alone_is_a_hint(self, tmp_path: Path) -> None:
        root = tree(tmp_path, {})
        (tmp_path / "proc/sys/kernel/osrelease").unlink()
        found = facts.runtime(root, LINUX, {})
        assert found == {"name": "gvisor", "certain": False, "evidence": ["/proc has no sys/kernel/osrelease"]}

    def test_a_container_in_wsl_2_is_the_container(self, tmp_path: Path) -> None:
        found = facts.runtime(tree(tmp_path, {".dockerenv": ""}), LINUX._replace(release="5-microsoft-WSL2"), {})
        assert found is not None
        assert found["name"] == "docker" and "the kernel's release names Microsoft" in found["evidence"]


class TestVirtualization:
    @pytest.mark.parametrize("files, machine, name, certain", [
        ({"proc/cmdline": "reboot=k --firecracker-init"}, "x86_64", "firecracker", False),
        ({"sys/class/dmi/id/sys_vendor": "QEMU\n"}, "x86_64", "qemu", True),
        ({"sys/class/dmi/id/sys_vendor": "innotek GmbH\n"}, "x86_64", "virtualbox", True),
        ({"sys/hypervisor/type": "xen\n"}, "x86_64", "xen", True),
        ({"proc/cpuinfo": "flags\t\t: fpu hypervisor lahf_lm\n"}, "x86_64", "hypervisor", True),
        ({"proc/cpuinfo": "vendor_id\t: GenuineIntel\n"}, "s390x", "qemu-user", True)])
    def test_guests(self, tmp_path: Path, files: Dict[str, str], machine: str, name: str, certain: bool) -> None:
        found = facts.virtualization(tree(tmp_path, files), LINUX._replace(machine=machine))
        assert found is not None
        assert (found["name"], found["certain"]) == (name, certain)

    @pytest.mark.parametrize("machine", ["x86_64", "i686", "AMD64"])
    def test_an_x86_that_looks_like_one_is_none(self, tmp_path: Path, machine: str) -> None:
        root = tree(tmp_path, {"proc/cpuinfo": "vendor_id\t: AuthenticAMD\nflags\t: fpu\n"})
        assert facts.virtualization(root, LINUX._replace(machine=machine)) is None


class TestLimits:
    def test_numbers_are_read(self, tmp_path: Path) -> None:
        root = tree(tmp_path, {"proc/sys/net/core/somaxconn": "128\n", "proc/sys/fs/epoll/max_user_watches": "many\n"})
        assert facts.limits(root)["somaxconn"] == 128
        assert facts.limits(root)["max_user_watches"] is None

    def test_select_enforces_the_size_that_was_measured(self) -> None:
        size = facts.fd_setsize()
        assert size is not None
        trial = [[0] * (size + 1), [0] * size] if sys.platform == "win32" else [[size], [size - 1]]
        with pytest.raises(ValueError):
            select.select(trial[0], [], [], 0)
        try:
            select.select(trial[1], [], [], 0)
        except OSError:  # EBADF: the number is in range, but not open
            pass

    @pytest.mark.parametrize("line, pair", [
        ("Max open files            1024                 524288               files", {"soft": 1024, "hard": 524288}),
        ("Max open files            1024                 unlimited            files",
         {"soft": 1024, "hard": "unlimited"}),
        ("Max processes             1                    2                    processes", None)])
    def test_open_files_without_the_resource_module(self, line: str, pair: Optional[Dict[str, Any]]) -> None:
        assert facts.limits_file("Limit   Soft Limit\n" + line + "\n") == pair

    @pytest.mark.skipif(not has("proc") or not has("resource"), reason="this platform has only one way")
    def test_both_ways_to_the_limit_on_open_files_agree(self, monkeypatch: pytest.MonkeyPatch) -> None:
        by_call = facts.nofile()
        monkeypatch.setitem(sys.modules, "resource", None)
        assert by_call is not None and facts.nofile() == by_call


class TestDistribution:
    @pytest.mark.parametrize("text, found", [
        ('NAME="Debian"\nVERSION_ID="12"\nID=debian\n', {"id": "debian", "version": "12"}),
        ("ID='arch'\n", {"id": "arch", "version": None}),
        ("", {"id": "linux", "version": None})])
    def test_os_release(self, tmp_path: Path, text: str, found: Dict[str, Any]) -> None:
        assert facts.distribution(tree(tmp_path, {"usr/lib/os-release": text}), LINUX) == found
