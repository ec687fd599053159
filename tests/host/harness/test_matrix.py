"""docker/matrix.toml: its sets, and what is wrong with others, one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import Usage
from lab.harness import images, targets
from lab.harness.verifying import matrix


def test_every_set_of_the_lab_is_made_of_targets_that_exist() -> None:
    found = matrix.load()
    assert {"ci", "quick", "python"} <= set(found)
    for each in found.values():
        containers = [spelling for spelling in each.spellings() if spelling.startswith("docker:")]
        assert [target.name for target in targets.choose(containers).targets] == containers
        assert each.about and each.spellings()


def test_ci_has_every_image_and_on_gvisor_those_that_it_can_run() -> None:
    spelled = matrix.find("ci").spellings()
    for row in images.load().values():
        assert "docker:%s@runc" % row.id in spelled
        assert ("docker:%s@runsc" % row.id in spelled) == (row.arch == "amd64")


def test_a_set_may_leave_images_out(tmp_path: Path) -> None:
    path = tmp_path / "matrix.toml"
    path.write_text('[x]\nabout = "a"\nimages = ["*"]\nwithout = ["musl"]\n')
    assert matrix.load(path)["x"].spellings() == ["docker:%s" % name for name in images.names() if name != "musl"]


@pytest.mark.parametrize("text, told", [
    ("x = 1\n", "matrix.toml: x: must be a table"),
    ("[x]\n", "matrix.toml: x: about: is missing"),
    ('[x]\nabout = "a"\nimage = ["*"]\n', "image: unknown field"),
    ('[x]\nabout = "a"\nimages = ["nonesuch"]\n', "images: images.toml has no nonesuch"),
    ('[x]\nabout = "a"\nimages = ["*"]\nwithout = ["*"]\n', "without: images.toml has no *"),
    ('[x]\nabout = "a"\ntargets = [1]\n', "targets: must be a list of words"),
    ("[x\n", "is no TOML"),
])
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "matrix.toml"
    path.write_text(text)
    with pytest.raises(Usage) as refused:
        matrix.load(path)
    assert told in str(refused.value) and str(refused.value).isprintable()


def test_an_unknown_set_is_one_line_with_a_guess() -> None:
    with pytest.raises(Usage) as refused:
        matrix.find("quikc")
    assert str(refused.value) == 'no matrix "quikc"; quick?; they are: %s' % ", ".join(matrix.load())
