"""Layers: every edge is there, goes one layer at a time, and few cross."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.errors import UsageError
from jina.export.layout import Layers, crossings, depths, layered


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    count = draw(st.integers(1, 16))
    pairs = list(itertools.combinations(range(count), 2))
    edges = draw(st.lists(st.sampled_from(pairs), max_size=30, unique=True)) if pairs else []
    return count, edges


def layers_of(count: int, edges: list[tuple[int, int]]) -> Layers:
    return layered(depths(count, edges), edges)


def reached(layers: Layers, node: int) -> set[int]:
    """The nodes to which a line leads from a node, along its trunk."""
    found, stack = set(), list(layers.after[node])
    while stack:
        cell = stack.pop()
        if layers.is_trunk(cell):
            assert layers.trunk_of[cell] == node
            stack.extend(layers.after[cell])
        else:
            found.add(cell)
    return found


@given(graphs())
@settings(max_examples=60)
def test_all_edges_and_no_others_are_drawn(graph):
    count, edges = graph
    layers = layers_of(count, edges)
    assert {(node, end) for node in range(count) for end in reached(layers, node)} == set(edges)


@given(graphs())
@settings(max_examples=60)
def test_lines_go_from_one_layer_to_the_next(graph):
    count, edges = graph
    layers = layers_of(count, edges)
    row_of = {cell: index for index, row in enumerate(layers.rows) for cell in row}
    assert len(row_of) == len(layers.trunk_of) == sum(map(len, layers.rows))
    assert all(row_of[end] == row_of[cell] + 1 for cell in row_of for end in layers.after[cell])


@given(graphs())
@settings(max_examples=60)
def test_crossings_are_counted_as_one_counts_by_hand(graph):
    layers = layers_of(*graph)
    place = {cell: index for row in layers.rows for index, cell in enumerate(row)}
    by_hand = 0
    for row in layers.rows:
        lines = [(place[cell], place[end]) for cell in row for end in layers.after[cell]]
        by_hand += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in itertools.combinations(lines, 2))
    assert crossings(layers) == by_hand


def test_a_tree_has_no_crossings():
    edges = [((child - 1) // 2, child) for child in range(1, 31)]
    shuffled = [((start * 7) % 31, (end * 7) % 31) for start, end in edges]
    assert crossings(layers_of(31, shuffled)) == 0


def test_lines_that_can_be_untangled_are():
    edges = [(0, 1), (0, 2), (0, 3), (1, 6), (2, 5), (3, 4), (4, 9), (5, 8), (6, 7)]
    assert crossings(layers_of(10, edges)) == 0


def test_all_who_need_a_step_share_its_trunk():
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 3), (0, 4)]
    layers = layers_of(5, edges)
    assert [layers.trunk_of[cell] for row in layers.rows for cell in row if layers.is_trunk(cell)] == [0, 0, 0]


def test_a_circle_is_refused():
    with pytest.raises(UsageError, match="circle"):
        depths(3, [(0, 1), (1, 2), (2, 1)])
