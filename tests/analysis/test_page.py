import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from analysis.report import write_report
from analysis.tables import front_rows

HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
    """The addresses, scripts and words of a page that a browser would load, run and show."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.scripts, self.words, self.within = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.within.append(tag)
        names = ("src", "href", "xlink:href", "action", "data", "srcset")
        self.addresses += [value for name, value in attributes if name in names]

    def handle_endtag(self, tag):
        if tag in self.within:
            del self.within[len(self.within) - 1 - self.within[::-1].index(tag) :]

    def handle_data(self, data):
        if self.within[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.within[-1:] != ["style"]:
            self.words.append(data.strip())


def page_of(report):
    return Page(report.path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def report(store):
    return write_report(store, "demo")


def test_the_page_asks_nobody_for_anything(report):
    text = report.path.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "unsafe-eval" not in text
    assert all(address.startswith("#") for address in page_of(report).addresses)
    assert not re.search(r"@import|url\((?!['\"]?#)", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


def test_ids_are_unique(report):
    text = re.sub(r"<script>.*?</script>", "", report.path.read_text(encoding="utf-8"), flags=re.DOTALL)
    ids = re.findall(r'\sid="([^"]*)"', text)
    assert len(ids) == len(set(ids))


def test_the_page_shows_counts_front_teachers_failures_and_protocol(report):
    words = page_of(report).words
    for title in ("The front", "Teachers", "Reliability", "Learning curves", "All trials", "Failed trials", "Protocol"):
        assert title in words
    assert "FloatingPointError: the loss is nan at epoch 2" in words
    for row in front_rows(report.front):
        figures = (row[name] for name in ("ece", "ece_scaled", "ece_debiased", "aurc"))
        assert {row["arm"], *(f"{figure:.4f}" for figure in figures)} <= set(words)
    assert not any("z/σ" in word for word in words)


def test_a_student_without_a_logit_scale_has_three_reliability_diagrams(make_sweep):
    arms = [{"method": "classic"}, {"method": "kd", "teacher": "resnet", "temperature": "sigma"}]
    written = write_report(make_sweep(arms=arms, seeds=(0,)), "demo")
    text = written.path.read_text(encoding="utf-8")
    standardized = written.front.members["test/ece_standardized"].dropna()
    assert len(standardized) == 1
    assert len(re.findall(r">z/σ</text>", text)) == 1
    assert f"{standardized.iloc[0]:.4f}" in page_of(written).words
    assert "nothing fitted" in text


def test_a_name_is_shown_as_it_is_and_never_run(make_sweep):
    store = make_sweep(unfinished=("classic seed 0",))
    sweep = store.sweep("demo")
    members = sweep.members()
    for trial in members["trials"]:
        trial["arm"], trial["label"] = (f"{HOSTILE} {trial[name]}" for name in ("arm", "label"))
    members["teachers"][0]["name"] = HOSTILE
    sweep.write("", members)
    store.trial("trial-0-0").fail(HOSTILE, "")
    page = page_of(write_report(store, "demo"))
    assert not any(script.strip().startswith("alert") for script in page.scripts)
    assert len(page.scripts) == 4
    assert HOSTILE in page.words
    points = next(script for script in page.scripts if script.startswith("{"))
    assert "<" not in points
    assert any(HOSTILE in str(row) for rows in json.loads(points)["datasets"].values() for row in rows)


def test_a_sweep_without_a_finished_trial_has_a_page_that_says_so(make_sweep):
    arms = [{"method": "classic"}]
    store = make_sweep(arms=arms, teachers=(), seeds=(0,), unfinished=("classic seed 0",))
    report = write_report(store, "demo")
    words = page_of(report).words
    assert report.front.members.empty
    assert "No trial has finished yet, so there is no front to show." in words
    assert "The front" not in words
    assert len(page_of(report).scripts) == 1


def test_a_real_browser_draws_the_interactive_chart_and_asks_nobody(report, tmp_path):
    """Chromium without a network: the page's scripts run under its own policy and draw every arm."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "the report is tested in Chromium; install it"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    offline = ["--proxy-server=127.0.0.1:9", "--virtual-time-budget=10000", f"--user-data-dir={tmp_path}"]
    command = [chromium, *flags, *offline, "--enable-logging=stderr", "--dump-dom", report.path.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "CONSOLE" not in shown.stderr
    assert re.search(r"<(svg|canvas)[^>]*class=\"marks\"", shown.stdout)
