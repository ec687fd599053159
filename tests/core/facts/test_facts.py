"""All facts together: what is promised of every one of them, and that nobody is in them."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Optional

import pytest

from lab import facts
from lab.capabilities import has
from lab.facts import files
from tests.core.facts.folder import ID, LINUX, mount, tree


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
        assert files.read("/", os.path.abspath(__file__)) is None
        assert not files.exists("/", os.path.abspath(__file__))
        assert not has("proc")

    def test_files_that_are_no_text_are_no_error(self, tmp_path: Path) -> None:
        root = tree(tmp_path, {})
        (tmp_path / "proc/cpuinfo").write_bytes(b"\xff\xfe\0")
        (tmp_path / "proc/cmdline").mkdir()
        assert facts.virtualization(root, LINUX) is None
