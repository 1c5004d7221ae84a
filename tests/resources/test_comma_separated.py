"""Records of comma-separated text: as everybody reads them where they are well-formed, and one by one where not."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from resources import comma_separated
from resources.comma_separated import records

CELL = st.text(st.sampled_from('ab",\n\r é\u2028\0'), max_size=6)
ROWS = st.sampled_from([2, 3]).flatmap(
    lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=6)
)


def read(text: str) -> list[list[str] | None]:
    return list(records(io.StringIO(text, newline="")))


def written(rows, **how) -> str:
    target = io.StringIO(newline="")
    csv.writer(target, **how).writerows(rows)
    return target.getvalue()


@given(
    rows=ROWS,
    ends=st.sampled_from(["\r\n", "\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    chunk=st.integers(1, 9),
)
def test_what_a_writer_writes_is_read_whatever_the_size_of_a_chunk(rows, ends, quoting, chunk):
    if ends == "\n" and quoting == csv.QUOTE_MINIMAL:  # `a,b\r\n` is read as everybody reads it
        assume(not any(row[-1].endswith("\r") for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comma_separated, "_CHUNK", chunk)
        assert read(written(rows, lineterminator=ends, quoting=quoting)) == rows


def test_a_carriage_return_that_a_writer_leaves_unquoted_ends_no_record():
    rows = [["c1", "a\rb", "card"], ["c2", "c", "loan"]]
    assert read(pd.DataFrame(rows).to_csv(index=False, header=False)) == rows


@given(st.text(st.sampled_from('ab",\n\r'), max_size=30), st.integers(1, 9))
def test_anything_is_read_alike_in_chunks_and_at_once(text, chunk):
    whole = read(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comma_separated, "_CHUNK", chunk)
        assert read(text) == whole


@given(st.text(st.sampled_from('ab",\n\r'), max_size=60), st.integers(1, 9))
def test_what_is_too_long_is_left_out_alike_in_chunks_and_at_once(text, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comma_separated, "LONGEST", 7)
        whole = list(comma_separated.located(io.StringIO(text, newline="")))
        patch.setattr(comma_separated, "_CHUNK", chunk)
        assert list(comma_separated.located(io.StringIO(text, newline=""))) == whole


def test_a_record_has_a_longest_length_and_a_longer_one_costs_itself(monkeypatch):
    monkeypatch.setattr(comma_separated, "LONGEST", 12)
    at_most, longer = '"abc\n5678",y', '"abc\n56789",y'
    assert read(f"a,b\n{at_most}\nc,d\n") == [["a", "b"], None, ['5678"', "y"], ["c", "d"]], "with its line end"
    assert read(f"a,b\n{at_most}") == [["a", "b"], ["abc\n5678", "y"]]
    assert read(f"a,b\n{longer}") == [["a", "b"], None, ['56789"', "y"]]
    assert read(f"a,b\n{'x' * 40}\nc,d") == [["a", "b"], None, ["c", "d"]]


def test_an_open_quote_or_a_line_without_end_holds_no_more_than_the_longest_record(monkeypatch):
    monkeypatch.setattr(comma_separated, "LONGEST", 100)
    monkeypatch.setattr(comma_separated, "_CHUNK", 10)
    for first in ('a,"open', "x" * 5_000):
        stream = io.StringIO(f"{first}\n" + "c,d\n" * 5_000, newline="")
        found = comma_separated.located(stream)
        assert next(found) == comma_separated.Row(1, None, 3 if "open" in first else 0)
        assert stream.tell() < len(first) + 400
        assert next(found) == comma_separated.Row(2, ["c", "d"])


@pytest.mark.parametrize("offset", range(-3, 4))
@pytest.mark.parametrize("boundary", [2**13, 2**16, 2**20])
def test_a_line_end_within_quotes_is_kept_wherever_it_falls(offset, boundary):
    filling = "x" * (boundary + offset - len("a,\r\n"))
    [_, after] = read(f'a,{filling}\r\n"two\r\nlines",b\r\n')
    assert after == ["two\r\nlines", "b"]


@pytest.mark.parametrize(
    "broken",
    ['eve,"never closed', 'eve,"closed"and more,b', '"', '"""', 'eve,"a" ,b', 'eve,b,"'],
)
def test_a_record_that_is_not_well_formed_costs_its_own_line(broken):
    good = [["c1", 'say "no", twice'], ["c2", "two\r\nlines"], ["c3", "plain"]]
    before, after = written(good), written(list(reversed(good)))
    assert read(f"{before}{broken}\r\n{after}") == [*good, None, *reversed(good)]
    assert read(before + broken) == [*good, None]


def test_a_quote_amid_a_cell_is_a_character_and_empty_lines_are_nothing():
    assert read('\r\n5" of pipe,6"\n\n\nb,c') == [['5" of pipe', '6"'], ["b", "c"]]


CUT_OFF = ['eve,"hi', '"eve', 'eve,hi,"card', "eve,hi,card,", '"', ',"', 'eve,"hi ""there', 'eve,hi,"card""']
FIRST = [", and more", "\r\na line end first", ",", "\n", ',"quoted",', "\n, and more\n"]


@pytest.mark.parametrize("cut_off", CUT_OFF)
@pytest.mark.parametrize("text", FIRST)
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_line_that_was_cut_off_takes_no_neighbour_with_it_and_no_text_of_its(cut_off, text, quoting):
    """Though its open quote is closed by the quote at which the next record's text begins."""
    header = ["who", "said", "topic", "month", "year"]
    good = [["c1", text, "card", "m1", "2024"], ["c2", "hello", "card", "m1", "2024"]]
    found = read(f"{written([header])}{cut_off}\r\n{written(good, quoting=quoting)}")
    assert [record for record in found if record and len(record) == 5] == [header, *good]


def test_a_record_over_several_lines_with_other_cells_than_the_first_one_costs_its_first_line():
    """The lines after it are read by themselves, whosever they are."""
    for cells in (1, 3, 50, 5000):
        found = read("c1,card\n" + written([["two\nlines"] * cells]) + "c2,card\n")
        assert (found[0], found[1], found[-1]) == (["c1", "card"], None, ["c2", "card"])


def test_a_quote_amid_a_cell_of_a_record_over_several_lines_is_not_well_formed():
    assert read('a,b,c\nx,5" of pipe,"two\nd,e,f\n') == [["a", "b", "c"], None, ["d", "e", "f"]]
