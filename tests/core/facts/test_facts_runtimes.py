"""Containers, virtual machines and impersonators, each by the signs that it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import pytest

from lab import facts
from lab.facts import runtimes
from tests.core.facts.folder import ID, LINUX, mount, tree

GVISOR = "#1 SMP Sun Jan 10 15:06:54 PST 2016"


class TestRuntime:
    @pytest.fixture(autouse=True)
    def _not_under_wine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hide Wine, which would be detected first as the runtime of every crafted platform."""
        monkeypatch.setattr(runtimes, "wine_version", lambda: None)

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
