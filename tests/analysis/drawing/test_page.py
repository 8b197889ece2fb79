"""The page of a report: what it says, in which order, to whom it does no harm."""

import json
import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from analysis.drawing.page import MOST_ROWS, front_svg, page_of
from analysis.findings import Findings, findings_of
from analysis.report import write_report
from analysis.snapshot import read_sweep
from analysis.statistics.importance import MATTERS, Importance
from analysis.text.key_sentences import key_sentences
from kd_core.measure.predictions import RAW, SCALED
from tests.products import members_of, write_members

HOSTILE = "<script>alert(1)</script>"
SECTIONS = ["front", "evidence", "keys", "teachers", "reliability", "curves", "runs", "failures", "protocol"]


class Page(HTMLParser):
    """The addresses, sections, scripts and words of a page that a browser would load, run and show."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.sections, self.scripts, self.words, self.within = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.within.append(tag)
        names = ("src", "href", "xlink:href", "action", "data", "srcset")
        self.addresses += [value for name, value in attributes if name in names]
        self.sections += [value for name, value in attributes if (tag, name) == ("section", "id")]

    def handle_endtag(self, tag):
        if tag in self.within:
            del self.within[len(self.within) - 1 - self.within[::-1].index(tag) :]

    def handle_data(self, data):
        if self.within[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.within[-1:] != ["style"]:
            self.words.append(data.strip())

    @property
    def prose(self):
        """All words as one text."""
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def findings(store) -> Findings:
    return findings_of(read_sweep(store, "demo"))


@pytest.fixture(scope="module")
def text(store, findings) -> str:
    return page_of(findings)


def test_equal_findings_give_equal_pages(store, findings, text):
    assert text == page_of(findings)
    assert front_svg(findings.shipped.front, findings.test) == front_svg(findings.shipped.front, findings.test)


def test_the_page_asks_nobody_for_anything(text):
    assert "default-src 'none'" in text
    assert "unsafe-eval" not in text
    assert all(address.startswith("#") for address in Page(text).addresses)
    assert not re.search(r"@import|url\((?!['\"]?#)", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    assert len(text.encode()) < 2.5e6


def test_ids_are_unique(text):
    ids = re.findall(r'\sid="([^"]*)"', re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    assert len(ids) == len(set(ids))


def test_the_page_begins_with_the_answer_and_ends_with_the_protocol(text, findings):
    page = Page(text)
    assert page.sections == SECTIONS
    answers = [judgement.answer[0] for judgement in findings.readings.values()]
    for judgement in findings.readings.values():
        assert " ".join(judgement.answer[1:]) in page.prose
        for word, arm in judgement.choices.by_word.items():
            assert f"the {word} arm is {arm}" in page.prose
    assert page.words.index(findings.sanity.sentences[0]) < page.words.index(answers[0])
    assert page.words.index(answers[0]) < page.words.index(answers[1]) < page.words.index("The front")
    assert {*findings.protocol, *findings.protocol.values()} <= set(page.words)
    assert findings.spec_yaml.strip() in page.words


def test_the_page_shows_plausible_arms_with_intervals_claims_and_failures(text, findings):
    page = Page(text)
    points, test = findings.points, findings.shipped.test
    for arm in points.loc[points["plausible"], "arm"]:
        estimate = test.estimate("accuracy", arm)
        assert f"{100 * estimate.value:.2f}" in page.words
        assert f"({100 * estimate.low:.2f}–{100 * estimate.high:.2f})" in page.words
    for claim in findings.claims:
        assert claim.claim in page.prose
        assert claim.verdict in page.words or claim.verdict == "not testable"
        if claim.trials and claim.verdict != "not testable":
            assert f"({len(claim.trials)} trial{'s' * (len(claim.trials) > 1)})" in page.prose
    for judgement in findings.readings.values():
        assert all(sentence in page.prose for sentence in judgement.advice)
    assert "FloatingPointError: the loss is nan at epoch 2" in page.words
    assert f"judged on the {findings.validation.num_images} validation images alone" in page.prose
    assert "seeds differ is pooled over 3 arms of 2 seeds" in page.prose


def test_both_front_charts_come_in_two_widths_with_every_arm(text, findings):
    charts = re.findall(r'<figure class="chart" data-reading="(\w+)">(.*?)</figure>', text, flags=re.DOTALL)
    assert [reading for reading, _ in charts] == list(findings.readings) == [SCALED, RAW]
    for _, chart in charts:
        widths = re.findall(r'<div class="(wide|narrow)">(<svg.*?</svg>)', chart)
        assert [width for width, _ in widths] == ["wide", "narrow"]
        for _, svg in widths:
            arms = sorted(int(index) for index in re.findall('data-arm="([0-9]+)"', svg))
            assert arms == list(range(len(findings.points)))


def test_the_script_knows_every_arm_and_links_the_plausible_ones_to_their_diagrams(text, findings):
    chart = json.loads(next(script for script in Page(text).scripts if script.startswith("{")))
    points = findings.points
    assert [row[0] for row in chart["rows"][SCALED].values()] == points["arm"].tolist()
    assert all(len(row) == 1 + len(chart["titles"]) for row in chart["rows"][SCALED].values())
    assert set(np.flatnonzero(points["plausible"])) <= set(chart["linked"])
    for index in chart["linked"]:
        for reading, probability in chart["probability"].items():
            assert f'id="reliability-{reading}-{index}"' in text
            assert probability[str(index)] == pytest.approx(
                findings.readings[reading].front.points["front_probability"][index], abs=1e-3
            )


@pytest.mark.usefixtures("sketches")
def test_a_student_without_a_logit_scale_has_three_reliability_diagrams(make_sweep):
    arms = [{"method": "classic"}, {"method": "kd", "teacher": "resnet", "temperature": "sigma"}]
    store = make_sweep(arms=arms, seeds=(0,))
    text = page_of(findings_of(read_sweep(store, "demo")))
    for reading in ("raw", "temperature_scaled", "standardized"):
        assert text.count(f'id="reliability-{reading}-1"') == 1
    assert "nothing fitted" in text
    assert 'id="reliability-standardized-0"' not in text


def test_a_name_is_shown_as_it_is_and_never_run(make_sweep):
    arms = [{"method": "classic"}, {"method": "kd", "teacher": "resnet", "temperature": 2}]
    store = make_sweep(arms=arms, unfinished=("classic seed 0",))
    sweep = store.sweep("demo")
    members = members_of(sweep)
    for trial in members["trials"]:
        trial["arm"], trial["label"] = (f"{HOSTILE} {trial[name]}" for name in ("arm", "label"))
        trial["teacher"] = trial["teacher"] and f"../{HOSTILE}"
    members["teachers"][0]["name"] = f"../{HOSTILE}"
    write_members(sweep, f"name: demo # {HOSTILE}\n", members)
    store.trial("trial-0-0").fail(HOSTILE, "")
    text = write_report(read_sweep(store, "demo")).path.read_text(encoding="utf-8")
    page = Page(text)
    assert text.count("<script") == text.count("</script>") == len(page.scripts) == 2
    assert not any("alert(1)" in script and not script.startswith("{") for script in page.scripts)
    assert HOSTILE in page.words
    assert any(HOSTILE in row[0] for row in json.loads(page.scripts[0])["rows"][RAW].values())
    assert f"../{HOSTILE}, a teacher" in page.words
    assert f"name: demo # {HOSTILE}" in page.words


@pytest.mark.usefixtures("sketches")
def test_a_teacher_that_failed_is_named_with_the_trials_that_wait_for_it(store, findings):
    teachers = findings.teachers.assign(status="failed", error="OSError: <no weights>")
    waiting = findings.runs["arm"] == "kd resnet T=2"
    runs = findings.runs.assign(status=findings.runs["status"].mask(waiting, "pending"))
    page = Page(page_of(replace(findings, teachers=teachers, runs=runs)))
    assert {"resnet, a teacher", "OSError: <no weights>", "kd resnet T=2 seed 0"} <= set(page.words)
    assert page.words.count("its teacher, resnet, failed") == 2


@pytest.mark.usefixtures("sketches")
@pytest.mark.parametrize(
    ("choices", "absent"),
    [
        ({"arms": [{"method": "classic"}], "teachers": (), "seeds": (0,)}, {"keys", "teachers", "failures"}),
        ({"seeds": (0,)}, {"failures"}),
        ({"arms": [{"method": "classic"}, {"method": "mixup"}], "teachers": ()}, {"teachers", "failures"}),
    ],
    ids=["one arm", "no replicates", "no teachers"],
)
def test_small_sweeps_have_every_section_that_says_something(make_sweep, choices, absent):
    store = make_sweep(**choices)
    assert Page(page_of(findings_of(read_sweep(store, "demo")))).sections == [
        each for each in SECTIONS if each not in absent
    ]


@pytest.mark.usefixtures("sketches")
def test_the_keys_that_matter_have_a_panel_an_objective_or_a_sentence_if_arms_are_few(findings):
    assert "Too few arms to tell which key matters (4; 30 are needed)." in Page(page_of(findings)).words
    made = [
        Importance(objective, key, 3, 9, 0.5, 0.2, 0.8, MATTERS)
        for objective in ("validation/accuracy", "validation/ece")
        for key in ("alpha", "temperature")
    ]
    text = page_of(replace(findings, importances=made))
    page = Page(text)
    assert page.sections == SECTIONS
    assert " ".join(key_sentences(made, 30)) in page.words
    assert text.count('aria-label="Which key matters: ') == 2


def test_a_sweep_without_a_finished_trial_has_a_page_that_says_so(make_sweep):
    store = make_sweep(arms=[{"method": "classic"}], teachers=(), seeds=(0,), unfinished=("classic seed 0",))
    findings = findings_of(read_sweep(store, "demo"))
    page = Page(page_of(findings))
    assert findings.shipped.answer[0] in page.words
    assert page.sections == ["runs", "failures", "protocol"]
    assert len(page.scripts) == 1
    assert "svg" in front_svg(findings.shipped.front, findings.test)


@pytest.mark.usefixtures("sketches")
def test_a_very_long_table_is_cut_and_says_so(store, findings):
    runs = pd.concat([findings.runs] * (MOST_ROWS // 8 + 1), ignore_index=True)
    page = Page(page_of(replace(findings, runs=runs)))
    assert f"the first {MOST_ROWS} of {len(runs)} trials" in page.prose
    assert page.words.count("classic seed 0") == MOST_ROWS // 8 + 1


@pytest.mark.usefixtures("sketches")
def test_latency_is_a_figure_where_it_tells_students_apart_and_else_a_sentence(store, findings):
    runs = findings.runs.assign(latency_device="a toaster")
    points = findings.points.assign(latency_ms_1=0.25, latency_ms_64=[0.1, 0.1, 0.2, np.nan])
    shipped = replace(findings.shipped, front=replace(findings.shipped.front, points=points))
    text = page_of(replace(findings, runs=runs, readings=findings.readings | {SCALED: shipped}))
    assert "same for all: latency at batch 1 (ms an image): 0.25." in Page(text).prose
    assert "measured on a toaster" in Page(text).prose
    assert len(re.findall('aria-label="Accuracy by latency', text)) == 1


@pytest.mark.usefixtures("sketches")
def test_another_sweep_stands_beside_this_one(make_sweep):
    store = make_sweep()
    write_members(store.sweep("twin"), "name: twin\n", members_of(store.sweep("demo")) | {"sweep": "twin"})
    text = page_of(findings_of(read_sweep(store, "demo"), against=read_sweep(store, "twin")))
    assert "Against twin" in Page(text).words
    assert "twin: classic" in Page(text).words
    assert text.count("the other sweep's front</text>") == 4


@pytest.mark.usefixtures("sketches")
def test_the_paper_s_rows_stand_beside_ours_and_the_impossible_one_is_marked(store, findings):
    text = page_of(replace(findings, spec_yaml="data: {source: cifar100}\n"))
    assert "Table 1: mixup" in Page(text).words
    assert Page(text).words.count("impossible") == 1
    assert "Table 1: mixup" not in Page(page_of(findings)).words


def shown_by(chromium, text, folder, script):
    """The page as Chromium without a network makes it, and what its console says, after a script of ours."""
    page = folder / "page.html"
    page.write_text(text.replace("</body>", f"<script>{script}</script></body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    offline = ["--proxy-server=127.0.0.1:9", "--virtual-time-budget=10000", f"--user-data-dir={folder}"]
    command = [chromium, *flags, *offline, "--enable-logging=stderr", "--dump-dom", page.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    return shown.stdout, shown.stderr


def test_in_a_real_browser_a_point_tells_its_figures_and_opens_its_diagram(chromium, text, findings, tmp_path):
    script = """
      const key = name => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: name}));
      document.querySelector('.chart[data-reading="raw"] .wide svg [data-arm][tabindex="0"]').focus();
      for (let index = 0; index < 10; index++) key("ArrowRight");
      document.title = document.querySelector(".chart[data-reading=raw] .tip").textContent;
      key("Enter");
      document.title += " " + document.activeElement.id;
    """
    script = 'document.getElementById("reading-2").checked = true;' + script
    dom, log = shown_by(chromium, text, tmp_path, script)
    assert "CONSOLE" not in log
    title = re.search("<title>(.*?)</title>", dom)[1]
    points, told = findings.points, findings.readings[RAW].test
    accuracies = [told.estimate("accuracy", arm).value for arm in points["arm"]]
    rightmost = int(np.argmax(accuracies))
    assert title.startswith(points["arm"][rightmost])
    assert f"{100 * accuracies[rightmost]:.2f}" in title
    assert title.endswith(f"reliability-raw-{rightmost}")
