"""The picture of a sweep's curves, read back from what matplotlib was told to draw."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from trainyard.cli.plot.figure import check_plot_file, draw, write_plot
from trainyard.cli.plot.looks import COLOURS
from trainyard.errors import UsageError
from trainyard.tracking.compare import Row
from trainyard.tracking.curves import Curve, SweepCurves, TrialCurves


def trial(
    number: int, *, best: float | None = 0.5, state: str = "finished", values: Mapping[str, Any] = {}, **metrics: Any
) -> TrialCurves:
    """A trial with `accuracy=[...]`, `loss=[...]`: the metrics val/accuracy and val/loss epoch by epoch."""
    curves = {f"val/{name}": Curve(x=tuple(range(1, len(y) + 1)), y=tuple(y)) for name, y in metrics.items()}
    row = Row(
        trial=number,
        run_id=f"run{number}",
        state=state,
        reason="",
        objectives={"val/accuracy": best},
        best_epoch=1,
        epochs=1,
        seconds=1.0,
        values=values,
    )
    return TrialCurves(row=row, values=values, curves=curves)


def sweep(trials: Sequence[TrialCurves], *, metrics: Sequence[str] = ("val/accuracy",), **options: Any) -> SweepCurves:
    facts = {"state": "finished", "objectives": (("val/accuracy", "max"),), "axis": "epoch", "of": len(trials)}
    return SweepCurves(sweep="digits-1", metrics=tuple(metrics), trials=tuple(trials), **{**facts, **options})


def lines(axes: Axes) -> dict[str, Line2D]:
    """The lines of the trials, by their labels."""
    return {str(line.get_label()): line for line in axes.lines if not str(line.get_label()).startswith("_")}


def crosses(axes: Axes) -> list[tuple[float, float]]:
    found = [line for line in axes.lines if line.get_marker() == "x"]
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in found]  # type: ignore[index]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_line_for_each_trial_and_a_legend_of_its_values() -> None:
    figure = draw(
        sweep(
            [
                trial(7, best=0.9, values={"optimizer.lr": 0.01, "model.depth": 20}, accuracy=[0.5, 0.9]),
                trial(3, best=0.8, values={"optimizer.lr": 0.001, "model.depth": 56}, accuracy=[0.4, 0.7, 0.8]),
            ]
        )
    )

    (axes,) = figure.axes
    drawn = lines(axes)
    assert list(drawn["trial 7"].get_xdata()) == [1, 2]
    assert list(drawn["trial 3"].get_ydata()) == [0.4, 0.7, 0.8]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "val/accuracy")
    assert figure.get_suptitle() == "digits-1: 2 trials"
    assert legend(figure) == [
        "trial  val/accuracy     lr  depth",
        "    7        0.9000   0.01     20",
        "    3        0.8000  0.001     56",
    ]


def test_keys_of_the_legend_are_those_of_the_lines() -> None:
    figure = draw(sweep([trial(number, accuracy=[0.1 * number, 0.5]) for number in range(9)]))

    keys = figure.legends[0].get_lines()[1:]
    looks = [(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines(figure.axes[0]).values()]
    assert [(key.get_color(), key.get_marker(), key.get_linestyle()) for key in keys] == looks[::-1]
    assert len(set(looks)) == 9


def test_a_panel_for_each_metric_side_by_side() -> None:
    trials = [trial(0, accuracy=[0.5, 0.6], loss=[1.0, 0.9]), trial(1, accuracy=[0.5, 0.7], loss=[1.0, 0.8])]
    figure = draw(sweep(trials, metrics=["val/loss", "val/accuracy"]))

    left, right = figure.axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("val/loss", "val/accuracy")
    assert left.get_subplotspec().rowspan == right.get_subplotspec().rowspan  # type: ignore[union-attr]
    assert lines(left)["trial 1"].get_color() == lines(right)["trial 1"].get_color()
    assert list(lines(left)["trial 1"].get_ydata()) == [1.0, 0.8]


def test_a_measure_on_two_splits_has_one_axis() -> None:
    curves = {name: Curve(x=(1, 2), y=y) for name, y in {"train/loss": (9.0, 0.01), "val/loss": (2.0, 1.0)}.items()}
    shown = TrialCurves(row=trial(0).row, values={}, curves={**curves, "val/accuracy": Curve(x=(1, 2), y=(0.1, 0.2))})
    figure = draw(sweep([shown], metrics=["train/loss", "val/loss", "val/accuracy"]))
    figure.canvas.draw()

    train, val, accuracy = figure.axes
    assert train.get_ylim() == val.get_ylim() != accuracy.get_ylim()
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log", "linear"]


@pytest.mark.parametrize(("count", "across", "down"), [(1, 1, 1), (3, 3, 1), (4, 2, 2), (5, 3, 2)])
def test_more_than_three_panels_take_more_rows(count: int, across: int, down: int) -> None:
    names = list("abcde"[:count])
    figure = draw(sweep([trial(0, **{name: [0.5, 0.6] for name in names})], metrics=[f"val/{name}" for name in names]))

    assert [axes.get_ylabel() for axes in figure.axes] == [f"val/{name}" for name in names]
    grid = figure.axes[0].get_gridspec()
    assert grid is not None
    assert (grid.ncols, grid.nrows) == (across, down)


class TestManyTrials:
    """More than can be told apart."""

    def many(self, **options: Any) -> Figure:
        trials = [trial(n, best=0.9 - n / 100, values={"lr": n}, accuracy=[0.1, 0.9 - n / 100]) for n in range(30)]
        return draw(sweep(trials, **options))

    def test_the_best_five_are_named(self) -> None:
        assert [line.split()[0] for line in legend(self.many())] == ["trial", "0", "1", "2", "3", "4"]

    def test_the_others_are_darker_the_better_they_are(self) -> None:
        figure = self.many()

        drawn = lines(figure.axes[0])
        assert len(drawn) == 30
        assert [to_hex(drawn[f"trial {n}"].get_color()).upper() for n in range(5)] == list(COLOURS[:5])
        brightness = [sum(drawn[f"trial {n}"].get_color()[:3]) for n in range(5, 24)]  # type: ignore[misc]
        assert brightness == sorted(brightness)
        assert figure.axes[1].get_ylabel() == "val/accuracy of the trial"

    def test_less_may_be_better_and_span_orders(self) -> None:
        trials = [trial(n, best=10.0 ** (n / 4 - 6), loss=[1.0, 0.5]) for n in range(30)]
        figure = draw(sweep(trials, metrics=["val/loss"], objectives=(("val/accuracy", "min"),)))

        drawn = lines(figure.axes[0])
        assert sum(drawn["trial 6"].get_color()[:3]) < sum(drawn["trial 20"].get_color()[:3])  # type: ignore[misc]
        assert figure.axes[1].get_yscale() == "log"

    def test_all_alike(self) -> None:
        figure = draw(sweep([trial(n, best=0.5, accuracy=[0.5]) for n in range(30)]))
        figure.canvas.draw()

        assert len(lines(figure.axes[0])) == 30

    def test_none_has_an_objective(self) -> None:
        figure = draw(sweep([trial(n, best=None, accuracy=[0.5]) for n in range(30)]))

        assert len(figure.axes) == 1


class TestNoNumbers:
    def test_a_gap_where_there_is_none(self) -> None:
        figure = draw(sweep([trial(0, accuracy=[0.5, math.nan, 0.7, math.inf, 0.8])]))

        values = list(lines(figure.axes[0])["trial 0"].get_ydata())
        assert [math.isnan(value) for value in values] == [False, True, False, True, False]
        assert figure.axes[0].get_ylim()[1] < 1

    def test_a_cross_where_a_diverged_trial_was_last_seen(self) -> None:
        trials = [trial(0, accuracy=[0.5, 0.6]), trial(1, state="diverged", accuracy=[0.4, 0.3, math.nan])]
        figure = draw(sweep(trials))

        assert crosses(figure.axes[0]) == [(2, 0.3)]
        assert legend(figure)[1:] == [
            "    0  finished        0.5000",
            "    1  diverged        0.5000",
            "failed or diverged after this",
        ]

    def test_a_pruned_trial_has_no_cross(self) -> None:
        figure = draw(sweep([trial(0, state="pruned", accuracy=[0.5])]))

        assert crosses(figure.axes[0]) == []

    def test_trials_without_a_value_are_told(self) -> None:
        figure = draw(sweep([trial(0, accuracy=[0.5]), trial(1, state="failed"), trial(2, accuracy=[math.nan])]))

        assert list(lines(figure.axes[0])) == ["trial 0"]
        assert legend(figure)[-1] == "trials 1 and 2 without a value"

    def test_one_point_is_seen(self) -> None:
        many = [trial(n, best=0.9 - n / 100, accuracy=[0.5]) for n in range(12)]
        figure = draw(sweep(many))
        figure.canvas.draw()

        assert [text.get_text() for text in figure.axes[0].get_xticklabels()].count("1") == 1
        assert {line.get_marker() for line in lines(figure.axes[0]).values()}.isdisjoint({"", "None"})


@pytest.mark.parametrize(
    ("metric", "values", "scale"),
    [
        ("loss", [50.0, 1.0, 0.1], "log"),
        ("loss", [2.3, 1.0, 0.1], "linear"),
        ("loss", [50.0, 0.1, 0.0], "log"),
        ("loss", [0.0, 0.0], "linear"),
        ("loss", [50.0, 0.1, -0.1], "linear"),
        ("accuracy", [0.005, 0.9], "linear"),
    ],
)
def test_a_loss_that_spans_orders_has_a_logarithmic_axis(metric: str, values: list[float], scale: str) -> None:
    figure = draw(sweep([trial(0, **{metric: values})], metrics=[f"val/{metric}"]))
    figure.canvas.draw()

    assert figure.axes[0].get_yscale() == scale


def test_steps_are_called_so_and_have_commas() -> None:
    curve = Curve(x=(1000, 2000), y=(0.5, 0.6))
    figure = draw(sweep([TrialCurves(row=trial(0).row, values={}, curves={"val/accuracy": curve})], axis="step"))
    figure.canvas.draw()

    axes = figure.axes[0]
    assert axes.get_xlabel() == "training step"
    assert "2,000" in [text.get_text() for text in axes.get_xticklabels()]


@pytest.mark.parametrize(
    ("options", "title"),
    [({"state": "running"}, "digits-1 running: 1 trial"), ({"of": 16}, "digits-1: the best 1 of 16 trials")],
)
def test_the_title_says_what_is_left_out(options: dict[str, Any], title: str) -> None:
    assert draw(sweep([trial(0, accuracy=[0.5])], **options)).get_suptitle() == title


def test_values_for_which_there_is_no_room_are_named() -> None:
    values = {f"augmentations.augmentation_number_{n}.p": 0.123 for n in range(9)}
    figure = draw(sweep([trial(0, values=values, accuracy=[0.5])]))

    heading, _, last = legend(figure)
    assert heading.split()[:3] == ["trial", "val/accuracy", "augmentation_number~"]
    assert last.startswith("(no room for augmentation_number~, ")


class TestFiles:
    curves = sweep([trial(0, values={"model.name": "$a_b$ 犬"}, accuracy=[0.5, 0.6])])

    def test_png(self, tmp_path: Path) -> None:
        write_plot(self.curves, tmp_path / "curves.PNG")

        with Image.open(tmp_path / "curves.PNG") as picture:
            assert picture.format == "PNG"
            assert picture.width > 1000

    def test_svg_is_the_same_every_time(self, tmp_path: Path) -> None:
        for name in ("a.svg", "b.svg"):
            write_plot(self.curves, tmp_path / name)

        assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
        assert "<svg" in (tmp_path / "a.svg").read_text()

    def test_the_users_own_settings_of_matplotlib_are_left_out_and_left_alone(self, tmp_path: Path) -> None:
        with matplotlib.rc_context({"figure.facecolor": "red", "lines.linewidth": 9.0}):
            figure = draw(self.curves)
            assert matplotlib.rcParams["figure.facecolor"] == "red"

        assert to_hex(figure.get_facecolor()) == "#ffffff"

    @pytest.mark.parametrize(("name", "got"), [("curves.pdf", ".pdf"), ("curves", "none")])
    def test_another_suffix(self, name: str, got: str) -> None:
        with pytest.raises(UsageError, match=rf"can't draw {name}: its suffix must be \.png or \.svg, got {got}\."):
            check_plot_file(Path(name))

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"can't write .*: No such file or directory\. Name another file: --plot"):
            write_plot(self.curves, tmp_path / "nowhere" / "curves.png")
