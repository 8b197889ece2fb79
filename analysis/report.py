"""The report of a sweep: one self-contained page, and the front as CSV, JSON and SVG beside it."""

from dataclasses import dataclass

import pandas as pd
from upath import UPath

from analysis.pareto import Front, front_of, scaled
from analysis.runs import runs_of
from analysis.tables import front_csv, front_json
from kd_core.spec.keys import digest
from kd_core.store.files import read_json, write_bytes, write_json
from kd_core.store.records import Record, Store

REPORT_VERSION = 1  # increment when equal records give another report
FILES = ("front.csv", "front.json", "front.svg", "report.html")
INPUTS = "inputs.json"


@dataclass(frozen=True)
class Report:
    """The path of the page and its content: both fronts and the table of runs."""

    path: UPath
    front: Front
    scaled_front: Front
    runs: pd.DataFrame


def report_of(store: Store, name: str) -> Report:
    """The report of a sweep from its records, without writing it."""
    sweep = store.sweep(name)
    objectives, runs = sweep.members()["objectives"], runs_of(store, name)
    return Report(
        path=sweep.report / "report.html",
        front=front_of(runs, objectives),
        scaled_front=front_of(runs, scaled(objectives)),
        runs=runs,
    )


def write_report(store: Store, name: str) -> Report:
    """Write report.html and the front as .csv, .json and .svg, each atomically; equal records give equal bytes."""
    from analysis.page import front_svg, page_of  # imports matplotlib, which an up-to-date report does not need

    inputs, report, folder = inputs_of(store, name), report_of(store, name), store.sweep(name).report
    front, scaled_front = report.front, report.scaled_front
    page = page_of(store, name, report.runs, front, scaled_front)
    contents = front_csv(front), front_json(front, scaled_front), front_svg(front), page
    (folder / INPUTS).unlink(missing_ok=True)
    for file, content in zip(FILES, contents, strict=True):
        write_bytes(folder / file, content.encode())
    write_json(folder / INPUTS, inputs)  # last: if it exists, the others are complete and made from it
    return report


def update_report(store: Store, name: str) -> Report:
    """The report of a sweep, written again only if a file is missing or its inputs have changed."""
    folder = store.sweep(name).report
    whole = all((folder / file).exists() for file in FILES)
    up_to_date = whole and read_json(folder / INPUTS) == inputs_of(store, name)
    return report_of(store, name) if up_to_date else write_report(store, name)


def inputs_of(store: Store, name: str) -> dict[str, str | int]:
    """The inputs of a report, {"version", "records"}: the code's version and a digest of the records."""
    members = store.sweep(name).members()
    teachers = [store.teacher(each["key"]) for each in members["teachers"]]
    trials = [store.trial(each["key"]) for each in members["trials"]]
    said = [_said(record) for record in (*teachers, *trials)]
    return {"version": REPORT_VERSION, "records": digest([members, said])}


def _said(record: Record) -> list[object]:
    return [record.status, record.config(), record.verdict(), record.failure(), record.journal()]
