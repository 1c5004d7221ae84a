"""Each view answers its question on a journal written by hand; the views that must be empty fill when they should."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ledger import accounting, renyi_filter, snapshot
from ledger.events import Gaussian
from ledger.snapshot import Artifact, in_words, lines_of, write_snapshot
from tests.ledger.written_journals import (
    HISTOGRAM,
    INBOX_TERMS,
    LEDGER,
    OWNER,
    REVIEWER,
    Line,
    WrittenJournal,
    realistic,
)

ROOT = Path(__file__).parents[2]


class Views:
    """Asks a snapshot; a row is a dictionary."""

    def __init__(self, path: Path) -> None:
        self.connection = duckdb.connect(":memory:")
        self.connection.execute(f"ATTACH '{path}' AS snapshot (READ_ONLY)")
        self.connection.execute("USE snapshot")

    def __call__(self, sql: str) -> list[dict[str, Any]]:
        cursor = self.connection.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def one(self, sql: str) -> dict[str, Any]:
        (row,) = self(sql)
        return row


@pytest.fixture(scope="module")
def book() -> WrittenJournal:
    return realistic()


@pytest.fixture(scope="module")
def views(book: WrittenJournal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Views]:
    asked = Views(write_snapshot(book.lines, tmp_path_factory.mktemp("snapshot") / "audit.duckdb"))
    yield asked
    asked.connection.close()


@pytest.fixture
def ask(tmp_path: Path):
    """The views of other lines."""
    opened: list[Views] = []

    def of(lines: list[Line], **how: Any) -> Views:
        opened.append(Views(write_snapshot(lines, tmp_path / f"{len(opened)}.duckdb", **how)))
        return opened[-1]

    yield of
    for views in opened:
        views.connection.close()


def small() -> WrittenJournal:
    book = WrittenJournal()
    book.register("inbox", "customer", 3.0, 1e-6, [Gaussian(4.0)])
    book.bind("inbox", "hmac-sha256:6f1e", ["everything"])
    return book


def test_an_open_population_has_spent_what_its_filter_says(book: WrittenJournal, views: Views) -> None:
    row = views.one("FROM populations WHERE population = 'inbox'")
    rule, sums = book.rules["inbox"], book.sums["inbox/everything"]
    assert (row["unit"], row["neighbouring_relation"], row["rule"]) == (
        "customer",
        "add_or_remove_one_unit",
        "renyi_filter",
    )
    assert (row["cap"], row["highest_cap"], row["delta"]) == (8.0, 8.0, 1e-6)
    assert row["spent"] == rule.spent(sums)
    assert row["remaining"] == 8.0 - rule.spent(sums)
    waiting = accounting.renyi_vector(book.charged[27][1], rule.orders)
    without = renyi_filter.replace(sums, waiting, renyi_filter.zeros(sums))
    assert row["reserved"] == rule.spent(sums) - rule.spent(without) > 0
    assert (row["charges"], row["blocks"], row["frozen"]) == (5, 1, False)  # one of six was voided


def test_a_divided_population_is_as_spent_as_its_fullest_block_and_a_lower_cap_freezes_it(
    book: WrittenJournal, views: Views
) -> None:
    rule = book.rules["articles"]
    blocks = {row["block"]: row for row in views("FROM blocks WHERE population = 'articles'")}
    assert {name: row["spent"] for name, row in blocks.items()} == {
        name: rule.spent(book.sums[name]) for name in ("articles/2026q1", "articles/2026q2")
    }
    row = views.one("FROM populations WHERE population = 'articles'")
    assert row["spent"] == max(block["spent"] for block in blocks.values()) > row["cap"] == 1.5
    assert (row["remaining"], row["frozen"], row["highest_cap"]) == (0.0, True, 4.0)
    assert (row["blocks"], row["blocks_by"], row["charges"]) == (2, "quarter", 3)


def test_a_closed_plan_counts_as_a_whole_and_has_places_left(book: WrittenJournal, views: Views) -> None:
    row = views.one("FROM populations WHERE population = 'survey'")
    assert row["spent"] == row["plan_epsilon"] == book.plan_epsilon["survey/everything"]
    assert (row["places"], row["places_left"], row["remaining"], row["frozen"]) == (3, 1, None, False)


def test_a_charge_from_outside_a_closed_plan_spends_all_of_it(ask) -> None:
    book = WrittenJournal()
    plan = [("a", Gaussian(9.0)), ("b", Gaussian(9.0))]
    book.register("survey", "person", 3.0, 1e-6, [event for _, event in plan], plan=plan)
    assert ask(book.lines).one("SELECT spent, places_left FROM populations") == {"spent": 0.0, "places_left": 2}
    book.external("survey", Gaussian(50.0), "told the press")
    row = ask(book.lines).one("FROM blocks")
    assert (row["spent"], row["places_left"], row["frozen"]) == (math.inf, 0, True)


def test_the_same_records_under_another_name_are_charged_in_both(ask) -> None:
    book = small()
    book.register("mirror", "customer", 5.0, 1e-5)
    book.bind("mirror", "hmac-sha256:b002", ["everything"], overlaps=["inbox/everything"])
    book.run("mirror", "copy", Gaussian(6.0), "run-1", blocks=["mirror/everything", "inbox/everything"])
    views = ask(book.lines)
    assert views.one("SELECT also_in FROM data_sets WHERE population = 'mirror'")["also_in"] == '["inbox/everything"]'
    assert {row["population"]: row["charges"] for row in views("FROM populations")} == {"inbox": 1, "mirror": 1}
    spent = {row["block"]: row["spent"] for row in views("FROM blocks")}
    assert spent == {name: book.rules[name.partition("/")[0]].spent(sums) for name, sums in book.sums.items()}
    assert min(spent.values()) > 0


def test_charges_tell_the_life_of_each_reservation(views: Views) -> None:
    rows = {row["reservation"]: row for row in views("FROM charges")}
    assert [(row["release"].partition("/")[2], row["state"]) for row in rows.values()] == [
        ("label_histogram", "committed"),
        ("adapter", "forfeited"),
        ("adapter", "committed"),
        ("label_histogram", "voided"),
        ("label_histogram", "reserved"),
        ("label_histogram", "committed"),
        ("adapter", "committed"),
        ("adapter", "redeemed"),
        ("wave_1", "committed"),
        ("wave_2", "committed"),
    ]
    assert [number for number, row in rows.items() if not row["counts"]] == [25]
    first = rows[7]
    assert first["mechanism"] == HISTOGRAM.describe()
    assert json.loads(first["event"]) == HISTOGRAM.to_json()
    assert first["epsilon_alone"] == accounting.epsilon(HISTOGRAM, 1e-6)
    assert (first["owner"], first["blocks"], first["less_than_reserved"]) == ("run-0a31", ["inbox/everything"], False)
    resumed = rows[18]
    assert (resumed["owner"], resumed["resumptions"], resumed["reads"]) == ("run-c4e9", 1, 2)
    assert "200 steps" in resumed["ran_again"]
    assert "3600 steps" in resumed["mechanism"]
    assert resumed["less_than_reserved"]
    assert len(resumed["epsilons_again"]) == 1
    assert rows[14]["reason"] == "the run ended without a release"


def test_a_sweep_is_recognised_and_a_mechanism_of_the_future_spelled_out(ask) -> None:
    book = small()
    sweep = {"event": "repeat_and_select", "version": 1, "mean": 4.0, "shape": 1.0, "trial": Gaussian(4.0).to_json()}
    book.entry("reserved", "inbox", release="tuned", owner="run-1", event=sweep, standing={})
    book.entry("reserved", "inbox", release="new", owner="run-1", event={"event": "magic", "version": 7, "noise": 2.0})
    rows = ask(book.lines)("SELECT tuning, mechanism FROM charges")
    assert [row["tuning"] for row in rows] == [True, False]
    assert rows[1]["mechanism"] == "magic (noise 2.0)"
    assert len(in_words({"event": "composed", "version": 1, "events": [Gaussian(2.0).to_json()] * 500})) == 300


def test_burn_down_follows_every_charge_under_the_cap_of_then(book: WrittenJournal, views: Views) -> None:
    rows = views("FROM burn_down WHERE block = 'inbox/everything'")
    assert [row["seq"] for row in rows] == sorted(row["seq"] for row in rows)
    assert rows[0]["spent"] == 0.0
    assert rows[-1]["spent"] == book.rules["inbox"].spent(book.sums["inbox/everything"])
    assert {row["cap"] for row in rows if row["seq"] < 13} == {3.0}
    assert {row["cap"] for row in rows if row["seq"] > 13} == {8.0}
    voided = next(index for index, row in enumerate(rows) if row["kind"] == "voided")
    assert rows[voided]["spent"] < rows[voided - 1]["spent"]


def test_refusals_show_the_cap_that_refused(views: Views) -> None:
    adapter, wave = views("FROM refusals")
    assert (adapter["cap"], adapter["why"], adapter["block"]) == (
        3.0,
        "it does not fit under the cap",
        "inbox/everything",
    )
    assert adapter["spent"] < adapter["cap"] < adapter["would_be"]
    assert (wave["release"], wave["why"]) == ("survey/wave_4", "it is not in the closed plan")


def test_who_asked_and_who_approved(views: Views) -> None:
    rows = views("FROM approvals")
    assert [row["change"] for row in rows] == [
        *("add_population", "set_terms", "raise_cap"),
        *("add_population", "set_terms", "add_population", "raise_cap"),
    ]
    raised = rows[2]
    assert (raised["asked_by"], raised["approved_by"], raised["epsilon"]) == (OWNER, REVIEWER, 8.0)
    assert raised["asked_because"].startswith("a first model needs more")
    assert (rows[-1]["approved_by"], rows[-1]["effect"]) == (None, None)
    changes = [
        (row["population"], row["change"], row["epsilon_before"], row["epsilon"]) for row in views("FROM cap_history")
    ]
    assert changes == [
        ("inbox", "registered", None, 3.0),
        ("inbox", "raised", 3.0, 8.0),
        ("articles", "registered", None, 4.0),
        ("survey", "registered", None, 3.0),
        ("articles", "lowered", 4.0, 1.5),
    ]


def test_what_an_audit_refuted_and_what_rests_on_it(views: Views, ask) -> None:
    row = views.one("FROM incidents")
    assert (row["release"], row["reservation"], row["reason"]) == (
        "inbox/adapter",
        18,
        "the yearly audit, by canaries",
    )
    assert [row[name] for name in ("claimed_epsilon", "lower_bound", "confidence", "delta")] == [1.0, 1.5, 0.95, 1e-6]
    assert (row["sealed_before"], row["sealed_after"]) == (["inbox/adapter"], [])
    assert {c["reservation"]: c["incidents"] for c in views("FROM charges") if c["incidents"]} == {18: [row["seq"]]}
    assert views.one("FROM charges WHERE reservation = 18")["state"] == "committed"

    book = small()
    first, second = (book.run("inbox", f"r{number}", Gaussian(9.0), "run-1") for number in range(2))
    for name, charges in (("a/table", [first, second]), ("a/other", [second]), ("a/table", [first])):
        book.seal(name, charges)
    told = [book.refute(first, "run-1", "audited"), book.refute(first, "run-1", "again", lower_bound=9.0)]
    book.seal("a/card", [first])
    rows = ask(book.lines)("FROM incidents")
    assert [(row["seq"], row["sealed_before"], row["sealed_after"]) for row in rows] == [
        (number, ["a/table"], ["a/card"]) for number in told
    ]


def test_an_incident_between_rows_and_commit_hides_neither(ask) -> None:
    book = small()
    charge = book.reserve("inbox", "adapter", Gaussian(4.0), "run-1")
    book.read(charge, "run-1")
    book.refute(charge, "run-1", "audited while it ran")
    book.commit(charge, "run-1", "d1" * 32)
    views = ask(book.lines)
    assert views("FROM commits_without_rows") == []
    assert views.one("FROM charges")["state"] == "committed"


def test_the_smaller_questions(book: WrittenJournal, views: Views) -> None:
    assert views.one("FROM external_charges")["reason"].startswith("a mean that was published")
    assert views.one("FROM releases_without_end")["owner"] == "run-1003"
    assert json.loads(views.one("FROM contract_terms WHERE contract = 'inbox'")["terms"]) == INBOX_TERMS
    assert len(views("FROM reads")) == 9
    assert [row["reservation"] for row in views("FROM outputs ORDER BY reservation")] == [7, 18, 33, 37, 46, 50]
    head = views.one("FROM ledger")
    assert (head["id"], head["entries"], head["head_seq"]) == (LEDGER, len(book.lines), len(book.lines))
    assert head["head_hash"] == book.lines[-1][1]


def test_a_restoration_and_newer_terms_are_told(ask) -> None:
    book = small()
    book.set_terms("inbox", {"population": "inbox"})
    book.set_terms("inbox", INBOX_TERMS)
    book.entry("restored", owner=OWNER, reason="the disk failed", head={"seq": 8, "hash": "0" * 64}, missing=2)
    views = ask(book.lines)
    assert [row["current"] for row in views("FROM contract_terms")] == [False, True]
    assert views.one("SELECT reason, entries_lost FROM restorations") == {
        "reason": "the disk failed",
        "entries_lost": 2,
    }


def test_everything_that_must_be_empty_is(views: Views) -> None:
    rows = {row["view"]: (row["found"], row["examined"]) for row in views("FROM health")}
    assert rows == {
        "chain_breaks": (0, 58),
        "artifacts_without_receipts": (0, 0),
        "commits_without_rows": (0, 6),
        "effects_without_second_person": (0, 7),
    }
    for view in rows:
        assert views(f"FROM {view}") == []


def _rehashed(lines: list[Line], index: int, old: str, new: str) -> list[Line]:
    body = lines[index][0].replace(old, new)
    assert body != lines[index][0]
    return [*lines[:index], (body, hashlib.sha256(body.encode()).hexdigest()), *lines[index + 1 :]]


TAMPERING = {
    "an edited line": (lambda ls: [*ls[:1], (ls[1][0].replace("inbox", "outbox"), ls[1][1]), *ls[2:]], 2),
    "an edited line with a new hash": (lambda ls: _rehashed(ls, 1, "inbox", "outbox"), 3),
    "a line left out": (lambda ls: [*ls[:2], *ls[3:]], 3),
    "two lines in the wrong order": (lambda ls: [ls[0], ls[2], ls[1], *ls[3:]], 2),
    "the beginning left out": (lambda ls: ls[1:], 1),
    "not JSON": (lambda ls: [*ls, ("{", hashlib.sha256(b"{").hexdigest())], 5),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_breaks_the_chain_where_it_happened(how: str, ask) -> None:
    tamper, position = TAMPERING[how]
    rows = ask(tamper(small().lines))("FROM chain_breaks")
    assert rows[0]["position"] == position


@pytest.mark.parametrize("resumed", [False, True])
def test_a_commit_without_rows_is_found(resumed: bool, ask) -> None:
    book = small()
    charge = book.reserve("inbox", "adapter", Gaussian(4.0), "run-1")
    if resumed:
        book.read(charge, "run-1")
        book.resume(charge, "run-2", None)
    else:
        book.step("activated", charge, "run-1", token_sha256="e" * 64)
    seq = book.commit(charge, "run-2" if resumed else "run-1", "d1" * 32)
    assert ask(book.lines).one("FROM commits_without_rows")["seq"] == seq


def _alone(book: WrittenJournal) -> str:
    book.change_cap("inbox", 9.0, "more", approved_by=f" {OWNER.title()}")
    return "the same person asked and approved"


def _unasked(book: WrittenJournal) -> str:
    book.entry("cap_changed", "inbox", owner=REVIEWER, proposal=None, reason="more", epsilon=9.0, caps=[])
    return "nobody had asked for it"


def _another(book: WrittenJournal) -> str:
    asked = book.propose("more", kind="raise_cap", population="inbox", epsilon=4.0)
    book.entry("cap_changed", "inbox", owner=REVIEWER, proposal=asked, reason="more", epsilon=9.0, caps=[])
    return "it is not what was asked for"


def _other_terms(book: WrittenJournal) -> str:
    asked = book.propose("terms", kind="set_terms", contract="inbox", terms={"max_records": 1})
    terms = {"max_records": 9}
    book.entry("terms_set", owner=REVIEWER, proposal=asked, reason="x", contract="inbox", terms=terms, digest="")
    return "it is not what was asked for"


def _twice(book: WrittenJournal) -> str:
    asked = book.propose("more", kind="raise_cap", population="inbox", epsilon=9.0)
    for _ in range(2):
        book.entry("cap_changed", "inbox", owner=REVIEWER, proposal=asked, reason="more", epsilon=9.0, caps=[])
    return "what was asked for once took effect twice"


@pytest.mark.parametrize("how", [_alone, _unasked, _another, _other_terms, _twice])
def test_one_person_alone_is_found(how, ask) -> None:
    book = small()
    problem = how(book)
    assert ask(book.lines).one("FROM effects_without_second_person")["problem"] == problem


def test_lowering_a_cap_needs_nobody_else(ask) -> None:
    book = small()
    book.change_cap("inbox", 1.0, "enough")
    assert ask(book.lines)("FROM effects_without_second_person") == []


def test_artifacts_are_held_against_the_journal(ask) -> None:
    book = small()
    charge = book.run("inbox", "adapter", Gaussian(4.0), "run-1")
    digest = hashlib.sha256(f"adapter{charge}".encode()).hexdigest()
    head = book.lines[-1][1]
    end = len(book.lines)
    artifacts = [
        Artifact("good", digest, LEDGER, end, head),
        Artifact("made of it", None, LEDGER, end, head),
        Artifact("bare", None, None, None, None),
        Artifact("foreign", None, "another", end, head),
        Artifact("newer", None, LEDGER, end + 1, "f" * 64),
        Artifact("recomputed", None, LEDGER, end, "f" * 64),
        Artifact("unpaid", "9" * 64, LEDGER, end, head),
    ]
    views = ask(book.lines, artifacts=artifacts)
    problems = {row["name"]: row["problem"] for row in views("FROM artifacts_without_receipts")}
    assert problems == {
        "bare": "it carries no receipt",
        "foreign": "its receipt is from another ledger",
        "newer": "its receipt is newer than this journal: the ledger was rolled back",
        "recomputed": "its receipt disagrees with the journal: the chain was made anew",
        "unpaid": "no charge committed it",
    }
    assert views.one("FROM outputs")["found_as"] == ["good"]


def test_an_open_reader_keeps_what_it_reads_and_the_next_one_sees_the_new(tmp_path: Path) -> None:
    path, book = tmp_path / "audit.duckdb", small()
    write_snapshot(book.lines, path)
    before = Views(path)
    book.run("inbox", "adapter", Gaussian(4.0), "run-1")
    write_snapshot(book.lines, path)
    after = Views(path)
    counts = [views.one("SELECT count(*) AS n FROM charges")["n"] for views in (before, after, before)]
    assert counts == [0, 1, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["audit.duckdb"]
    for views in (before, after):
        views.connection.close()


def test_a_journal_that_ends_in_an_error_leaves_the_old_snapshot(tmp_path: Path) -> None:
    path, book = tmp_path / "audit.duckdb", small()
    write_snapshot(book.lines, path)

    def torn() -> Iterator[Line]:
        yield book.lines[0]
        raise OSError("the disk failed")

    with pytest.raises(OSError, match="the disk failed"):
        write_snapshot(torn(), path)
    views = Views(path)
    assert views.one("FROM ledger")["entries"] == len(book.lines)
    views.connection.close()
    assert [file.name for file in tmp_path.iterdir()] == ["audit.duckdb"]


HOSTILE = [
    *("null", "[]", "{}", '"text"', "NaN", "[[[", "\ud800", "\x00"),
    *('{"seq": 1e999}', '{"seq": 99999999999999999999999999, "payload": [1]}', '{"seq": "2", "kind": 7}'),
    '{"seq": 5, "kind": "registered", "population": "p", "payload": {"epsilon": NaN, "orders": "x"}}',
    '{"seq": 6, "kind": "reserved", "population": "p", "reservation": 6, "payload": {"cost": 3, "event": [1], '
    '"standing": {"p/x": {"sums": [-1.0], "charges": true}, "q": null}}}',
    '{"seq": 7, "kind": "sealed", "release": 3, "payload": {"charges": ["x", -1, 1e999, null, {"a": 1}, 6]}}',
    '{"seq": 8, "kind": "incident", "reservation": 6, "payload": {"lower_bound": "much", "delta": [1], "files": 7}}',
]


def test_whatever_stands_in_a_journal_a_snapshot_is_written_and_nothing_is_left(ask) -> None:
    views = ask([*small().lines, *((body, "0" * 64) for body in HOSTILE)])
    assert len(views("FROM chain_breaks")) == len(HOSTILE)
    broken = views.one("FROM blocks WHERE block = 'p/x'")
    assert (broken["spent"], broken["frozen"]) == (math.inf, True)
    names = [row["view_name"] for row in views("SELECT view_name FROM duckdb_views() WHERE NOT internal")]
    for name in names:
        views(f"FROM {name}")


def test_batches_make_no_difference(book: WrittenJournal, views: Views, ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "BATCH", 7)
    again = ask(book.lines)
    for view in ("populations", "blocks", "charges", "burn_down", "chain_breaks"):
        assert again(f"FROM {view} ORDER BY ALL") == views(f"FROM {view} ORDER BY ALL")


def test_exported_lines_are_read_and_others_kept_in_their_place() -> None:
    body, digest = small().lines[0]
    exported = [json.dumps({"body": body, "hash": digest}), "torn off"]
    assert list(lines_of(exported)) == [(body, digest), ("torn off", "")]


def test_everything_in_a_snapshot_says_what_it_is(views: Views) -> None:
    rows = views(
        "SELECT view_name AS name, comment FROM duckdb_views() WHERE NOT internal"
        " UNION ALL SELECT table_name, comment FROM duckdb_tables()"
    )
    assert len(rows) > 20
    assert [row["name"] for row in rows if not row["comment"]] == []
    views_of_questions = {
        row["name"] for row in views("SELECT view_name AS name FROM duckdb_views() WHERE NOT internal")
    }
    listed = set(re.findall(r"\w+", snapshot.__doc__ or ""))
    assert views_of_questions - {"said", "registrations", "charged_blocks"} <= listed


def test_every_query_of_the_reviewers_guide_is_answered(views: Views, subtests) -> None:
    guide = (ROOT / "docs" / "reviewers.md").read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.*?)```", guide, re.DOTALL)
    assert len(queries) >= 5
    for sql in queries:
        with subtests.test(sql):
            assert views(sql)
