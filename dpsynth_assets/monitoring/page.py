"""The page on checks of new texts: each distance over time, and the newest batch beside the table.

As sensitive as the texts: it stands alone, refers to nothing, and its place is the sensitive store. Knows no contract
and no store.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from dpsynth_assets.publish.quality import figure
from ledger.report.document import document

_WIDTH, _HEIGHT = 600, 130  # of a drawing over time, in its own units
NAMES = {
    "expect_column_label_distance_to_be_between": "labels",
    "expect_column_length_ks_distance_to_be_between": "lengths",
    "expect_column_word_js_distance_to_be_between": "words",
    "expect_column_vector_energy_distance_to_be_between": "meaning",
}
CANNOT_BE_TOLD = "cannot be told: the table itself is too far from texts without drift"
VERDICTS = {
    "no drift": "No drift: nothing differs from the table beyond what is allowed and what chance explains.",
    "drift": "Drift",
    "first": (
        "The first batch of this release. The contract has no public test split, so later batches are compared with "
        "how far this one is from the table."
    ),
    "too few": "Too few texts: of fewer than 20, each of another person, nothing is said.",
}


def page(title: str, results: Sequence[dict[str, Any]]) -> str:
    """The page on results of `dpsynth_assets.assets.monitored`, the oldest first, one at least."""
    newest = results[-1]
    return document(
        ("dpsynth_assets.monitoring", "monitor.html.j2"),
        {"figure": figure, "called": called, "outcome": outcome, "counted": counted},
        title=title,
        newest=newest,
        results=results,
        verdict=sentence(newest),
        series=[_series(each, results) for each in newest["statistics"]],
    )


def called(statistic: dict[str, Any]) -> str:
    """What a distance is called for people."""
    name = NAMES[statistic["expectation"]]
    return f"{name} ({statistic['column']})" if name == "labels" else name


def outcome(statistic: dict[str, Any]) -> str:
    """What came of one comparison; nothing where it has no limit yet."""
    if statistic["limit"] is None:
        return ""
    if statistic["drifted"]:
        return "drift"
    return "no drift" if statistic["told"] else CANNOT_BE_TOLD


def sentence(result: dict[str, Any]) -> str:
    """The verdict in words."""
    by_outcome: defaultdict[str, list[str]] = defaultdict(list)
    for each in result["statistics"]:
        by_outcome[outcome(each)].append(called(each))
    drifted, untold, fine = (by_outcome[name] for name in ("drift", CANNOT_BE_TOLD, "no drift"))
    if not drifted and not untold:
        return VERDICTS[result["verdict"]]
    said = [f"Drift in {', '.join(drifted)}."] if drifted else [f"No drift in {', '.join(fine)}."] if fine else []
    if untold:
        said.append(f"Whether texts differ in {', '.join(untold)} {CANNOT_BE_TOLD}.")
    return " ".join(said)


def counted(result: dict[str, Any]) -> str:
    """How many new texts there are, and how many are left where somebody wrote several."""
    taken, written = result["texts"], result["records"]
    if taken == written:
        return f"{taken:,} texts"
    return f"{written:,} texts, of which one of each {result['unit']} is taken: {taken:,}"


def _series(statistic: dict[str, Any], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One distance over all checks, as points of a drawing."""
    same = [
        (place, each, result)
        for place, result in enumerate(results)
        for each in result["statistics"]
        if (each["expectation"], each["column"]) == (statistic["expectation"], statistic["column"])
    ]
    limits = [each["limit"] for _, each, _ in same if each["limit"] is not None]
    most = max(*limits, *(each["size"] for _, each, _ in same), 0.01) * 1.15
    step = _WIDTH / max(1, len(results) - 1)
    return {
        "called": called(statistic),
        "limit": statistic["limit"],
        "most": most,
        "points": [
            {
                "x": place * step if len(results) > 1 else _WIDTH / 2,
                "y": _HEIGHT * (1 - each["size"] / most),
                "limit_y": None if each["limit"] is None else _HEIGHT * (1 - each["limit"] / most),
                "drifted": each["drifted"],
                "said": f"{result['checked'][:16].replace('T', ' ')} {result['batch']}: {figure(each['size'])}",
            }
            for place, each, result in same
        ],
        "first": results[0]["checked"][:10],
        "last": results[-1]["checked"][:10],
    }
