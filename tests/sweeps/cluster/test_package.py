import zipfile
from pathlib import Path

import pytest

import sweeps.cluster.package as package_module
from sweeps.cluster.package import CARRIED, SPEC_FILE, PackageError, write_package


def names_in(path):
    """The files of an archive."""
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_package_holds_our_code_and_the_spec_and_nothing_that_lies_about(tmp_path, monkeypatch):
    (tmp_path / "secret.py").write_text("KEY = 1")
    monkeypatch.chdir(tmp_path)
    write_package(tmp_path / "package.zip", "name: mine\n")
    found = names_in(tmp_path / "package.zip")
    assert {
        SPEC_FILE,
        "sweeps/__main__.py",
        "sweeps/specs/quickstart.yaml",
        "analysis/templates/report.html.j2",
    } <= found
    assert "kd_core/__init__.py" in found
    assert {name.split("/")[0] for name in found} == {"kd_core", "analysis", "sweeps", SPEC_FILE}
    assert {Path(name).suffix for name in found} <= CARRIED
    with zipfile.ZipFile(tmp_path / "package.zip") as archive:
        assert archive.read(SPEC_FILE) == b"name: mine\n"


def test_equal_code_and_spec_give_an_equal_package(tmp_path):
    for name in ("a.zip", "b.zip"):
        write_package(tmp_path / name, "name: mine\n")
    write_package(tmp_path / "c.zip", "name: yours\n")
    first, second, other = ((tmp_path / name).read_bytes() for name in ("a.zip", "b.zip", "c.zip"))
    assert first == second != other


def test_a_package_above_the_limit_is_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(package_module, "MOST_BYTES", 1000)
    with pytest.raises(
        PackageError, match=r"^the package takes \d+ bytes where at most 1000 are sent; shorten the spec$"
    ):
        write_package(tmp_path / "package.zip", "name: mine\n")
