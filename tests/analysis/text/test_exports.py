import csv
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.findings import findings_of
from analysis.snapshot import read_sweep
from analysis.text.exports import Column, Sheet, csv_of, latex_of, markdown_of, tables_of
from kd_core.measure.predictions import RAW, SCALED

mathematics = settings(deadline=None, derandomize=True)
texts = st.text(st.sampled_from("ab &%$#_{}~^\\|<>`*[]=+-@'\",\n\r\t\x00σé1."), max_size=12)


@pytest.fixture(scope="module")
def findings(store):
    return findings_of(read_sweep(store, "demo"))


@pytest.fixture(scope="module")
def tables(findings):
    return tables_of(findings)


def lines_of(table):
    return list(csv.DictReader(io.StringIO(table)))


def test_five_tables_in_three_formats_with_a_row_each_for_the_same_things(tables):
    assert list(tables) == [f"table{number}.{ending}" for number in (1, 2, 3, 4, 5) for ending in ("csv", "md", "tex")]
    for number in (1, 2, 3, 4, 5):
        rows = len(lines_of(tables[f"table{number}.csv"]))
        assert tables[f"table{number}.md"].count("\n|") == rows + 2  # header and rule
        assert tables[f"table{number}.tex"].count(r" \\") == rows + 1


def test_equal_findings_give_equal_bytes(findings, tables, store):
    assert tables_of(findings) == tables
    assert tables_of(findings_of(read_sweep(store, "demo"))) == tables


def test_table_1_has_every_arm_with_its_figures_on_test(findings, tables):
    lines = lines_of(tables["table1.csv"])
    points = findings.points.set_index("arm")
    assert sorted(line["arm"] for line in lines) == sorted(points.index)
    for line in lines:
        for figure in ("accuracy", "confidence", "ece", "ece_scaled"):
            estimate = findings.shipped.test.estimate(figure, line["arm"])
            assert float(line[figure]) == pytest.approx(points[f"test/{figure}"][line["arm"]], rel=1e-7)
            ends = [float(line[figure + part]) for part in ("_estimate", "_low", "_high")]
            assert ends == pytest.approx([estimate.value, estimate.low, estimate.high], rel=1e-7)
        assert line["seeds"] == str(points["num_seeds"][line["arm"]])


def test_table_1_is_ordered_by_teacher_and_temperature(make_sweep):
    recipes = [("kd", "b", 2), ("kd_mixup", "b", "sigma"), ("kd_mixup", "b", 10), ("kd_mixup", "b", 2), ("kd", "a", 4)]
    arms = [{"method": method, "teacher": teacher, "temperature": heat} for method, teacher, heat in recipes]
    store = make_sweep(arms=[*arms, {"method": "mixup"}], teachers=("a", "b"), seeds=(0,))
    lines = lines_of(tables_of(findings_of(read_sweep(store, "demo")))["table1.csv"])
    assert [(line["teacher"], line["temperature"]) for line in lines] == [
        ("", ""),
        *(("b", "2"), ("b", "10"), ("b", "sigma"), ("b", "2")),
        ("a", "4"),
    ]


def test_table_2_has_teachers_then_the_student_that_validation_selects(make_sweep):
    arms = [{"method": "classic"}, *({"method": "kd", "teacher": "resnet", "temperature": T} for T in (2, 4, 8))]
    findings = findings_of(read_sweep(make_sweep(arms=arms), "demo"))
    lines = lines_of(tables_of(findings)["table2.csv"])
    points = findings.points
    best = points.loc[points["teacher"] == "resnet"].sort_values("validation/accuracy")["arm"].iloc[-1]
    assert [(line["model"], line["role"]) for line in lines] == [
        ("resnet", "teacher"),
        (best, "student"),
        ("classic", "no teacher"),
    ]
    (teacher,) = findings.teachers.to_dict("records")
    assert float(lines[0]["ece"]) == pytest.approx(teacher["test/ece"], rel=1e-7)


def test_table_3_has_the_difference_of_every_other_arm_to_the_baseline(findings, tables):
    lines = lines_of(tables["table3.csv"])
    assert findings.baseline == "classic"
    assert [line["arm"] for line in lines] == [arm for arm in findings.test.arms if arm != "classic"]
    for line in lines:
        expected = findings.shipped.test.difference("nll", line["arm"], "classic")
        assert [float(line[name]) for name in ("nll", "nll_low", "nll_high")] == pytest.approx(
            [expected.value, expected.low, expected.high], rel=1e-7
        )
    assert re.search(r"\| [+-]\d", tables["table3.md"])


@pytest.mark.parametrize(("number", "reading", "figure"), [(4, RAW, "ece"), (5, SCALED, "ece_scaled")])
def test_tables_4_and_5_have_the_plausible_arms_of_a_reading_the_most_probable_first(
    findings, tables, number, reading, figure
):
    lines = lines_of(tables[f"table{number}.csv"])
    assert {RAW: "as trained", SCALED: "as shipped"}[reading] in tables[f"table{number}.md"].splitlines()[0]
    points = findings.readings[reading].front.points.set_index("arm")
    assert {line["arm"] for line in lines} == set(points.index[points["plausible"] | points["on_front"]])
    probabilities = [float(line["front_probability"]) for line in lines]
    assert probabilities == sorted(probabilities, reverse=True)
    for line in lines:
        value = points[f"validation/{figure}"][line["arm"]]
        assert float(line[f"validation_{figure}"]) == pytest.approx(value, rel=1e-7)
        assert (line["single"] == "yes") == points["on_front"][line["arm"]]
        assert line["optimistic"] in ("yes", "no")


def test_a_size_among_the_objectives_has_no_interval(store):
    findings = findings_of(read_sweep(store, "demo"), {"validation/nll_scaled": "min", "num_parameters": "min"})
    (line, *_) = lines_of(tables_of(findings)["table4.csv"])
    assert line["num_parameters"] == "1234"
    assert {"validation_nll_scaled", "test_nll_scaled_low"} <= set(line)
    assert "validation_num_parameters" not in line


def test_a_sweep_without_a_finished_arm_has_headers_only(make_sweep):
    labels = tuple(f"{method} seed {seed}" for method in ("classic", "mixup") for seed in (0, 1))
    arms = [{"method": "classic"}, {"method": "mixup"}]
    empty = tables_of(findings_of(read_sweep(make_sweep(arms=arms, unfinished=labels, teachers=()), "demo")))
    assert [len(table.splitlines()) for name, table in empty.items() if name.endswith("csv")] == [1] * 5


def table_of(*cells):
    """A table of one row of text cells and a figure."""
    columns = [Column(f"c{number}", text) for number, text in enumerate(cells)]
    return Sheet(
        f"demo: {cells[0]}", [*columns, Column("figure", "figure", ("", "_low", "_high"))], [[*cells, [0.5, 0.25, 1.0]]]
    )


def negative():
    return Sheet("c", [Column("a", "A", ("", "_low", "_high"), "+.4f")], [[[-0.5, -1.0, 0.25]]])


@mathematics
@given(texts, texts)
def test_no_text_breaks_out_of_its_cell_in_markdown(first, second):
    caption, blank, *lines = markdown_of(table_of(first, second), 1).splitlines()
    assert (caption[:11], blank, len(lines)) == ("**Table 1.**"[:11], "", 3)
    for line in lines:
        assert len(re.findall(r"\|", re.sub(r"\\.", "", line))) == 4
    assert not re.search(r"[<>`]|&(?!(lt|gt|amp);)", re.sub(r"\\.", "", "".join([caption, *lines])))


@mathematics
@given(texts, texts)
def test_no_text_is_a_command_in_latex(first, second):
    lines = latex_of(table_of(first, second), 1).splitlines()
    (row,) = [line for line in lines if line.endswith(r"\\") and "0.5000" in line]
    assert len(lines) == 12
    bare = re.sub(r"\$\\sigma\$|\$-\$", "", row)
    bare = re.sub(r"\\text[a-z]+\{\}|\\[&%$#_{}]|^\{\}|(?<=& )\{\}", "", bare.removesuffix(r"\\"))
    assert bare.count("&") == 2
    assert not re.search(r"[%$#_{}~^\\<>|]", bare)
    assert not re.match(r"\s*[\[*]", row)  # which \\ would take for its own


@mathematics
@given(texts)
def test_no_cell_is_a_formula_in_csv_and_all_can_be_read_back(text):
    (header, row) = csv.reader(io.StringIO(csv_of(table_of(text), 1)))
    assert header == ["c0", "figure", "figure_low", "figure_high"]
    assert row[1:] == ["0.5", "0.25", "1"]
    assert not row[0].startswith(("=", "+", "-", "@")) or float(row[0]) is not None
    plain = " ".join(text.replace("\x00", " ").split())
    assert row[0] in (plain, "'" + plain)


@pytest.mark.parametrize(
    ("text", "cell"), [("-1.5", "-1.5"), ("=1+1", "'=1+1"), ("-a", "'-a"), ("@x", "'@x"), ("1", "1"), ("\t=1", "'=1")]
)
def test_numbers_are_no_formulas(text, cell):
    (_, row) = csv.reader(io.StringIO(csv_of(table_of(text), 1)))
    assert row[0] == cell


def test_latex_and_markdown_read_well():
    sheet = table_of("kd_mixup 50 % & more")
    assert r"kd\_mixup 50 \% \& more & 0.5000 [0.2500, 1.0000] \\" in latex_of(sheet, 1)
    assert r"| kd\_mixup 50 % &amp; more | 0.5000 [0.2500, 1.0000] |" in markdown_of(sheet, 1)
    (row,) = [line for line in latex_of(negative(), 1).splitlines() if "0.5" in line]
    assert row == r"$-$0.5000 [$-$1.0000, +0.2500] \\"


def test_what_is_missing_is_left_blank():
    nan = float("nan")
    sheet = Sheet("c", [Column("a", "A", ("", "_low", "_high")), Column("b", "B", ("",))], [[[nan] * 3, [nan]]])
    assert csv_of(sheet, 1).splitlines()[1] == ",,,"
    assert markdown_of(sheet, 1).splitlines()[-1] == "|  |  |"


def test_names_of_arms_do_no_harm(make_sweep):
    bad = "<script>alert(1)</script>|$x_1$\\input{/etc/passwd}"
    store = make_sweep(arms=[{"method": "classic"}, {"method": "kd", "teacher": bad}], teachers=(bad,), size=60)
    tables = tables_of(findings_of(read_sweep(store, "demo")))
    assert "<script" not in re.sub(r"\\.", "", "".join(text for name, text in tables.items() if name.endswith(".md")))
    assert r"\input" not in "".join(text for name, text in tables.items() if name.endswith(".tex"))
