"""README's table of how often intervals and claims hold, printed by python -m tests.benchmarks.coverage.table."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results.json"
SMOOTH, ROUGH = "overconfident|both signs", "one bin|top bin|certain|rest of certain"
ROWS = {  # what is promised, how often it is to hold, and the figures that say how often it does
    "ECE of an arm, miscalibration smooth in confidence, 200 to 50,000 images": ("95 %", rf"shape_({SMOOTH})_ece.*"),
    "… in one bin, in the top bin, or where 70 % of the images have confidence 1": ("95 %", rf"shape_({ROUGH})_ece.*"),
    "Difference of two arms of equal ECE and another shape": ("95 %", r"shape_.* minus .*"),
    "ECE over 1 to 10 seeds, 2,000 and 10,000 images": ("95 %", r"seeds_\d+_ece.*"),
    "Accuracy of 95 to 99.9 %, 60 to 10,000 images, on average": ("95 %", r"accuracy(_difference)?_mean_n.*"),
    "Accuracy of the recommended arm, of two or three seeds": ("95 %", r"coverage_accuracy_corrected_.*"),
    "… its difference to classic training": ("95 %", r"coverage_accuracy_difference_corrected_.*"),
    "… after early stopping, with three seeds": ("95 %", r"stopping_scouts_recommended_coverage"),
    "… on the fresh seeds of `confirm`": ("95 %", r"stopping_confirmed_coverage"),
    "Accuracy of an arm whose seeds differ five times as much as others', of 3 or 5 seeds": (
        "95 %",
        r"one_unstable_arm_seeds_[35]_covered_unstable",
    ),
    "… of 2 seeds, which are too few to see that": ("95 %", r"one_unstable_arm_seeds_2_covered_unstable"),
    "The plausible arms hold all that are truly on the front, of 2 to 50 level arms": (
        "at least 95 %",
        r"all_truly_on_front_plausible_of_.*",
    ),
    "A page makes a false claim": ("at most 5 %", r"pages_with_a_false_verdict_.*"),
    "A level arm is called more accurate than classic": (
        "2.5 %",
        r"said_more_accurate_accuracy_difference_corrected_(level|one).*",
    ),
    "What is advised, in images or in seeds, shows the difference": ("80 %", r"advice_shows_.*"),
}


def table_of(figures: Mapping[str, float]) -> str:
    """The table in Markdown: each promise, and the least and the most of its figures, in per cent."""
    lines = ["| Promise | nominal | simulated |", "|---|---|---|"]
    for promise, (nominal, pattern) in ROWS.items():
        found = [100 * value for name, value in figures.items() if re.fullmatch(pattern, name)]
        low, high = (f"{end(found):.1f}".removesuffix(".0") for end in (min, max))
        lines.append(f"| {promise} | {nominal} | {low if low == high else f'{low} to {high}'} % |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table_of(json.loads(RESULTS.read_text(encoding="utf-8"))["coverage"]["figures"]))
