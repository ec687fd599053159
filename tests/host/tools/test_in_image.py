"""The tests inside an image: what goes in, what is run there, and what is said where it cannot be."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import List

import pytest

from lab import interpreters
from lab.errors import EXIT_USAGE, Broken, NotHere
from lab.harness import images
from tools import in_image

ROOT = Path(__file__).parents[3]


def names(archive: bytes) -> List[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return sorted(tar.getnames())


def test_the_portable_tests_are_run_and_reported() -> None:
    words = in_image.command(images.find("trixie"), [])
    assert words[:3] == ["python3", "-m", "pytest"] and "not slow or long" in words
    assert words[-2:] == ["tests/core", "--junitxml=/src/" + in_image.JUNIT]


def test_paths_replace_the_choice() -> None:
    words = in_image.command(images.find("trixie-pypy"), ["-k", "echo", "tests/core/load"])
    assert words[0] == "pypy3" and words[-4:-1] == ["-k", "echo", "tests/core/load"] and "tests/core" not in words


def test_emulation_gets_a_part_and_more_time() -> None:
    words = in_image.command(images.find("bookworm-s390x"), [], is_emulated=True)
    assert "--timeout=600" in words and words[words.index("-m", 1) + 1:].count("emulated") == 1


def test_the_tree_goes_in_as_it_is_now(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, stdin=subprocess.DEVNULL)
    for name in ("kept.py", "gone.py", "ignored.log", "new.py"):
        (tmp_path / name).write_text(name)
    (tmp_path / ".gitignore").write_text("*.log\n")
    subprocess.run(["git", "add", "kept.py", "gone.py"], cwd=tmp_path, check=True, stdin=subprocess.DEVNULL)
    (tmp_path / "gone.py").unlink()
    assert names(in_image.sources(tmp_path)) == [".gitignore", "kept.py", "new.py"]


def test_what_is_no_clone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="it must be a clone") as refused:
        in_image.sources(tmp_path)
    assert "\n" not in str(refused.value)


def test_packages_are_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: List[str] = []
    monkeypatch.setattr(in_image, "_fetch", lambda wanted, version, folder: asked.append(version))
    (tmp_path / "pyproject.toml").write_text('[project.optional-dependencies]\ntest = ["pytest"]\n')
    assert in_image.packages("3.9", tmp_path) == in_image.packages("3.9", tmp_path) and asked == ["3.9"]
    assert [each.name.count(".") for each in (tmp_path / "build" / "packages").iterdir()] == [1], "unfinished one left"


def test_a_python_without_pip_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", "/x/python")
    answer = subprocess.CompletedProcess([], 1, b"", b"/x/python: No module named pip\n")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **keywords: answer)
    with pytest.raises(NotHere, match=r"^/x/python has no pip"):
        in_image._fetch(["pytest"], "3.9", str(tmp_path))


def test_no_image_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert in_image.main([]) == in_image.main(["no-such-image"]) == EXIT_USAGE
    assert 'no image "no-such-image"' in capsys.readouterr().err


def test_tox_has_an_environment_for_each_image_that_needs_no_registry() -> None:
    pytest.importorskip("tox", reason="tox is not installed here")
    from toxfile import ids
    assert ids() == [row.id for row in images.load().values() if row.debian is not None]


def test_tox_finds_the_newest_cpython_for_select_only() -> None:
    pytest.importorskip("tox", reason="tox is not installed here")
    from toxfile import newest
    versions = {each.path: interpreters.numbers(each.version) for each in interpreters.find()
                if each.usable and each.implementation == "CPython" and each.version[-1] not in "td"}
    assert versions[newest()] == max(versions.values())
