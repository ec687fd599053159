"""A layer is laid out as a merged /usr, the first of a name wins, and the same input gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import tarfile
from typing import Any, Dict

import pytest

from lab.harness.images import layer
from tests.host.harness.images.mirror import deb, tar


def members(content: bytes) -> Dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        found = opened.getmembers()
    assert len({each.name for each in found}) == len(found), "a name is there twice"
    return {each.name: each for each in found}


def read(content: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        return opened.extractfile(name).read()  # type: ignore[union-attr]


def laid_out(*packages: Dict[str, Any]) -> bytes:
    made = layer.Layer()
    for each in packages:
        made.package(deb(each))
    return made.finish()


@pytest.mark.parametrize("name, there", [
    ("./bin/sh", "usr/bin/sh"), ("./lib/x/libc.so", "usr/lib/x/libc.so"), ("./lib64/ld.so", "usr/lib64/ld.so"),
    ("/sbin/init", "usr/sbin/init"), ("./usr/bin/env", "usr/bin/env"), ("./library/book", "library/book"),
    ("./etc/bin", "etc/bin")])
def test_what_older_packages_have_at_the_top_goes_below_usr(name: str, there: str) -> None:
    assert there in members(laid_out({name: b"x"}))


@pytest.mark.parametrize("name, target", [
    ("./lib/x/liba.so", "liba.so.1"), ("./lib/x/liba.so", "../y/liba.so"), ("./lib/x/liba.so", "../../etc/a"),
    ("./lib/x/liba.so", "../../usr/lib/a"), ("./lib/x/liba.so", "../../bin/a"), ("./usr/lib/liba.so", "../../etc/a"),
    ("./usr/bin/a", "/etc/a"), ("./bin/a", "/bin/b")])
def test_a_symbolic_link_leads_where_it_led(name: str, target: str) -> None:
    meant = posixpath.normpath(posixpath.join("/", posixpath.dirname(name), target))
    (link,) = members(laid_out({name: ("->", target)})).values()
    leads = posixpath.normpath(posixpath.join("/", posixpath.dirname(link.name), link.linkname))
    assert leads.replace("/usr/", "/") == meant.replace("/usr/", "/")


def test_a_hard_link_follows_its_target() -> None:
    found = members(laid_out({"./bin/perl": b"x", "./bin/perl5": ("=", "./bin/perl")}))
    assert found["usr/bin/perl5"].islnk()
    assert found["usr/bin/perl5"].linkname == "usr/bin/perl"


def test_a_hard_link_to_what_is_left_out_becomes_the_file() -> None:
    made = laid_out({"./usr/share/doc/a/copy": b"text", "./usr/share/licence": ("=", "./usr/share/doc/a/copy")})
    assert members(made)["usr/share/licence"].isreg()
    assert read(made, "usr/share/licence") == b"text"


def test_the_first_of_a_name_wins() -> None:
    made = laid_out({"./etc": None, "./etc/a": b"first"}, {"./etc": None, "./etc/a": b"second", "./etc/b": b"b"})
    assert read(made, "etc/a") == b"first"
    assert list(members(made)) == ["etc", "etc/a", "etc/b"]


@pytest.mark.parametrize("name, is_there", [
    ("usr/share/doc/a/changelog", False), ("usr/share/man", False), ("usr/lib/python3.13/test/x.py", False),
    ("usr/lib/pypy3.11/tkinter/x.py", False), ("usr/lib/x86_64-linux-gnu/gconv/UTF-16.so", False),
    ("usr/share/docs", True), ("usr/lib/python3.13/unittest/case.py", True), ("usr/lib/python3.13/testing.py", True),
    ("usr/lib/x86_64-linux-gnu/libm.so.6", True), ("opt/usr/share/doc/x", True)])
def test_manuals_and_tests_are_left_out_and_nothing_else(name: str, is_there: bool) -> None:
    assert (name in members(laid_out({"./" + name: b"x"}))) is is_there


def test_the_skeleton_has_what_packages_take_for_granted() -> None:
    made = layer.Layer()
    made.skeleton()
    made.package(deb({"./lib": ("->", "usr/lib"), "./tmp": None, "./bin/sh": b"x"}))
    found = members(made.finish())
    assert {name: found[name].linkname for name in ("bin", "sbin", "lib", "lib64")} == {
        "bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
    assert found["tmp"].mode == 0o1777
    assert found["usr/lib"].isdir()
    assert {"etc/passwd", "etc/group", "proc", "dev", "usr/bin/sh"} <= set(found)


def test_names_of_owners_are_nobodys_business_and_the_same_packages_are_the_same_bytes() -> None:
    package = {"./usr/bin/a": b"x", "./usr/bin/b": ("->", "a")}
    assert laid_out(package) == laid_out(package)
    assert {each.uname for each in members(laid_out(package)).values()} == {""}


def archive() -> bytes:
    return layer.archive("muxlab/a:1", [tar({"a": b"a"}), tar({"b": b"b"})], "arm64", {"Cmd": ["a"]})


def test_an_archive_names_its_layers_by_their_sums() -> None:
    made = archive()
    (manifest,) = json.loads(read(made, "manifest.json"))
    text = read(made, manifest["Config"])
    assert manifest["RepoTags"] == ["muxlab/a:1"]
    assert manifest["Config"] == hashlib.sha256(text).hexdigest() + ".json"
    config = json.loads(text)
    assert (config["architecture"], config["variant"], config["config"]) == ("arm64", "v8", {"Cmd": ["a"]})
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(read(made, name)).hexdigest()
                                            for name in manifest["Layers"]]
    assert len(config["history"]) == len(manifest["Layers"]) == 2


def test_an_archive_is_the_same_bytes_twice() -> None:
    assert archive() == archive()


def test_two_layers_that_are_alike_are_one_file_of_the_archive() -> None:
    same = tar({"a": b"a"})
    made = layer.archive("muxlab/a:1", [same, same], "amd64", {})
    assert len(json.loads(read(made, "manifest.json"))[0]["Layers"]) == 2
    assert len([name for name in members(made) if name.endswith("layer.tar")]) == 1
