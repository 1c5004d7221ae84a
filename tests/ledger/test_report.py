"""The report is one file that refers to nothing else, says what the views say, and escapes what people wrote."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ledger import accounting
from ledger.events import Composed, DiscreteLaplace, Gaussian, Laplace, MixtureOfGaussians, PoissonSampledGaussian
from ledger.report import document, page, registry_entry, write_report
from ledger.report.facts import Facts, read_facts
from ledger.report.several_records import CannotTellError, epsilon_of, mechanisms_in
from ledger.snapshot import write_snapshot
from tests.ledger.written_journals import LEDGER, REVIEWER, Line, WrittenJournal, realistic

pytestmark = pytest.mark.slow

# Attributes through which a page can load or go somewhere, and what in a style sheet can.
REFERRING = {"src", "href", "xlink:href", "srcset", "data", "action", "formaction", "poster", "background", "ping"}
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """The page as read: elements in order, text by element id, rows of tables by the heading before them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.script = self.text = ""
        self.section = ""
        self.tables: dict[str, list[list[list[str]]]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("h2", "h3") and dict(attributes).get("id"):
            self.section = str(dict(attributes)["id"])
        if tag == "table":
            self.tables.setdefault(self.section, []).append([])
        elif tag == "tr":
            self.tables[self.section][-1].append([])
        elif tag in ("td", "th"):
            self.tables[self.section][-1][-1].append("")
        elif tag == "small" and "td" in self.open:
            self.tables[self.section][-1][-1][-1] += " | "

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.script += data
        elif "style" not in self.open:
            self.text += data
            if "td" in self.open or "th" in self.open:
                self.tables[self.section][-1][-1][-1] += data

    def rows(self, section: str, table: int = 0) -> list[list[str]]:
        """A table's rows without its heading."""
        return self.tables[section][table][1:]


@pytest.fixture(scope="module")
def book() -> WrittenJournal:
    return realistic()


@pytest.fixture(scope="module")
def snapshot(book: WrittenJournal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(book.lines, tmp_path_factory.mktemp("report") / "audit.duckdb")


@pytest.fixture(scope="module")
def facts(snapshot: Path) -> Facts:
    return read_facts(snapshot)


@pytest.fixture(scope="module")
def report(facts: Facts) -> Page:
    return Page(page.page_of(facts, title="Report", problems=[]))


def written(lines: list[Line], folder: Path, **how: Any) -> Page:
    path = write_report(lines, folder / "report.html", **{"problems": [], **how})
    assert [file.name for file in folder.iterdir()] == ["report.html"]
    return Page(path.read_text(encoding="utf-8"))


def small(unit: str = "customer", epsilon: float = 3.0) -> WrittenJournal:
    book = WrittenJournal()
    book.register("inbox", unit, epsilon, 1e-6, [Gaussian(4.0)])
    return book


def test_the_page_refers_to_nothing_outside_itself(report: Page) -> None:
    assert report.open == []
    ids = [attributes["id"] for _, attributes in report.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in report.elements:
        assert tag not in {"link", "iframe", "object", "embed", "img", "base", "form", "image", "foreignobject"}
        for name in REFERRING & attributes.keys():
            target = attributes[name] or ""
            assert target.startswith("#")
            assert target[1:] in ids
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("http-equiv", "Content-Security-Policy") == "Content-Security-Policy"
        for value in attributes.values():
            assert all(address.startswith("#") for address in re.findall(r"url\(([^)]*)\)", value or ""))
    styles = re.findall(r"<style.*?>(.*?)</style>", report.source, re.DOTALL)
    assert styles
    assert not any("url(" in style or "@import" in style for style in styles)
    assert [attributes["type"] for tag, attributes in report.elements if tag == "script"] == ["application/json"]


def test_every_question_leads_to_a_place(report: Page) -> None:
    targets = [attributes["href"] for tag, attributes in report.elements if tag == "a"]
    sections = {"#glance", "#promise", "#several", "#charges", "#everything", "#elsewhere", "#refusals", "#decisions"}
    sections |= {"#computed", "#outputs", "#intact", "#limits", "#registry"}
    assert sections <= set(targets)


def test_figures_are_those_of_the_views_spent_rounded_up_and_left_down(report: Page, facts: Facts) -> None:
    for shown, row in zip(report.rows("glance"), facts["populations"], strict=True):
        assert shown[0].startswith(row["population"])
        assert shown[0].endswith("frozen") == row["frozen"]
        assert float(shown[2]) == row["cap"]
        spent = float(re.match(r"[\d.]+", shown[4])[0])
        assert 0 <= spent - row["spent"] < 0.001
        if row["rule"] == "closed_plan":
            assert shown[5] == f"{row['places_left']} of {row['places']} | planned releases"
        else:
            assert 0 <= row["remaining"] - float(shown[5]) < 0.001
    charges = report.rows("charges")
    assert [int(shown[0]) for shown in charges] == [row["reservation"] for row in facts["charges"]]
    for shown, row in zip(charges, facts["charges"], strict=True):
        assert 0 <= float(shown[3]) - row["epsilon_alone"] < 0.001
        assert shown[4].startswith(row["state"])
    states = {shown[1]: int(shown[0]) for shown in report.rows("everything")}
    assert states == {"committed": 6, "reserved": 1, "activated": 0, "redeemed": 1, "forfeited": 1, "voided": 1}
    assert [shown[4] for shown in report.rows("refusals")] == [
        document.up(row["would_be"]) for row in facts["refusals"]
    ]
    assert [shown[3] for shown in report.rows("decisions", 1)] == ["–", "3", "–", "–", "4"]
    assert {shown[3][:64] for shown in report.rows("outputs")} == {row["artifact_digest"] for row in facts["outputs"]}


def test_reported_figures_stand_beside_the_enforced_ones(report: Page, facts: Facts) -> None:
    inbox = {row[0]: row[1:] for row in report.tables["population-1"][0]}
    budget = facts.budgets[0]
    charged = [event for charges in budget.charges.values() for charge in charges for event in facts.events[charge]]
    assert len(charged) == 6  # four charges and an external one, and the steps that one of them ran again
    assert inbox["by privacy loss distributions"][::2] == [
        document.up(budget.pld.value),
        "reported: as if fixed in advance",
    ]
    assert inbox["spent"][::2] == [document.up(budget.row["spent"]), "enforced"]
    assert inbox["each ε and δ added up"] == [document.up(budget.basic_sum[0]), "6 · 10⁻⁶", "reported"]
    assert budget.pld.value < budget.row["spent"] < budget.basic_sum[0]
    assert [tag for tag, _ in report.elements].count("svg") == len(facts.budgets)


def test_what_several_records_face(report: Page, facts: Facts) -> None:
    inbox, articles, survey = (report.rows("several", table) for table in range(3))
    spent = document.up(facts.budgets[0].row["spent"])
    assert inbox[0][1:] == [spent] * 4  # a unit is a customer with all records
    assert survey[1][1:] == ["3"] * 4  # the promise
    faced = [float(cell) for cell in articles[0][1:]]
    assert faced == sorted(faced)
    assert articles[0][1] == document.up(facts.budgets[1].pld.value)
    assert faced[1] > 2 * faced[0] * 0.9


@pytest.mark.parametrize("records", [2, 8])
def test_several_records_are_priced_mechanism_by_mechanism(records: int) -> None:
    """Each is compared with an event that the ledger itself accounts for."""
    pairs = [
        (Gaussian(4.0), Gaussian(4.0 / records)),
        (Laplace(9.0, 1.0), Laplace(9.0, float(records))),
        (DiscreteLaplace(9.0, 1), DiscreteLaplace(9.0, records)),
        (PoissonSampledGaussian(0.1, 16.0, 50), MixtureOfGaussians(0.1, records, 16.0, 50)),
        (MixtureOfGaussians(0.1, 2, 32.0, 20), MixtureOfGaussians(0.1, 2 * records, 32.0, 20)),
        (PoissonSampledGaussian(1.0, 40.0, 5), Composed((Gaussian(40.0 / records),) * 5)),
        (
            Composed((Gaussian(9.0), Laplace(9.0, 1.0))),
            Composed((Gaussian(9.0 / records), Laplace(9.0, float(records)))),
        ),
    ]
    for one, several in pairs:
        known = accounting.pld_epsilon([several], 1e-5)
        assert known is not None
        assert epsilon_of([one.to_json()], records, 1e-5) == pytest.approx(known, rel=0.02)


def test_one_record_faces_what_is_charged() -> None:
    events = [PoissonSampledGaussian(0.02, 3.0, 500), DiscreteLaplace(4.0, 2), Gaussian(9.0)]
    assert epsilon_of([event.to_json() for event in events], 1, 1e-6) == accounting.pld_epsilon(events, 1e-6)
    assert epsilon_of([], 8, 1e-6) == 0.0


@pytest.mark.parametrize(
    ("events", "why"),
    [
        (
            [{"event": "repeat_and_select", "version": 1, "trial": {}, "mean": 2.0, "shape": 1.0}],
            "hidden number of runs",
        ),
        ([{"event": "gaussian", "version": 2, "noise_multiplier": 2.0}], "does not know"),
        ([{"event": "gaussian", "version": 1, "noise_multiplier": "2"}], "cannot be evaluated"),
        ([Gaussian(2.0 + number).to_json() for number in range(17)], "17 different mechanisms"),
    ],
)
def test_where_there_is_no_figure_the_reason_is_given(events: list[Any], why: str) -> None:
    with pytest.raises(CannotTellError, match=why):
        epsilon_of(events, 2, 1e-6)


def test_mechanisms_are_found_inside_others() -> None:
    inner = Gaussian(2.0).to_json()
    sweep = {"event": "repeat_and_select", "version": 1, "trial": inner, "mean": 2.0, "shape": 1.0}
    both = {"event": "composed", "version": 1, "events": [sweep, inner]}
    assert mechanisms_in([both]) == {"composed": 1, "repeat_and_select": 1, "gaussian": 2}


def test_a_sweep_and_an_unknown_mechanism_leave_the_page_whole(tmp_path: Path) -> None:
    book = small(unit="article")
    book.run("inbox", "inbox/hist", DiscreteLaplace(9.0, 1), "run-1")
    sweep = {"event": "repeat_and_select", "version": 1, "mean": 4.0, "shape": 1.0, "trial": Gaussian(40.0).to_json()}
    for release, event in (("tuned", sweep), ("new", {"event": "magic", "version": 7})):
        standing = book.standing(["inbox/everything"])
        book.entry(
            "reserved", "inbox", release=release, owner="run-1", event=event, epsilon_alone=1.0, standing=standing
        )
    shown = written(book.lines, tmp_path)
    assert "1 charge covers a whole sweep" in shown.text
    assert "magic ()" in shown.text
    assert shown.rows("several")[0] == ["ε", "–", "–", "–", "–"]
    assert "reported: no figure, this program does not know a mechanism among the charges" in shown.text
    assert "No figure where there is a dash" in shown.text


NAME = "<img src=x onerror=alert(1)>&amp;\"'$x_1$"
HOSTILE = '<script>alert(1)</script><img src="http://evil.example/x">&amp;"\'$x_1$</pre>'


def test_what_people_wrote_is_escaped_everywhere(tmp_path: Path) -> None:
    book = WrittenJournal()
    book.register(NAME, HOSTILE, 3.0, 1e-6, [Gaussian(4.0)], asked_because=HOSTILE, approved_by=HOSTILE)
    book.set_terms(HOSTILE, {"population": NAME, "note": HOSTILE}, approved_by=HOSTILE)
    book.bind(NAME, HOSTILE, ["everything"], overlaps=[HOSTILE])
    book.run(NAME, HOSTILE, Gaussian(9.0), HOSTILE)
    book.entry("refused", NAME, release=HOSTILE, owner=HOSTILE, why=HOSTILE, block=HOSTILE, event={"event": HOSTILE})
    book.entry("reserved", NAME, release=HOSTILE, owner=HOSTILE, event={"event": HOSTILE, "version": 1})
    book.entry("external_charge", NAME, owner=HOSTILE, reason=HOSTILE, event={HOSTILE: 1})
    book.entry("restored", owner=HOSTILE, reason=HOSTILE, missing=None)
    checkpoint = {"ledger": HOSTILE, "seq": 1, "hash": HOSTILE, "time": HOSTILE, "signature": HOSTILE}
    shown = written(book.lines, tmp_path, title=HOSTILE, problems=[HOSTILE], checkpoint=checkpoint)
    assert shown.text.count(HOSTILE) > 20
    assert shown.text.count(NAME) > 5
    tags = [tag for tag, _ in shown.elements]
    assert tags.count("script") == 1
    assert "img" not in tags
    assert json.loads(shown.script)["title"] == HOSTILE


def test_what_people_wrote_hides_nothing_and_turns_no_line_round(tmp_path: Path) -> None:
    book = WrittenJournal()
    name = "in\u202ebox\u2066\x1b[31m"
    book.register(name, "customer", 3.0, 1e-6, [Gaussian(4.0)], asked_because=name, approved_by=name)
    book.bind(name, name, [name])
    book.run(name, name, Gaussian(9.0), name)
    page = written(book.lines, tmp_path, title=name, problems=[name]).source
    assert not {"\u202e", "\u2066", "\x1b"} & set(page)
    assert "in\\u202ebox" in page


def test_names_in_a_drawing_are_text_and_not_mathematics(tmp_path: Path) -> None:
    book = WrittenJournal()
    book.register("inbox", "customer", 3.0, 1e-6, blocks_by="rule")
    names = ["$x^2$", "<b>&amp;"]
    book.bind("inbox", "hmac-sha256:1", names)
    for name in names:
        book.run("inbox", "adapter", Gaussian(9.0), "run-1", blocks=[f"inbox/{name}"])
    shown = written(book.lines, tmp_path)
    assert "b" not in [tag for tag, _ in shown.elements]
    drawing = shown.source[shown.source.index("<svg") : shown.source.index("</svg>")]
    assert "$x^2$</text>" in drawing
    assert "&lt;b&gt;&amp;amp;</text>" in drawing


def test_problems_are_said_first(tmp_path: Path) -> None:
    shown = written(small().lines, tmp_path, problems=["entry 3 (registered): its caps are too high"])
    assert "The ledger is not in order: 1 problem reported by verification" in shown.text
    assert "entry 3 (registered): its caps are too high" in shown.text
    assert "found nothing" not in shown.text


def test_an_incident_is_said_first_and_at_its_charge(tmp_path: Path) -> None:
    book = small()
    refuted, sound = (book.run("inbox", f"inbox/{name}", Gaussian(9.0), "run-1") for name in ("adapter", "votes"))
    calm = written(book.lines, tmp_path)
    assert "as far as the ledger knows, no audit refuted" in calm.text
    assert "An audit refuted" not in calm.text
    assert "As it stands this does not hold" not in calm.text
    (tmp_path / "report.html").unlink()

    book.seal("inbox/table", [refuted])
    number = book.refute(refuted, "run-1", "the yearly audit")
    shown = written(book.lines, tmp_path)
    told = "1 incident: an audit refuted what a release claims."
    assert shown.text.index(told) < shown.text.index("What a reviewer asks"), "before everything else"
    assert (
        f"inbox/adapter of inbox (charge {refuted}): ε\xa0=\xa01 is claimed, an audit found at least 1.5 with "
        "confidence 0.95, at δ\xa0=\xa010⁻⁶. “the yearly audit”" in shown.text
    )
    assert "Already sealed, and resting on it: inbox/table." in shown.text
    assert "Sealed since" not in shown.text
    assert "As it stands this does not hold" in shown.text
    assert "no audit refuted" not in shown.text
    assert "An audit refuted what is claimed of inbox/adapter." in shown.text
    states = {int(row[0]): row[4] for row in shown.rows("charges")}
    assert states == {refuted: f"committed | refuted by an audit, entry {number}", sound: "committed"}
    entry = json.loads(shown.script)
    assert entry["incidents"] == [
        {
            "release": "inbox/adapter",
            "population": "inbox",
            "time": entry["incidents"][0]["time"],
            "reason": "the yearly audit",
            "claimed_epsilon": 1.0,
            "lower_bound": 1.5,
            "confidence": 0.95,
            "delta": 1e-6,
        }
    ]
    releases = entry["populations"][0]["releases"]
    assert [release["refuted_by_audit"] for release in releases] == [True, False]
    (tmp_path / "report.html").unlink()

    book.seal("inbox/card", [refuted])
    assert "Sealed since, which the ledger refuses: inbox/card." in written(book.lines, tmp_path).text


def test_an_incident_without_figures_leaves_the_page_whole(tmp_path: Path) -> None:
    book = small()
    charge = book.run("inbox", "inbox/adapter", Gaussian(9.0), "run-1")
    book.refute(charge, "run-1", HOSTILE, lower_bound="much", claimed_epsilon="inf", confidence=None, delta=[])
    book.entry("incident", reservation=99)
    shown = written(book.lines, tmp_path)
    assert "2 incidents: an audit refuted" in shown.text
    assert HOSTILE in shown.text
    assert json.loads(shown.script)["incidents"][0]["claimed_epsilon"] is None


def test_a_view_that_must_be_empty_and_is_not_is_said_first(tmp_path: Path) -> None:
    book = small()
    book.change_cap("inbox", 9.0, "more", approved_by="owner@example.org")
    shown = written(book.lines, tmp_path)
    assert (
        "The ledger is not in order: 0 problems reported by verification, 1 in effects_without_second_person"
        in shown.text
    )
    assert "the same person asked and approved" in shown.text


@pytest.mark.parametrize(
    ("changed", "agrees"),
    [
        ({}, True),
        ({"hash": "f" * 64}, False),
        ({"ledger": "other"}, False),
        ({"seq": 99}, False),
        ({"seq": "x"}, False),
    ],
)
def test_a_checkpoint_is_compared_with_the_journal(changed: dict[str, Any], agrees: bool) -> None:
    book = small()
    point = {"ledger": LEDGER, "seq": 2, "hash": book.lines[1][1], "time": "now", "signature": "00"} | changed
    found = read_facts(book.lines, point)
    assert found.checkpoint_agrees is agrees
    shown = Page(page.page_of(found, title="x", problems=[]))
    assert ("The journal has another hash there" in shown.text) is not agrees


def test_a_lowered_cap_takes_no_promise_back(facts: Facts, report: Page) -> None:
    articles = facts.budgets[1]
    assert articles.row["cap"] == 1.5
    assert articles.promise == (4.0, 1e-5)
    assert "The cap has since been lowered to 1.5" in report.text


def test_spending_elsewhere_beyond_the_cap_is_more_than_was_promised() -> None:
    book = small(epsilon=1.0)
    book.external("inbox", Gaussian(1.0), "published before")
    budget = read_facts(book.lines).budgets[0]
    assert budget.promise == (budget.row["spent"], 1e-6)
    assert budget.row["spent"] > 1.0


def test_a_broken_plan_promises_no_more_than_the_sum(tmp_path: Path) -> None:
    book = WrittenJournal()
    book.register("survey", "person", 3.0, 1e-6, [Gaussian(9.0)], plan=[("a", Gaussian(9.0))])
    book.run("survey", "a", Gaussian(9.0), "run-1", place=0)
    book.external("survey", Gaussian(50.0), "told the press")
    budget = read_facts(book.lines).budgets[0]
    assert budget.promise == budget.basic_sum
    assert budget.basic_sum == (math.fsum(accounting.epsilon(Gaussian(s), 1e-6) for s in (9.0, 50.0)), 2e-6)
    assert "something from outside it was charged" in written(book.lines, tmp_path).text


def test_an_empty_ledger_has_a_report(tmp_path: Path) -> None:
    shown = written(WrittenJournal().lines, tmp_path)
    assert "No population has been registered" in shown.text
    assert json.loads(shown.script)["populations"] == []


def test_a_long_table_shows_the_newest_rows_and_says_so(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MAX_ROWS", 2)
    shown = Page(page.page_of(facts, title="x", problems=[]))
    assert [row[0] for row in shown.rows("charges")] == ["46", "50"]
    assert "The newest 2 of 10 are shown" in shown.text


def test_a_second_opinion_stands_beside_each_charge(report: Page, facts: Facts) -> None:
    def opinion(event: Mapping[str, Any], delta: float) -> str:
        return f"<{event['event']}> at {delta:g}"

    shown = Page(page.page_of(facts, title="x", problems=[], second_opinion=opinion))
    deltas = {budget.name: budget.row["delta"] for budget in facts.budgets}
    expected = [opinion(json.loads(row["event"]), deltas[row["population"]]) for row in facts["charges"]]
    assert [row[4] for row in shown.rows("charges")] == expected
    assert shown.tables["charges"][0][0][4] == "second opinion"
    assert "second opinion" not in report.text, "where nobody was asked there is no column"


def test_what_an_audit_of_a_run_found_stands_with_its_charge(report: Page, facts: Facts) -> None:
    reserved = facts["charges"][-1]["reservation"]
    shown = Page(page.page_of(facts, title="x", problems=[], audits={reserved: "ε at least <1>"}))
    saying = [row for row in shown.rows("charges") if "attacked: ε at least <1>" in row[2]]
    assert [row[0] for row in saying] == [str(reserved)]
    assert "attacked" not in report.text.lower(), "where nothing was attacked nothing is said of it"


def test_the_registry_entry_is_the_one_shown(report: Page, snapshot: Path, book: WrittenJournal, facts: Facts) -> None:
    entry = registry_entry(snapshot, problems=[], title="Report")
    assert json.loads(report.script) == entry
    inbox, articles, survey = entry["populations"]
    assert (inbox["privacy_unit"], inbox["records_per_unit"], inbox["epsilon"], inbox["delta"]) == (
        "customer",
        8,
        8.0,
        1e-6,
    )
    assert inbox["spent"] == facts.budgets[0].row["spent"]
    assert inbox["charges_by_state"] == {"committed": 2, "forfeited": 1, "reserved": 1, "voided": 1}
    assert set(articles["reported_not_enforced"]["epsilon_for_records"]) == {"1", "2", "4", "8"}
    assert (survey["adaptive"], survey["places_left"]) == (False, 1)
    assert entry["evidence"]["head"]["hash"] == book.lines[-1][1]
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry


def test_lines_and_their_snapshot_say_the_same(tmp_path: Path) -> None:
    lines = small().lines
    path = write_snapshot(lines, tmp_path / "audit.duckdb")
    assert registry_entry(path, problems=["x"]) == registry_entry(iter(lines), problems=["x"])


def test_an_infinite_figure_is_null_in_json(tmp_path: Path) -> None:
    book = small()
    book.entry(
        "external_charge",
        "inbox",
        owner=REVIEWER,
        event={"event": "magic"},
        epsilon_alone="inf",
        reason="?",
        standing={"inbox/everything": {"sums": ["inf"] * len(book.rules["inbox"].orders), "charges": 1}},
    )
    shown = written(book.lines, tmp_path)
    population = json.loads(shown.script)["populations"][0]
    assert (population["spent"], population["epsilon"], population["frozen"]) == (None, None, True)
    assert shown.rows("glance")[0][4] == "∞"


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (document.up, 1.0001, "1.001"),
        (document.up, 1.1, "1.100"),
        (document.up, None, "–"),
        (document.up, math.inf, "∞"),
        (document.down, 1.9999, "1.999"),
        (document.rough, 0.0029819, "0.00299"),
        (document.rough, 8.0, "8"),
        (document.rough, math.inf, "∞"),
        (document.short, 1e-6, "10⁻⁶"),
        (document.short, 2.5e-7, "2.5 · 10⁻⁷"),
        (document.short, 8.0, "8"),
        (document.percent, 1 - 1e-9, "99.99 %"),
        (document.moment, "yesterday", "yesterday"),
    ],
)
def test_how_figures_are_written(write: Any, value: Any, text: str) -> None:
    assert write(value) == text
