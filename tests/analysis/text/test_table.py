import pytest

from analysis.text.table import Table, plain


def test_a_markdown_table_has_a_line_a_row_under_its_header_and_text_stays_in_its_cell():
    table = Table(["arm", "ECE"], [["a|b", "0.1\n\x00 \t"], [plain("c|d"), ""]], [False, True])
    assert table.markdown().splitlines() == ["| arm | ECE |", "| :--- | ---: |", "| a\\|b | 0.1 |", "| c\\|d |  |"]
    assert Table(["x"], []).markdown(gap="&ensp;| ") == "| x |\n| :--- |"


@pytest.mark.parametrize(
    ("text", "safe"), [("<b>&", "&lt;b&gt;&amp;"), ("[a](b) *c*", "\\[a\\]\\(b\\) \\*c\\*"), ("a\nb\x1b", "a b")]
)
def test_plain_text_is_no_markup(text, safe):
    assert plain(text) == safe
