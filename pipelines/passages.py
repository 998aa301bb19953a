"""Stage `passages`: one source's clinical text, de-identified and cut into passages.

python -m pipelines.passages SOURCE
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from itertools import chain

import pandas as pd

from corpus.errors import InputError
from corpus.parallel import run_tasks
from corpus.params import load_params
from corpus.reports.deidentify import deidentify_parts
from corpus.reports.passages import passages_of, write_passages
from corpus.reports.readers import Reject, Report, ReportParams, read_reports
from pipelines.stage import PASSAGES, cohort, console, progress, stage

_CHUNK = 2000
"""Reports that one process de-identifies at a time: for fewer, starting a second process takes longer than the work."""


def _deidentified(reports: list[list[Report]]) -> list[tuple[Report, Counter[str]]]:
    return [cleaned for parts in reports for cleaned in deidentify_parts(parts)]


@stage
def main(name: str = "") -> None:
    """Write the passages, rejects, replacements and summary of the source that params.yaml calls `name`."""
    sources = load_params("reports", ReportParams).sources
    if name not in sources:
        raise InputError("params.yaml", f"`reports.sources` has no {name!r}", f"use one of: {', '.join(sources)}")
    read = list(read_reports(name, sources[name]))
    rejects = [item for item in read if isinstance(item, Reject)]
    found = [item for item in read if isinstance(item, Report)]
    (out := PASSAGES / cohort() / name).mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rejects, columns=["report_id", "reason"]).to_csv(out / "rejects.csv", index=False)
    because = Counter(reject.reason for reject in rejects).most_common()
    if not found:
        reasons = "; ".join(f"{count} times: {reason}" for reason, count in because[:3]) or "there is none"
        fix = f"see {out / 'rejects.csv'}, or correct reports.sources.{name} in params.yaml"
        raise InputError(sources[name].path, f"expected reports, and none could be used ({reasons})", fix)
    parts: dict[str, list[Report]] = defaultdict(list)
    for report in found:
        parts[report.id].append(report)
    whole = list(parts.values())
    chunks = [whole[start : start + _CHUNK] for start in range(0, len(whole), _CHUNK)]
    with progress(f"de-identify {name}", len(whole)) as advance:
        cleaned = run_tasks(_deidentified, chunks, lambda chunk: advance(len(chunk)))
    reports = [report for chunk in cleaned for report, _ in chunk]
    replaced: dict[str, Counter[str]] = defaultdict(Counter)
    for report, counts in chain.from_iterable(cleaned):
        replaced[report.id] += counts
    passages, left_out = passages_of(reports)
    write_passages(passages, out / "passages.parquet")
    rows = [(report_id, kind, n) for report_id, counts in replaced.items() for kind, n in sorted(counts.items())]
    pd.DataFrame(rows, columns=["report_id", "kind", "n"]).to_csv(out / "replacements.csv", index=False)
    summary = {
        "reports": len(reports),
        "rejected": len(rejects),
        "rejected_because": dict(sorted(because)),
        "passages": len(passages),
        "left_out": dict(sorted(left_out.items())),
        "replaced": dict(sorted(sum(replaced.values(), Counter()).items())),
        "organs": {str(k): int(v) for k, v in sorted(passages["organs"].explode().value_counts().items())},
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    rejected = f"{len(rejects)} rejected{f' (see {out}/rejects.csv)' if rejects else ''}"
    console.print(f"{name}: {len(reports)} reports, {rejected}, {len(passages)} passages")


if __name__ == "__main__":
    main(*sys.argv[1:])
