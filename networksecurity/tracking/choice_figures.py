"""Pictures of how a winner was chosen: models beside each other, the way through a grid, and its calibration."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from networksecurity.tracking.figures import BLUE, GREY, VERMILION, picture, style
from networksecurity.training.calibration import CalibrationChoice, CalibrationCurve
from networksecurity.training.search import SearchResult
from networksecurity.training.selection import Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = (BLUE, VERMILION, "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = "osD^vX"
_HALF_A_BAR = 0.01


def draw_choice(
    searches: Sequence[SearchResult], selection: Selection | None, calibration: CalibrationChoice | None, title: str
) -> dict[str, bytes]:
    """Return the pictures of a choice among models, by file name, as PNG of 640 by 480 pixels.

    `leaderboard.png` holds the models' mean scores with their standard errors, and which are tied with the best;
    `score_by_n_estimators.png` the winner's score by its size, a line for each learning rate, if it has sizes;
    `calibration_before_and_after.png` its out-of-fold probabilities, if they are calibrated.
    """
    drawn = {"leaderboard.png": picture(f"Models · {title}", partial(_leaderboard, searches, selection), height=480)}
    lines = _by_size(searches[0])
    if len({size for line in lines.values() for size in line}) > 1:
        what = f"Score by n_estimators · {searches[0].candidate}, {title}"
        drawn["score_by_n_estimators.png"] = picture(what, partial(_sizes, lines, searches[0].scoring), height=480)
    after = calibration.chosen if calibration else None
    if calibration and calibration.curve and after and after.curve:
        what = f"Calibration before and after · {searches[0].candidate}, out of fold, {title}"
        curves = {"the model's own": calibration.curve, after.method: after.curve}
        drawn["calibration_before_and_after.png"] = picture(what, partial(_calibration, curves), height=480)
    return drawn


def _leaderboard(searches: Sequence[SearchResult], selection: Selection | None, ax: "Axes") -> None:
    for place, result in enumerate(reversed(searches)):
        standing = selection.of(result.candidate) if selection else None
        if standing is None:
            score, error, verdict = result.best.mean_test_score, result.best.std_test_score, "search only"
        else:
            score, error, verdict = standing.mean_score, standing.standard_error, standing.verdict
        color = GREY if standing is None else VERMILION if verdict == "behind" else BLUE
        marker = "o" if color == BLUE else "s" if color == VERMILION else "D"
        ax.errorbar(score, place, xerr=error, fmt=marker, color=color, capsize=4)
        ax.annotate(f"{score:.4f} {verdict}", (score, place), (0, 8), textcoords="offset points", ha="center")
    style(ax)
    ax.set_yticks(range(len(searches)), [result.candidate for result in reversed(searches)])
    ax.margins(x=0.25, y=0.15)
    of = "repeated folds; bars: standard error of the difference to the best" if selection else "folds; bars: deviation"
    ax.set_xlabel(f"Mean {searches[0].scoring} over {of}", fontsize="small")


def _by_size(result: SearchResult) -> dict[str, dict[int, float]]:
    """Return the best score of each size, by learning rate; one line for a model without."""
    lines: dict[str, dict[int, float]] = defaultdict(dict)
    for point in result.grid:
        size, rate = point.params.get("n_estimators"), point.params.get("learning_rate")
        if isinstance(size, int):
            line = lines["" if rate is None else f"learning_rate={rate:g}"]
            line[size] = max(point.mean_test_score, line.get(size, point.mean_test_score))
    return lines


def _sizes(lines: dict[str, dict[int, float]], scoring: str, ax: "Axes") -> None:
    for (name, line), color, marker in zip(lines.items(), _LINES, _MARKERS, strict=False):
        sizes = [size for size in sorted(line) if line[size]]  # a score of 0 would squeeze the others into one line
        useless = max((size for size in line if not line[size]), default=None)
        label = name if useless is None else f"{name}, 0 up to {useless}".removeprefix(", ")
        ax.plot(sizes, [line[size] for size in sizes], marker=marker, color=color, label=label)
    style(ax)
    ax.set_xscale("log", base=2)
    sizes = sorted({size for line in lines.values() for size in line})
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    ax.set(xlabel="n_estimators", ylabel=f"Mean {scoring} over the folds, the best of each size")
    if any(lines):
        ax.legend(fontsize="small")


def _calibration(curves: dict[str, CalibrationCurve], ax: "Axes") -> None:
    """Draw the curve before and the one after; bars at the foot tell how many of the rows each point stands for."""
    looks = ((VERMILION, "s", -_HALF_A_BAR), (BLUE, "o", _HALF_A_BAR))
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfectly calibrated")
    for (name, curve), (color, marker, aside) in zip(curves.items(), looks, strict=True):
        label = f"{name} (Brier score {curve.brier_score:.4f})"
        ax.plot(curve.prob_pred, curve.prob_true, color=color, marker=marker, label=label)
        places, shares = [at + aside for at in curve.prob_pred], [count / sum(curve.count) for count in curve.count]
        ax.bar(places, shares, width=2 * _HALF_A_BAR, color=color, alpha=0.35)
    style(ax)
    ax.set(xlabel="Mean predicted probability of phishing", ylabel="Share of phishing (bars: share of the rows)")
    ax.legend(loc="upper left", fontsize="small")
