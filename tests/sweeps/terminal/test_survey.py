"""A survey in words; what the command prints as a whole is tested in tests/sweeps/commands/test_data.py."""

from kd_core.config.data import DataConfig
from kd_core.data.survey import survey_of
from sweeps.terminal.survey import looking, print_survey
from tests.image_sources import numbered, write_images


def test_of_many_classes_the_largest_and_the_smallest_are_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_images(tmp_path / "set", [path for n in range(26) for path in numbered(f"class{n:02}", 4 + n)])
    print_survey(survey_of(DataConfig(source="folder", path=str(tmp_path / "set"))))
    told = capsys.readouterr().err
    assert "the largest and the smallest of 26 classes" in told
    assert all(name in told for name in ("class00", "class09", "class16", "class25"))
    assert "class12" not in told


def test_a_long_look_tells_its_progress_in_a_log(capsys):
    with looking() as progress:
        for done in range(1000, 10_001, 1000):
            progress(done, 10_000)
        progress(100, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"looked at {done:,} of 10,000 images" for done in range(1000, 10_001, 1000)]
