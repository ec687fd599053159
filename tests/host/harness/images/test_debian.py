"""Packages are found as apt would find them, every byte is checked, and whatever a mirror does wrong is one line."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Iterator, List

import pytest

from lab.errors import Broken, LabError, NotHere
from lab.harness.images.debian import mirror as debian
from tests.host.harness.images.mirror import ARCH, INDEX, SUITE, Mirror, served


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mirror]:
    with served() as made:
        monkeypatch.setenv(debian.MIRROR, made.address + "/")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(debian, "KEYS", tmp_path / "none.gpg")
        monkeypatch.setattr(debian, "PAUSE", 0)
        yield made


def closure(*names: str, left_out: str = "") -> List[str]:
    index = debian.Index(debian.Suite(SUITE), ARCH)
    return [each["Package"] for each in index.closure(names, left_out.split())]


def one_line(error: LabError) -> str:
    assert "\n" not in str(error) and len(str(error)) < 600
    return str(error)


def test_what_a_package_needs_is_taken_at_any_depth_and_once(mirror: Mirror) -> None:
    mirror.add("a", Depends="b (>= 1), c:any")
    mirror.add("b", Pre_Depends="d")
    mirror.add("c", Depends="d, a", Recommends="never")
    mirror.add("d")
    mirror.add("e")
    assert closure("a") == ["a", "b", "c", "d"]
    assert closure("e", "d") == ["d", "e"]


def test_of_alternatives_the_first_that_exists_is_taken(mirror: Mirror) -> None:
    mirror.add("a", Depends="gone | here | other")
    mirror.add("here")
    mirror.add("other")
    assert closure("a") == ["a", "here"]


def test_a_name_that_another_package_provides_is_found(mirror: Mirror) -> None:
    mirror.add("a", Depends="virtual | other")
    mirror.add("real", Provides="more, virtual (= 2)")
    mirror.add("other")
    assert closure("a") == ["a", "real"]
    assert closure("virtual") == ["real"]


@pytest.mark.parametrize("left_out", ["virtual", "real"])
def test_what_is_left_out_is_so_by_its_name_and_by_what_it_provides(mirror: Mirror, left_out: str) -> None:
    mirror.add("a", Depends="virtual, b")
    mirror.add("b")
    mirror.add("real", Provides="virtual", Depends="deeper")
    mirror.add("deeper")
    assert closure("a", left_out=left_out) == ["a", "b"]
    assert closure("a", "real", left_out=left_out) == ["a", "b", "deeper", "real"], "asked for by name"


def test_a_package_that_is_missing_is_named_with_who_needs_it(mirror: Mirror) -> None:
    mirror.add("a", Depends="gone | lost")
    with pytest.raises(Broken) as caught:
        closure("a")
    assert one_line(caught.value) == "toy has no package gone for amd64, which a needs"
    with pytest.raises(Broken, match=r"toy has no package b for amd64$"):
        closure("b")


def test_packages_come_in_order_and_progress_counts_them(mirror: Mirror) -> None:
    for name in "abc":
        mirror.add(name, ("content of %s" % name).encode("ascii"))
    index = debian.Index(debian.Suite(SUITE), ARCH)
    told: List[object] = []
    found = index.fetch(index.closure(["c", "a", "b"]), lambda done, total: told.append((done, total)))
    assert found == [b"content of a", b"content of b", b"content of c"]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_what_is_answered_wrongly_once_is_asked_for_again(mirror: Mirror) -> None:
    path = mirror.add("a", b"right")
    mirror.first[path] = [503, b"wrong"]
    assert debian.fetch("%s/%s" % (mirror.address, path), hashlib.sha256(b"right").hexdigest()) == b"right"
    assert mirror.asked == [path] * 3


@pytest.mark.parametrize("body", [b"wron", b"righ", b"", b"rightly"], ids=["wrong", "truncated", "empty", "longer"])
def test_bytes_that_are_not_what_the_index_says_are_refused(mirror: Mirror, body: bytes) -> None:
    path = mirror.add("a", b"right")
    mirror.files[path] = body
    index = debian.Index(debian.Suite(SUITE), ARCH)
    with pytest.raises(Broken) as caught:
        index.fetch(index.closure(["a"]), lambda done, total: None)
    assert "pool/a.deb does not match the index (SHA-256)" in one_line(caught.value)
    assert debian.MIRROR in str(caught.value)
    assert mirror.asked.count(path) == debian.TRIES


def test_what_is_not_there_is_asked_for_once(mirror: Mirror) -> None:
    with pytest.raises(Broken) as caught:
        debian.Suite(SUITE)
    assert "/dists/toy/InRelease cannot be fetched: HTTP status 404" in one_line(caught.value)
    assert len(mirror.asked) == 1


def test_nobody_there_is_one_line(monkeypatch: pytest.MonkeyPatch, mirror: Mirror) -> None:
    monkeypatch.setenv(debian.MIRROR, "http://127.0.0.1:1")
    with pytest.raises(Broken) as caught:
        debian.Suite(SUITE)
    assert "http://127.0.0.1:1/dists/toy/InRelease cannot be fetched: " in one_line(caught.value)
    assert "refused" in str(caught.value)


def test_an_address_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch, mirror: Mirror) -> None:
    monkeypatch.setenv(debian.MIRROR, "nowhere")
    with pytest.raises(Broken) as caught:
        debian.Suite(SUITE)
    assert one_line(caught.value).startswith("nowhere/dists/toy/InRelease cannot be fetched: ")


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"", b"\xff\xfe\0", b"Suite: toy\n", b"SHA256:\n junk\n"],
                         ids=["portal", "empty", "binary", "no-sums", "bad-sums"])
def test_what_is_no_inrelease_is_one_line(mirror: Mirror, body: bytes) -> None:
    mirror.files["dists/toy/InRelease"] = body
    with pytest.raises(Broken) as caught:
        debian.Suite(SUITE)
    assert "is not an InRelease file of Debian" in one_line(caught.value)


def test_an_inrelease_without_the_index_is_one_line(mirror: Mirror) -> None:
    mirror.add("a")
    mirror.publish(indices=False)
    with pytest.raises(Broken) as caught:
        debian.Index(debian.Suite(SUITE), ARCH)
    assert one_line(caught.value).startswith("toy: the suite has no main/binary-amd64/Packages on http://127")


def test_an_index_of_another_moment_is_one_line(mirror: Mirror) -> None:
    mirror.add("a")
    mirror.files["dists/toy/" + INDEX] = b"newer"
    with pytest.raises(Broken, match="does not match the index"):
        debian.Index(debian.Suite(SUITE), ARCH)


def test_no_mirror_is_one_line_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(debian.MIRROR, raising=False)
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    with pytest.raises(NotHere) as caught:
        debian.mirror()
    assert debian.MIRROR in one_line(caught.value)


@pytest.mark.parametrize("text", ["deb http://there.example/debian trixie main\n",
                                  "# old\ndeb [signed-by=/k.gpg] http://there.example/debian/ trixie main\n",
                                  "Types: deb\nURIs: http://there.example/debian\nSuites: trixie\n"])
def test_the_mirror_of_apt_is_found(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.delenv(debian.MIRROR, raising=False)
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    monkeypatch.setattr(Path, "read_text", lambda path, **how: text)
    assert debian.mirror() == "http://there.example/debian"


# Signatures, as gpgv tells of them.

@pytest.fixture
def gpgv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A stand-in for gpgv, which says what is in the file that this returns, and takes all for signed."""
    if os.name != "posix":
        pytest.skip("gpgv is looked for on POSIX only")
    script = tmp_path / "bin" / "gpgv"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\nwhile [ $# -gt 1 ]; do [ "$1" = --output ] && out=$2; shift; done\n'
                      'grep -v unsigned "$1" > "$out"\ncat "%s"\nexit 2\n' % (tmp_path / "says"))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    return tmp_path / "says"


def test_one_known_key_is_enough_and_only_what_is_signed_counts(mirror: Mirror, gpgv: Path) -> None:
    mirror.add("a")
    debian.KEYS.write_bytes(b"keys")
    gpgv.write_text("[GNUPG:] ERRSIG 1\n[GNUPG:] NO_PUBKEY 1\n[GNUPG:] GOODSIG 2\n[GNUPG:] VALIDSIG 2\n")
    assert debian.Suite(SUITE).is_signed
    signed = mirror.files["dists/toy/InRelease"]
    assert isinstance(signed, bytes)
    mirror.files["dists/toy/InRelease"] = b"SHA256:\n 0 0 unsigned\n" + signed.replace(b"main/", b"unsigned main/")
    with pytest.raises(Broken, match="is not an InRelease file of Debian"):
        debian.Suite(SUITE)


@pytest.mark.parametrize("says", ["", "[GNUPG:] NODATA 1\n", "[GNUPG:] BADSIG 1\n", "[GNUPG:] NO_PUBKEY 1\n",
                                  "[GNUPG:] VALIDSIG 2\n[GNUPG:] BADSIG 1\n"])
def test_what_debian_did_not_sign_is_refused(mirror: Mirror, gpgv: Path, says: str) -> None:
    mirror.add("a")
    debian.KEYS.write_bytes(b"keys")
    gpgv.write_text(says)
    with pytest.raises(Broken) as caught:
        debian.Suite(SUITE)
    assert "toy: Debian did not sign this InRelease" in one_line(caught.value)


def test_without_keys_nobody_can_tell_and_that_is_known(mirror: Mirror) -> None:
    mirror.add("a")
    assert not debian.Suite(SUITE).is_signed
    assert not debian.can_check_signatures()
