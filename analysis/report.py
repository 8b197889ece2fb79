"""The report of a sweep: one self-contained page, and beside it the front and the paper's tables as files."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from upath import UPath

from analysis.snapshot import Member, Snapshot
from kd_core.config.identity import digest, file_sha256
from kd_core.measure.predictions import SCALED
from kd_core.store.files import damage_in, json_text, read_ahead, read_json, write_bytes, write_json
from kd_core.store.records import Store

REPORT_VERSION = 10  # increment when equal records give another report
PAGE, CONTENT, INPUTS = "report.html", "front.json", "inputs.json"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Report:
    """The path of the page, and the content of front.json."""

    path: UPath
    content: dict[str, Any]

    @property
    def front(self) -> Rows:
        """The arms on the front of the validation sample, as shipped, by the first objective."""
        return self.content[SCALED]["front"]

    @property
    def arms(self) -> Rows:
        """Every finished arm, with intervals, and front_probability and plausible as shipped."""
        return self.content["arms"]

    @property
    def claims(self) -> Rows:
        """The verdict on each statement of the paper."""
        return self.content["claims"]

    @property
    def answer(self) -> list[str]:
        """What to take, as shipped, in a few sentences."""
        return self.content["answer"]

    @property
    def advice(self) -> list[str]:
        """What would decide between arms that cannot be told apart."""
        return self.content["advice"]

    @property
    def keys(self) -> list[str]:
        """Which keys matter, a sentence an objective; of an older report, none."""
        return self.content.get("keys", [])

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints of a report."""
        return {"front": self.front, "arms": self.arms, "claims": self.claims, "report": str(self.path)}


def write_report(
    snapshot: Snapshot, objectives: Mapping[str, str] | None = None, against: Snapshot | None = None
) -> Report:
    """Write the page, front.json, .csv and .svg, and the tables, each atomically; equal records give equal bytes.

    What has room for one reading shows what is shipped (`analysis.readings`).
    objectives replace the sweep's own; against is another sweep to compare with. Raises as `findings_of`.
    """
    from analysis.drawing.page import front_svg, page_of  # matplotlib and scipy, which an up-to-date report needs not
    from analysis.findings import findings_of
    from analysis.text.exports import tables_of
    from analysis.text.tables import content_of, front_csv
    from analysis.text.trust import corruption_csv

    inputs, folder = inputs_of(snapshot, objectives, against), snapshot.sweep.report
    findings = findings_of(snapshot, objectives, against)
    content = content_of(findings)
    files = {
        **tables_of(findings),
        "front.csv": front_csv(content[SCALED]["front"]),
        "front.svg": front_svg(findings.shipped.front, findings.shipped.test),
        CONTENT: json_text(content),
        PAGE: page_of(findings),
    }
    if findings.evaluated:
        files["corruption.csv"] = corruption_csv(findings.evaluated)
    (folder / INPUTS).unlink(missing_ok=True)
    for file, text in files.items():
        write_bytes(folder / file, text.encode())
    sha256s = {file: hashlib.sha256(text.encode()).hexdigest() for file, text in sorted(files.items())}
    write_json(folder / INPUTS, inputs | {"files": sha256s})  # last: the others are complete and made from it
    return Report(folder / PAGE, content)


def update_report(snapshot: Snapshot) -> Report:
    """The report of a sweep by its own objectives, written again only if a file is not whole or its inputs changed."""
    folder = snapshot.sweep.report
    made_from = read_json(folder / INPUTS) or {}
    files = made_from.pop("files", None)
    if files and made_from == inputs_of(snapshot) and not _unlike(folder, files):
        return Report(folder / PAGE, read_json(folder / CONTENT))
    return write_report(snapshot)


def report_problems(store: Store, name: str) -> list[str]:
    """What is wrong with the files of a sweep's report, one line each; nothing if it has none."""
    folder = store.sweep(name).report
    if not folder.exists():
        return []
    files = (read_json(folder / INPUTS) or {}).get("files")
    if not files:
        return [damage_in(folder / INPUTS) or f"{folder / INPUTS}: is missing"]
    return _unlike(folder, files)


def _unlike(folder: UPath, files: Mapping[str, str]) -> list[str]:
    """The problem of each file of a folder that has another sha256."""
    return [f"{folder / file}: is missing or damaged" for file in files if _sha256(folder / file) != files[file]]


def _sha256(path: UPath) -> str | None:
    """The sha256 of a file; None if there is none."""
    with suppress(FileNotFoundError):
        return file_sha256(path)
    return None


def inputs_of(
    snapshot: Snapshot, objectives: Mapping[str, str] | None = None, against: Snapshot | None = None
) -> dict[str, Any]:
    """The inputs of a report: the code's version, a digest of the records, and what was asked for."""
    asked = {"objectives": dict(objectives) if objectives else None, "against": against and against.sweep.name}
    records = {each.sweep.name: _said(each) for each in (snapshot, against) if each}
    return {"version": REPORT_VERSION, "records": digest(records)} | asked


def _said(snapshot: Snapshot) -> list[object]:
    products = [*snapshot.teachers, *snapshot.trials]
    answers = {key: {name: each.arrays.sha256 for name, each in of.items()} for key, of in snapshot.evaluations.items()}
    said = [snapshot.index.model_dump(mode="json"), snapshot.latencies, list(read_ahead(_content, products))]
    return said + ([answers] if answers else [])


def _content(product: Member) -> list[object]:
    """All that a product says; the manifest of one that is finished has the checksums of its other files."""
    if product.manifest is not None:
        return [product.manifest.model_dump(mode="json")]
    end = product.failure or product.stop
    return [product.status, product.config, end and end.model_dump(mode="json"), product.epochs]
