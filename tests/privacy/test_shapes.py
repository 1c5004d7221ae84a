"""Shapes: public, and a unit's own whoever else is drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsynth_assets.privacy.shapes import groups, public_shapes, shape_for


@given(st.integers(1, 2000), st.integers(1, 10_000), st.none() | st.integers(1, 10_000))
def test_shapes_hold_the_longest_record_and_no_more_tokens_than_may_be(longest, tokens, units):
    shapes = public_shapes(longest, tokens, units)
    assert shapes[-1].width >= longest
    assert all(shape.rows == 1 or shape.rows * shape.width <= tokens for shape in shapes)
    assert [shape.width for shape in shapes] == sorted({shape.width for shape in shapes})


def test_a_record_is_never_computed_wider_than_it_needs_by_more_than_a_quarter_of_the_longest():
    shapes = public_shapes(512, 8192)
    for length in range(1, 513):
        width = shape_for(length, shapes).width
        assert length <= width <= length + 128


def test_fewer_widths_and_larger_micro_batches_can_be_had_within_the_tokens():
    def sizes(**chosen):
        return [(shape.width, shape.rows) for shape in public_shapes(56, 8192, 512, **chosen)]

    assert sizes(eighths=(4, 8)) == [(28, 24), (56, 16)]
    assert sizes(eighths=(4, 8), share=8) == [(28, 64), (56, 64)]
    assert sizes(eighths=(4, 8), share=2) == [(28, 256), (56, 144)]


def test_a_record_beyond_the_public_bound_is_refused():
    with pytest.raises(ValueError, match="longer than the public bound of 64"):
        shape_for(65, public_shapes(64, 128))


@st.composite
def populations(draw):
    sizes = draw(st.lists(st.integers(0, 9), min_size=1, max_size=30))
    records_of, lengths = [], []
    for size in sizes:
        records_of.append(list(range(len(lengths), len(lengths) + size)))
        lengths += [draw(st.integers(1, 50)) for _ in range(size)]
    drawn = draw(st.lists(st.sampled_from(range(len(sizes))), unique=True))
    return records_of, lengths, drawn, public_shapes(50, draw(st.integers(1, 400)))


@given(populations())
def test_groups_hold_each_drawn_unit_once_and_whole(population):
    records_of, lengths, drawn, shapes = population
    made = list(groups(drawn, records_of, lengths, shapes))
    assert sorted(unit for group in made for unit in group.units) == sorted(u for u in drawn if records_of[u])
    for group in made:
        records = [record for unit in group.units for record in records_of[unit]]
        assert max(lengths[record] for record in records) <= group.shape.width
        assert len(records) <= group.shape.rows * group.passes
        assert group.passes == 1 or len(group.units) == 1


@given(populations())
def test_a_unit_s_shape_and_passes_are_those_that_it_has_alone(population):
    records_of, lengths, drawn, shapes = population
    for group in groups(drawn, records_of, lengths, shapes):
        for unit in group.units:
            (alone,) = groups([unit], records_of, lengths, shapes)
            assert (alone.shape, alone.passes) == (group.shape, group.passes)
