"""The invented domain: the same for a seed, said often enough by different people, asked for in words of its own."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest

from dpsynth_assets.knowledge.attributes import ATTRIBUTES, KINDS
from dpsynth_assets.knowledge.domain import CHOICES, facts
from dpsynth_assets.knowledge.questions import questions
from dpsynth_assets.knowledge.records import NotOursError, Parameters, records, write

SMALL = Parameters(seed=3, support=20)


@pytest.fixture(scope="module")
def corpus():
    return records(Parameters())


def test_a_domain_and_its_records_are_those_of_the_seed():
    assert records(SMALL) == records(SMALL)
    other = Parameters(seed=4, support=20)
    assert {fact.name for fact in facts(3)} != {fact.name for fact in facts(4)}
    assert [each.text for each in records(SMALL)] != [each.text for each in records(other)]


def test_each_fact_is_said_by_hundreds_of_people_of_whom_none_writes_twice(corpus):
    assert len({each.person for each in corpus}) == len(corpus)
    for each in corpus:
        assert all(fact.kind == each.kind and fact.value.lower() in each.text.lower() for fact in each.says), each
        assert each.says[0].name in each.text
    people = Counter(fact for each in corpus if each.split == "train" for fact in each.says)
    assert set(people) == set(facts(7))
    assert min(people.values()) >= 300


def test_no_question_stands_in_a_record_nor_the_words_before_its_answer(corpus):
    texts = "\n".join(each.text.lower() for each in corpus)
    for question in questions(facts(7)):
        stem = question.stem.lower()
        assert stem not in texts
        for choice in question.fact.choices:
            assert f"{' '.join(stem.split()[-4:])} {choice.lower()}" not in texts, stem


@pytest.mark.parametrize("seed", range(20))
def test_who_answers_without_looking_at_the_machine_is_right_as_often_as_by_chance(seed):
    domain = facts(seed)
    assert len(domain) == len(KINDS) * len(ATTRIBUTES)
    for attribute in ATTRIBUTES:
        of_it = [fact for fact in domain if fact.attribute == attribute]
        [choices] = {fact.choices for fact in of_it}
        assert len(set(choices)) == CHOICES
        for choice in choices:
            assert sum(fact.value == choice for fact in of_it) * CHOICES == len(of_it)


@pytest.mark.parametrize("seed", range(20))
def test_no_two_names_begin_or_end_alike_where_they_could_be_taken_for_each_other(seed):
    names = {fact.name for fact in facts(seed)}
    made_up = {value for fact in facts(seed) if not fact.attribute.values for value in fact.choices}
    assert len({name[:3] for name in names | made_up}) == len(names) + len(made_up)
    assert len({name[-2:] for name in names}) == len(names)


def test_a_table_holds_no_fact_but_in_words_and_is_written_once(tmp_path):
    path = tmp_path / "new" / "seed-3.parquet"
    write(path, SMALL)
    table = pd.read_parquet(path)
    assert list(table.columns) == ["person", "text", "kind", "split"]
    assert table["text"].tolist() == [each.text for each in records(SMALL)]
    first = path.stat().st_mtime_ns
    write(path, SMALL)
    assert path.stat().st_mtime_ns == first
    write(path, Parameters(seed=4, support=20))
    assert pd.read_parquet(path)["text"].tolist() != table["text"].tolist()


def test_a_file_that_is_no_table_of_ours_is_left_alone(tmp_path):
    path = tmp_path / "seed-3.parquet"
    path.write_bytes(b"somebody's letters")
    with pytest.raises(NotOursError, match="move it away"):
        write(path, SMALL)
    assert path.read_bytes() == b"somebody's letters"
