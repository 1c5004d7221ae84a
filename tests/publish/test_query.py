"""Questions on the published tables: what is answered, what is refused, and that no wall depends on another one."""

import json
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpsynth_assets.publish import parquet, query_process
from dpsynth_assets.publish.query import Limits
from dpsynth_assets.publish.release import QueryError
from dpsynth_assets.publish.sql import literal
from tests.publish.conftest import Tables, ask, digests_in, query

pytestmark = pytest.mark.slow

SECRET = "a real person's words"


@pytest.fixture
def secret(home):
    """A sensitive snapshot beside the warehouse, as a home has it."""
    path = home.parent / "sensitive" / "rows.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"message": [SECRET], "topic": ["card"]}), path)
    return path


@pytest.fixture
def contents(home):
    """Every file of the home by its place, to be compared."""
    return lambda: {path: path.read_bytes() for path in sorted(home.parent.rglob("*")) if path.is_file()}


RIGHT = (
    "DESCRIBE inbox.messages",
    "SUMMARIZE inbox.messages",
    "SHOW ALL TABLES",
    "PIVOT inbox.messages ON topic USING count(*)",
    "PIVOT inbox.messages ON topic USING count(*); ",
    "FROM (PIVOT inbox.messages ON topic USING count(*))",
    "WITH wide AS (PIVOT inbox.messages ON topic USING count(*)) SELECT * FROM wide",
    "PIVOT inbox.messages ON topic IN ('card', 'loan') USING count(*)",
    "UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b",
    "FROM inbox.messages LIMIT 1;",
    "FROM warehouse.inbox.messages",
    "WITH t AS (FROM inbox.messages) SELECT count(*) FROM t",
    "SELECT 1 -- a remark; and its end",
    "/* a remark */ VALUES (1)",
    "FROM query_table('releases')",
    "EXPLAIN SELECT count(*) FROM inbox.messages",
    "/* why */ explain analyze PIVOT inbox.messages ON topic",
)


def test_the_questions_analysts_ask_are_answered(home, put, subtests):
    put()
    for sql in RIGHT:
        with subtests.test(sql):
            columns, rows = query(home, sql)
            assert columns
            assert rows


WRONG = (
    ("SELECT * FROM inbox.mesages", "no table mesages. Did you mean inbox.messages"),
    ("SELECT * FROM messages", "Did you mean inbox.messages"),
    ('SELECT * FROM "inbox.messages"', "Write inbox.messages, without quotes around both together"),
    ("SELECT * FROM inbx.messages", "Published: inbox.messages, releases, quality"),
    ("SELECT * FROM nonsense", "Published: inbox.messages, releases, quality"),
    ("SELECT mesage FROM inbox.messages", '"mesage" not found'),
    ("SELEC 1", "syntax error"),
    ("", "exactly one"),
    ("-- nothing", "exactly one"),
    ("SELECT 1; SELECT 2", "exactly one"),
    ("SELECT 1; COPY (SELECT 1) TO 'x.csv'", "exactly one"),
    ("PIVOT releases ON unit; DROP VIEW inbox.messages", "exactly one"),
    ("DROP TABLE releases", "only answers questions"),
    ("INSERT INTO releases SELECT * FROM releases", "only answers questions"),
    ("CREATE TABLE t AS PIVOT releases ON unit", "only answers questions"),
    ("CREATE MACRO m() AS TABLE SELECT * FROM read_text('/etc/passwd')", "only answers questions"),
    ("SET enable_external_access = true", "only answers questions"),
    ("RESET enable_external_access", "only answers questions"),
    ("PRAGMA threads = 1", "only answers questions"),
    ("ATTACH ':memory:' AS other", "only answers questions"),
    ("INSTALL httpfs", "only answers questions"),
    ("LOAD httpfs", "only answers questions"),
    ("EXPORT DATABASE 'x'", "only answers questions"),
    ("IMPORT DATABASE 'x'", "only answers questions"),
    ("CALL enable_logging()", "only answers questions"),
    ("CHECKPOINT", "only answers questions"),
    ("PREPARE p AS COPY (SELECT 1) TO 'x.csv'", "only answers questions"),
    ("EXECUTE p", "only answers questions"),
    ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'", "only answers questions"),
    ("EXPLAIN ANALYZE COPY (FROM (PIVOT releases ON unit)) TO 'x.csv'", "only answers questions"),
    ("EXPLAIN ANALYZE DROP VIEW inbox.messages", "only answers questions"),
    ("EXPLAIN ANALYZE SELECT * FROM read_text('/etc/passwd')", "published tables only"),
    ("EXPLAIN ANALYZE WITH gone AS (DELETE FROM releases RETURNING *) SELECT * FROM gone", "read-only"),
    ("BEGIN", "only answers questions"),
    ("WITH gone AS (DELETE FROM releases RETURNING *) SELECT * FROM gone", "read-only"),
    ("WITH more AS (INSERT INTO releases FROM releases RETURNING *) FROM (PIVOT more ON unit)", "read-only"),
    ("SELECT * FROM read_text('/etc/passwd')", "published tables only"),
    ("SELECT * FROM read_csv('/etc/passwd')", "published tables only"),
    ("SELECT * FROM '/etc/hosts.csv'", "published tables only"),
    ("SELECT * FROM glob('/etc/*')", "published tables only"),
    ("SELECT * FROM read_duckdb('/tmp/x.duckdb')", "published tables only"),
    ("SELECT * FROM query('FROM read_text(''/etc/passwd'')')", "published tables only"),
    ("SELECT * FROM query('COPY (SELECT 1) TO ''x.csv''')", "SELECT"),
    ("FROM (PIVOT (SELECT * FROM read_text('/etc/passwd')) ON size)", "published tables only"),
    ("SELECT * FROM read_text('file:///etc/passwd')", "published tables only"),
    ("SELECT * FROM read_parquet('https://example.org/x.parquet')", "published tables only"),
    ("SELECT getenv('HOME')", "getenv"),
    ("SELECT * FROM sys", "no table sys"),
)


def test_wrong_questions_get_friendly_answers_and_change_nothing(home, put, secret, contents, subtests):
    put()
    before = contents()
    for sql, says in WRONG:
        with subtests.test(sql), pytest.raises(QueryError) as caught:
            query(home, sql)
        assert says in str(caught.value)
        assert not {"LINE 1", "Traceback", str(Path(sys.prefix))} & set(str(caught.value).split("\n"))
        assert contents() == before


# Each of these writes, reads or changes something where it is run as it stands.
NO_QUESTIONS = (
    "COPY (SELECT 1) TO 'x.csv'",
    "(COPY (SELECT 1) TO 'x.csv')",
    "COPY (FROM (PIVOT releases ON unit)) TO 'x.csv'",
    "INSERT INTO releases FROM releases",
    "CREATE TABLE t AS SELECT 1",
    "CREATE TABLE t AS PIVOT releases ON unit",
    "DROP TABLE releases",
    "ATTACH 'x.duckdb'",
    "SET threads = 1",
    "PREPARE p AS COPY (SELECT 1) TO 'x.csv'",
    "CALL enable_logging()",
    "EXPORT DATABASE 'x'",
)
EXPLAINING = (
    "{}",
    "EXPLAIN {}",
    "EXPLAIN ANALYZE {}",
    "explain\nanalyze\t{};",
    "/* SELECT */ EXPLAIN ANALYZE {}",
    "EXPLAIN/**/ANALYZE/**/{}",
    "EXPLAIN ANALYZE/* */ {}",
    "EXPLAIN -- SELECT\n ANALYZE {}",
    "EXPLAIN (ANALYZE) {}",
    "EXPLAIN (FORMAT json, ANALYZE) {}",
    "EXPLAIN ANALYZE (FORMAT json) {}",
    "EXPLAIN ANALYZE EXPLAIN {}",
    "EXPLAIN SELECT 1; {}",
    "EXPLAIN {}; SELECT 1",
)


def test_explain_hides_nothing_that_is_no_question():
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE releases AS SELECT 1 AS unit")

        def asks(sql):
            try:
                query_process._require_question(connection, sql)
            except (QueryError, duckdb.ParserException):
                return False
            return True

        attempts = [form.format(each) for form in EXPLAINING for each in NO_QUESTIONS]
        assert [sql for sql in attempts if asks(sql)] == []
        questions = ("SELECT 1", "FROM (PIVOT releases ON unit)", "PIVOT releases ON unit", "DESCRIBE releases")
        assert all(asks(form.format(sql)) for form in EXPLAINING[:5] for sql in questions)


COPIES = (
    "COPY (SELECT 1 AS message, 2 AS topic) TO {place} (FORMAT parquet, USE_TMP_FILE false)",
    "COPY (FROM (PIVOT inbox.messages ON topic)) TO {place} (FORMAT parquet, USE_TMP_FILE false)",
    "COPY (FROM (PIVOT (SELECT 'forged'::BLOB AS b, 1 AS n) ON n)) TO {place} (FORMAT blob, USE_TMP_FILE false)",
    "COPY (WITH w AS (PIVOT inbox.messages ON topic) FROM w) TO {place} (FORMAT csv, USE_TMP_FILE false)",
    "/**/ COPY (FROM (PIVOT inbox.messages ON topic)) TO {place}",
    "SELECT 1) AS t; COPY (FROM (PIVOT inbox.messages ON topic)) TO {place}; SELECT * FROM (SELECT 2",
    "PREPARE p AS COPY (FROM (PIVOT inbox.messages ON topic)) TO {place}",
    "EXPLAIN ANALYZE COPY (FROM (PIVOT inbox.messages ON topic)) TO {place} (FORMAT parquet, USE_TMP_FILE false)",
    "COPY inbox.messages TO {place} (FORMAT parquet, PARTITION_BY (topic), OVERWRITE)",
)


@pytest.mark.parametrize("target", ["release", "database", "new"])
def test_no_form_of_copy_forges_a_release_or_the_database(home, put, secret, contents, target):
    release = put()
    file = {"release": release, "database": home / "warehouse.duckdb", "new": home / "parquet" / "new.parquet"}[target]
    named = f"published://inbox/messages/{file.name}"
    before = contents()
    for sql in COPIES:
        for place in (str(file), named):
            with pytest.raises(QueryError):
                query(home, sql.format(place=literal(place)))
            assert contents() == before, sql
    assert parquet.verify(home / "parquet") == []
    assert query(home, "SELECT count(*) FROM inbox.messages")[1] == [(2,)]


def test_without_the_check_of_statements_nothing_can_be_written_or_read_either(home, put, secret, contents, tmp_path):
    """DuckDB's own wall and the system's, with the parser's taken away."""
    release = put()
    before = contents()
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import sys, json\n"
        f"sys.path[:] = json.loads({json.dumps(json.dumps([p for p in sys.path if p]))})\n"
        "from dpsynth_assets.publish import query_process\n"
        "query_process._require_question = lambda *_: None\n"
        "query_process.main()\n"
    )
    attempts = [
        sql.format(place=literal(str(place))) for sql in COPIES for place in (release, home / "warehouse.duckdb")
    ]
    attempts += [sql.format(place=literal("published://inbox/messages/r1.parquet")) for sql in COPIES]
    attempts += [
        f"SELECT * FROM read_parquet({literal(str(secret))})",
        f"ATTACH {literal(str(home / 'other.duckdb'))} AS other",
        f"EXPORT DATABASE {literal(str(home / 'export'))}",
        f"CALL enable_logging(storage = 'file', storage_path = {literal(str(home / 'log'))})",
        "INSTALL httpfs",
        "SET lock_configuration = false",
        "SET disabled_filesystems = ''",
        "SET temp_directory = '/tmp'",
        "DROP VIEW inbox.messages",
        "CREATE TABLE forged AS SELECT 1",
    ]
    place, digests = {"folder": str(home / "parquet"), "place": ""}, digests_in(home / "parquet")
    for sql in attempts:
        request = place | {"digests": digests, "sql": sql, "memory_bytes": 1 << 30}
        done = subprocess.run(
            [sys.executable, "-I", str(driver)], input=json.dumps(request).encode(), capture_output=True, env={}
        )
        assert done.returncode == 0, sql
        assert contents() == before, sql
        assert SECRET.encode() not in done.stdout


# The lines that take walls of the query's process away.
NO_PARSER = "query_process._require_question = lambda *_: None"
NO_SYSTEM = "query_process.change_nothing = query_process.open_nothing = lambda *_: None"
NO_DUCKDB = """
class Open:
    def __init__(self, connection):
        self.connection = connection
    def __getattr__(self, name):
        return getattr(self.connection, name)
    def execute(self, sql, *values):
        return self if sql.startswith(("SET ", "BEGIN")) else self.connection.execute(sql, *values)
connect = query_process.duckdb.connect
query_process.duckdb.connect = lambda *place, config: Open(connect(*place))
"""


@pytest.mark.parametrize("gone", [(NO_PARSER, NO_SYSTEM), (NO_PARSER, NO_DUCKDB)], ids=["DuckDB's", "the system's"])
def test_each_wall_holds_alone(home, put, secret, contents, tmp_path, gone):
    """Whatever a query does that passed the parser, one of these two is enough against it."""
    release = put()
    before = contents()
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import sys, json\n"
        f"sys.path[:] = json.loads({json.dumps(json.dumps([p for p in sys.path if p]))})\n"
        "from dpsynth_assets.publish import query_process\n" + "\n".join(gone) + "\nquery_process.main()\n"
    )
    attempts = [
        *(sql.format(place=literal(str(release))) for sql in COPIES),
        f"SELECT * FROM read_parquet({literal(str(secret))})",
        f"ATTACH {literal(str(home / 'other.duckdb'))} AS other",
        f"EXPORT DATABASE {literal(str(home / 'export'))}",
        "SELECT count(*) FROM inbox.messages",
    ]
    request = {"folder": str(home / "parquet"), "place": "", "digests": digests_in(home / "parquet")}
    for sql in attempts:
        done = subprocess.run(
            [sys.executable, "-I", str(driver)],
            input=json.dumps({**request, "sql": sql, "memory_bytes": 1 << 30}).encode(),
            capture_output=True,
            env={},
        )
        assert done.returncode == 0, (sql, done.stderr)
        assert contents() == before, sql
        assert SECRET.encode() not in done.stdout
    assert json.loads(done.stdout.splitlines()[1]) == {"rows": [[2]]}, "an honest question is answered"


def test_a_confined_process_changes_and_opens_nothing_whatever_runs_in_it(tmp_path):
    """The system's wall alone, against Python."""
    kept = tmp_path / "kept"
    kept.write_text("kept")
    code = """
import os, socket, subprocess, sys
from dpsynth_assets.publish.confinement import change_nothing, open_nothing
kept = sys.argv[1]
def tries(*attempts):
    for name, attempt in attempts:
        try:
            attempt()
        except OSError:
            pass
        else:
            os.write(1, f"{name}\\n".encode())
tries(("open", lambda: open(kept).close()))
if change_nothing():
    tries(
        ("truncate", lambda: os.truncate(kept, 0)), ("write", lambda: open(kept, "w")),
        ("unlink", lambda: os.unlink(kept)), ("rename", lambda: os.rename(kept, kept + "2")),
        ("mkdir", lambda: os.mkdir(kept + "3")), ("link", lambda: os.symlink(kept, kept + "4")),
    )
file = open(kept, "rb")
open_nothing(1 << 30)
tries(
    ("read", lambda: open(kept)), ("list", lambda: os.listdir("/")), ("socket", lambda: socket.socket()),
    ("append", lambda: open(kept, "a")), ("run", lambda: subprocess.run(["/bin/true"])),
)
assert file.read() == b"kept"
"""
    done = subprocess.run([sys.executable, "-c", code, str(kept)], capture_output=True, text=True, cwd=Path.cwd())
    assert (done.returncode, done.stdout, done.stderr) == (0, "open\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert kept.read_text() == "kept"


def test_a_forged_database_is_not_believed(home, put, secret):
    """Views are made from the releases' metadata; SQL text in a file is nobody's word."""
    put()
    file = home / "warehouse.duckdb"
    file.unlink()
    with duckdb.connect(str(file)) as forger:
        forger.execute("CREATE SCHEMA inbox; CREATE TABLE releases (parquet VARCHAR)")
        forger.execute(f"INSERT INTO releases VALUES ({literal(str(secret))})")
        forger.execute(f"CREATE VIEW inbox.messages AS FROM read_parquet({literal(str(secret))})")
    assert query(home, "SELECT count(*) FROM inbox.messages WHERE message LIKE '%real person%'")[1] == [(0,)]
    assert query(home, "SELECT release_id FROM releases")[1] == [("r1",)]


@pytest.mark.parametrize("what", ["link", "folder", "foreign", "misplaced"])
def test_what_lies_in_the_folder_and_is_no_release_is_not_read(home, put, secret, what):
    path = put()
    odd = path.with_name("r2.parquet")
    if what == "link":
        odd.symlink_to(secret)
    elif what == "folder":
        odd.mkdir()
    elif what == "foreign":
        odd.write_bytes(secret.read_bytes())
    else:
        odd.write_bytes(path.read_bytes())
    assert query(home, "SELECT release_id FROM releases")[1] == [("r1",)]  # nobody sealed it
    if what not in ("link", "folder"):
        Tables().seal(odd)
        with pytest.raises(QueryError, match=r"r2\.parquet"):
            query(home, "SELECT * FROM releases")


@pytest.mark.parametrize("what", ["link", "folder", "other bytes", "other rows under the same metadata"])
def test_a_table_that_is_not_the_one_that_was_sealed_is_refused_by_name(home, put, secret, what):
    path = put()
    whole = pq.read_table(path)
    path.unlink()
    if what == "link":
        path.symlink_to(secret)
    elif what == "folder":
        path.mkdir()
    elif what == "other bytes":
        path.write_bytes(secret.read_bytes())
    else:
        pq.write_table(whole.slice(0, 1), path)
    with pytest.raises(QueryError, match=r"r1\.parquet"):
        query(home, "SELECT * FROM releases")


def test_a_linked_folder_is_refused(home, put, tmp_path):
    path = put()
    path.parent.rename(tmp_path / "elsewhere")
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(QueryError, match="not where its metadata belongs"):
        query(home, "SELECT * FROM releases")


def test_the_process_of_a_query_knows_nothing_of_our_environment(home, put, monkeypatch):
    """DuckDB's Python client has no `getenv`; the names of its settings would show places."""
    put()
    monkeypatch.setenv("HOME", "/home/somebody-real")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    settings = query(home, "SELECT string_agg(value, ' ') FROM duckdb_settings()")[1]
    assert "somebody-real" not in str(settings)
    assert query(home, "SELECT current_setting('TimeZone')")[1] == [("UTC",)]


def test_before_any_publication_the_error_says_what_to_do(home):
    with pytest.raises(QueryError, match=r"nothing has been published to .* yet: run a contract first"):
        query(home, "SELECT 1")


def test_where_no_table_was_sealed_the_error_says_so(home, put):
    path = put()
    with pytest.raises(QueryError, match=r"no table in .* was ever sealed.*Publish again"):
        ask(home, "SELECT 1", {})
    path.unlink()
    with pytest.raises(QueryError, match="nothing has been published"):
        ask(home, "SELECT 1", {})


def test_values_arrive_as_what_they_are(home, put):
    put()
    sql = (
        "SELECT NULL, true, 1, 2::HUGEINT * 10 ** 20::HUGEINT, 1.5::DECIMAL(5, 2), 'nan'::DOUBLE, [1, NULL], "
        "{'a': 'b'}, MAP {'k': 1}, 'x'::BLOB, DATE '2030-01-02', TIMESTAMP '2030-01-02 03:04:05.6', "
        "TIMESTAMPTZ '2030-01-02 03:04:05+00', TIME '10:00', 'é\x1b[31m\"'"
    )
    ((*row,),) = query(home, sql)[1]
    assert row[5] != row[5]
    assert row[:5] == [None, True, 1, row[3], Decimal("1.50")]
    assert row[6:] == [
        *([1, None], {"a": "b"}, {"k": 1}, b"x", date(2030, 1, 2), datetime(2030, 1, 2, 3, 4, 5, 600_000)),
        *(datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2030, 1, 1, 10).time(), 'é\x1b[31m"'),
    ]


def test_a_query_keeps_to_its_limits(home, put):
    put()
    endless = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range = 7"
    with pytest.raises(QueryError, match=r"longer than 1 seconds.*--timeout"):
        query(home, endless, Limits(seconds=1))
    with pytest.raises(QueryError, match=r"more memory than it may.*--memory"):
        query(
            home, "SELECT count(DISTINCT repeat('x', 100) || range) FROM range(20000000)", Limits(memory_bytes=1 << 28)
        )
    with pytest.raises(QueryError, match=r"longer than 1,000 bytes"):
        query(home, "SELECT * FROM range(100000)", Limits(answer_bytes=1000))
    with pytest.raises(QueryError, match=r"longer than 1,000 values"):
        query(home, "SELECT [NULL, []] FROM range(400)", Limits(answer_values=1000))
    with pytest.raises(QueryError, match="seconds"):
        Limits(seconds=float("inf"))


@pytest.mark.parametrize(
    ("sql", "says"), [("UPDATE EXTENSIONS", "only answers questions"), ("SELECT '\udc80'", "UTF-8")]
)
def test_what_cannot_be_asked_is_not_taken_for_a_lack_of_memory(home, put, sql, says):
    put()
    with pytest.raises(QueryError, match=says):
        query(home, sql)


def test_queries_run_beside_each_other(home, put):
    put()
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(query(home, "SELECT count(*) FROM inbox.messages")[1]))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[(2,)]] * 3
