"""What measures the benchmarks, without measuring: ratios, the rule of three runs, the page and its pictures."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("rich")

from rich.console import Console

import annotax
from benchmarks import __main__ as command
from benchmarks.groups import RUNS, Group, Outcome, settle
from benchmarks.measure import Times, interleave, repeated
from benchmarks.pictures import svg
from benchmarks.report import markdown, show
from benchmarks.rows import EQUINOX, OURS, RAW, Bound, Picture, Row, Table, beside, compare, counted
from benchmarks.traces import bound_anew, rebuilt, spelled
from benchmarks.training import SHAPES, STEPS, batches, compilations, runs


def times(*seconds: float) -> Times:
    return Times(tuple(seconds))


def table(*ratios: float, limit: float = 1.02) -> Table:
    """A table of one case for each ratio of ours, beside a peer that takes twice as long as raw JAX."""
    rows = [
        row
        for i, ratio in enumerate(ratios)
        for row in compare(
            f"case `{i}`",
            {RAW: times(1e-5, 1e-5), OURS: times(ratio * 1e-5, ratio * 1e-5), EQUINOX: times(2e-5, 2e-5)},
            limit,
        )
    ]
    return Table("Some title", "median µs (quartiles)", "A note.", "JAX by hand.", tuple(rows))


def outcome(of: Table, name: str = "group") -> Outcome:
    return settle(Group(name, lambda rounds: of), rounds=2, runs=1)


def in_turn(*tables: Table) -> Group:
    """A group each run of which gives the next of some tables."""
    left: Iterator[Table] = iter(tables)
    return Group("group", lambda rounds: next(left))


# --- ratios ----------------------------------------------------------------------------------------------------------


def test_a_ratio_is_the_median_of_the_ratios_within_rounds() -> None:
    """In every round but one the first takes twice as long as the second, while the machine drifts."""
    assert times(2, 4, 6, 8, 100).ratio_to(times(1, 2, 3, 4, 1)) == 2


def test_times_are_shown_as_a_median_with_quartiles() -> None:
    assert str(times(1e-6, 2e-6, 3e-6, 4e-6, 5e-6)) == "3.0 (2.0 to 4.0)"
    assert times(1, 2, 3).shown(unit=1e-3) == "2,000 (1,500 to 2,500)"


def test_every_contestant_takes_part_in_every_round() -> None:
    order: list[str] = []

    def batch(name: str) -> Callable[[], float]:
        return lambda: order.append(name) or float(len(order))

    taken = interleave({"a": batch("a"), "b": batch("b"), "c": batch("c")}, rounds=4)
    assert all(set(order[i : i + 3]) == set("abc") for i in range(0, 12, 3))
    assert len({tuple(order[i : i + 3]) for i in range(0, 12, 3)}) > 1
    assert list(taken) == ["a", "b", "c"]


def test_a_batch_repeats_a_call_and_says_what_one_takes() -> None:
    calls: list[int] = []
    assert 0 < repeated("f(x)", {"f": calls.append, "x": 1})() < 1e-3
    assert len(calls) > 100


def test_a_bound_is_on_ours_alone_and_holds_at_its_limit() -> None:
    raw, ours, peer = table(1.02).rows
    assert (raw.bound, peer.bound) == (None, None)
    assert ours.bound == Bound(pytest.approx(1.02), 1.02)
    assert not replace(ours, bound=Bound(1.02, 1.02)).is_broken
    assert replace(ours, bound=Bound(1.0201, 1.02)).is_broken


def test_a_row_beside_a_peer_has_its_bound_on_that_ratio() -> None:
    row = beside("case", {OURS: times(1, 2), EQUINOX: times(4, 8)}, EQUINOX, limit=1 / 3)
    assert (row.contestant, row.figure, row.is_broken) == ("annotax, ratio to equinox", 0.25, False)


def test_a_table_tells_how_far_ours_is_from_raw_jax() -> None:
    assert table(0.9, 1.5).distances == pytest.approx((0.9, 1.5))


def test_a_row_is_behind_where_a_peer_is_better_by_more_than_noise() -> None:
    ((ours, peer),) = table(1.5, 2.015, 2.5).behind
    assert (ours.case, peer.contestant) == ("case `2`", EQUINOX)


def test_without_ratios_figures_tell_who_is_behind() -> None:
    rows = (Row("case", EQUINOX, 1.0, "1"), Row("case", OURS, 2.0, "2"))
    assert Table("", "", "", "", rows).behind == ((rows[1], rows[0]),)


# --- the rule of three runs ------------------------------------------------------------------------------------------


def test_a_group_within_its_bounds_is_measured_once() -> None:
    settled = settle(in_turn(table(1.0)), rounds=2)
    assert (settled.runs, settled.above, settled.broken) == (1, {}, ())


def test_a_row_above_its_bound_in_three_runs_of_three_has_broken_it() -> None:
    settled = settle(in_turn(*[table(1.0, 1.5)] * RUNS), rounds=2)
    assert (settled.runs, settled.above, settled.broken) == (3, {"case `1`: annotax": 3}, ("case `1`: annotax",))


def test_a_row_that_holds_its_bound_once_has_not_broken_it() -> None:
    settled = settle(in_turn(table(1.5), table(1.5), table(1.0)), rounds=2)
    assert (settled.runs, settled.above, settled.broken) == (3, {"case `0`: annotax": 2}, ())


def test_rows_that_take_turns_have_not_broken_their_bounds() -> None:
    settled = settle(in_turn(table(1.5, 1.0), table(1.0, 1.5)), rounds=2)
    assert (settled.runs, settled.broken) == (2, ())
    assert settled.above == {"case `0`: annotax": 1, "case `1`: annotax": 1}


def test_a_group_gets_its_share_of_the_rounds_and_two_at_least() -> None:
    given: list[int] = []
    group = Group("group", lambda rounds: given.append(rounds) or table(1.0), fewer=10)
    group.run(200)
    group.run(10)
    assert given == [20, 2]


# --- the page --------------------------------------------------------------------------------------------------------

PAGE = """\
## Some title

A note.

- Limit: JAX by hand.
- annotax: 1.00 to 2.50 times raw JAX.
- Behind a peer: case `1`, 2.500; equinox 2.000.
- Above its bound in 1 of 1 run: case `1`: annotax.

![Points.](pictures/group.svg)

| case | contestant | median µs (quartiles) | ratio to jax | bound | ok |
| --- | --- | ---: | ---: | ---: | ---: |
| case `0` | jax | 10.0 (10.0 to 10.0) | 1.000 |  |  |
|  | annotax | 10.0 (10.0 to 10.0) | 1.000 | 1.02 | yes |
|  | equinox | 20.0 (20.0 to 20.0) | 2.000 |  |  |
| case `1` | jax | 10.0 (10.0 to 10.0) | 1.000 |  |  |
|  | annotax | 25.0 (25.0 to 25.0) | 2.500 | 1.02 | no |
|  | equinox | 20.0 (20.0 to 20.0) | 2.000 |  |  |
"""


def test_the_page_shows_every_row_and_says_what_is_behind_or_broken() -> None:
    page = markdown([outcome(replace(table(1.0, 2.5), picture=Picture("Points.")))], "- Machine\n", "pictures")
    assert page.endswith(PAGE)
    assert "| [Some title](#some-title) | 1.00 to 2.50 | 1 of 2 | 1 of 2 cases |" in page


def test_the_terminal_shows_every_row() -> None:
    console = Console(record=True, width=120)
    with console.capture() as shown:
        show(outcome(table(1.0, 2.5)), console)
    assert shown.get().count("annotax") >= 2
    assert "Above its bound in 1 of 1 run" in shown.get()


BARS = Picture("Bars.", by_factors=False)
POINTS = Picture("Points.")
LINES = Picture("Lines.", across=(1, 10), across_label="leaves")


@pytest.mark.parametrize("picture", [BARS, POINTS, LINES], ids=lambda picture: picture.alt)
def test_the_same_figures_give_the_same_picture(picture: Picture) -> None:
    drawn = replace(table(1.0, 2.5), picture=picture)
    first = svg(drawn)
    assert svg(drawn) == first
    root = ElementTree.fromstring(first)
    assert {"jax", "annotax", "equinox", "µs"} <= {text.strip() for text in root.itertext()}
    assert len(first) < 50_000
    assert "<dc:date>" not in first
    assert "#ffffff" not in first  # transparent


def test_pictures_heed_no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    drawn = replace(table(1.0, 2.5), picture=BARS)
    first = svg(drawn)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert svg(drawn) == first


def test_a_table_without_a_picture_is_not_drawn() -> None:
    with pytest.raises(ValueError, match="has no picture"):
        svg(table(1.0))


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> tuple[Group, ...]:
    groups = (
        Group("good", lambda rounds: replace(table(1.0), picture=BARS)),
        Group("bad", lambda rounds: table(1.5)),
    )
    monkeypatch.setattr(command, "GROUPS", groups)
    return groups


def test_the_command_writes_the_page_and_its_pictures(groups: tuple[Group, ...], tmp_path: Path) -> None:
    assert command.main(["--output", str(tmp_path / "page.md")]) == 0
    assert "![Bars.](page/good.svg)" in (tmp_path / "page.md").read_text()
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["good.svg"]


def test_the_check_fails_and_prints_what_is_broken(
    groups: tuple[Group, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--check", "--output", str(tmp_path / "page.md")]) == 1
    assert "above its bound in 3 runs out of 3: case `0`: annotax" in capsys.readouterr().out


def test_one_group_is_checked_without_a_page(groups: tuple[Group, ...], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    assert command.main(["--check", "--only", "good", "--output", str(page)]) == 0
    assert not page.exists()


def test_names_of_groups_and_titles_are_each_their_own() -> None:
    names = [group.name for group in command.GROUPS]
    assert len(names) == len(set(names))


# --- what is counted, not timed --------------------------------------------------------------------------------------


def test_counts_are_compared_with_raw_jax_and_bound() -> None:
    raw, ours = counted("case", {RAW: 4, OURS: 1}, limit=1)
    assert (raw.ratio, ours.ratio, raw.bound, ours.is_broken) == (1, 0.25, None, False)


def test_seven_spellings_are_one_trace() -> None:
    assert spelled(annotax.jit, annotax.Static[int]) == 1


def test_a_pipeline_built_in_a_loop_is_traced_once() -> None:
    import jax.numpy as jnp

    assert rebuilt(lambda f: annotax.jit(annotax.grad(f, wrt="w")), jnp.ones(3)) == 1
    assert bound_anew(annotax.jit) == 1


def test_the_training_run_has_the_steps_and_shapes_that_it_says() -> None:
    assert len(list(batches())) == STEPS
    assert len({x.shape for _, _, x, _ in batches()}) == SHAPES


def test_the_training_run_is_compiled_once_for_each_shape() -> None:
    assert compilations(runs()[OURS]) == SHAPES
