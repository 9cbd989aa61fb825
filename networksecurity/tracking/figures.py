"""Pictures of a model and its data, as PNG files in memory.

They are drawn on figures of their own, outside of pyplot's list of open ones, by one thread: matplotlib keeps the font
files open of each thread that has ever drawn, up to 64. It is slow to load and is imported when a picture is drawn.
"""

import textwrap
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from io import BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING, ParamSpec

import numpy as np
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay

from networksecurity.data.description import ColumnDescription, Description
from networksecurity.monitoring.drift import DriftReport
from networksecurity.training.explanation import Explanation
from networksecurity.training.known_features import KnownFeatures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 100
BLUE, VERMILION, GREY = "#0072b2", "#d55e00", "#777777"
"""Of Okabe and Ito's palette: told apart by people who see colours differently, and in grey."""
_COLORS = {"legitimate": BLUE, "phishing": VERMILION}
_MOST_BARS = 30
"""Features whose importance is drawn, the most important first."""
_MOST_COLUMNS = 40
"""Columns whose distance from the reference is drawn."""
_MOST_LETTERS = 48
"""Of a feature's description beside a bar."""

_DRAWING = ThreadPoolExecutor(1, "drawing")
_P = ParamSpec("_P")


def _drawn_by_one_thread(function: Callable[_P, bytes]) -> Callable[_P, bytes]:
    @wraps(function)
    def wait(*args: _P.args, **kwargs: _P.kwargs) -> bytes:
        return _DRAWING.submit(function, *args, **kwargs).result()

    return wait


def draw(
    explanation: Explanation, title: str, descriptions: Mapping[str, str] = MappingProxyType({})
) -> dict[str, bytes]:
    """Return the pictures of an explanation.

    Parameters
    ----------
    title : str
        Above each picture: which model, on which rows.
    descriptions : mapping of str to str, optional
        What to call the features: see `Contract.descriptions`.

    Returns
    -------
    pictures : dict of str to bytes
        PNG files by name, of 640 by 480 pixels; `permutation_importance.png` is 640 high.
    """
    pictures = {
        "confusion_matrix.png": ("Confusion matrix", _confusion_matrix, 480),
        "roc_curve.png": ("ROC curve", _roc_curve, 480),
        "precision_recall_curve.png": ("Precision and recall", _precision_recall_curve, 480),
        "calibration_curve.png": ("Calibration", _calibration_curve, 480),
        "permutation_importance.png": ("Importance of features", partial(_permutation_importance, descriptions), 640),
    }
    return {
        name: picture(f"{what} · {title}", partial(plot, explanation), height=height)
        for name, (what, plot, height) in pictures.items()
    }


def draw_overview(explanation: Explanation, title: str) -> bytes:
    """Return confusion matrix, ROC and precision-recall curve side by side, as PNG of 960 by 320 pixels.

    It is kept small because it is shown inside a text.
    """
    from PIL import Image  # matplotlib writes its PNG files with it

    plots = (_confusion_matrix, _roc_curve, _precision_recall_curve)
    drawn = picture(title, *(partial(plot, explanation) for plot in plots), width=960, height=320, dpi=80)
    small = BytesIO()
    Image.open(BytesIO(drawn)).convert("RGB").quantize(64).save(small, format="png", optimize=True)
    return small.getvalue()


def draw_drift(report: DriftReport, title: str) -> bytes:
    """Return a picture of the distance of each column from its reference, as PNG of 640 by 720 pixels."""
    return picture(title, partial(_drift, report), height=720)


def draw_known(known: KnownFeatures, title: str) -> bytes:
    """Return a picture of F1 by what is known of a row, as PNG of 640 pixels width."""
    height = 160 + 22 * len(known.sets)
    return picture(f"F1 by what is known · {title}", partial(_known, known), height=height)


@_drawn_by_one_thread
def draw_values(description: Description, title: str) -> bytes:
    """Return a picture of each column's values in the two classes, as PNG of 960 pixels width."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    columns = [column for column in description.columns if column.counts or column.quartiles][:_MOST_COLUMNS]
    n_across = 5
    n_down = max(1, -(-len(columns) // n_across))
    figure = Figure(figsize=(9.6, 0.6 + 1.5 * n_down), dpi=_DPI, layout="constrained")
    figure.suptitle(textwrap.fill(title, 100, break_on_hyphens=False), parse_math=False)
    axes = figure.subplots(n_down, n_across, squeeze=False).flat
    n_of = {"legitimate": description.n_rows - description.n_phishing, "phishing": description.n_phishing}
    for ax, column in zip(axes, columns, strict=False):
        _values_by_class(column, n_of, ax)
    for ax in axes[len(columns) :]:
        ax.set_axis_off()
    handles = [Patch(color=color, label=f"{side} ({n_of[side]:,} rows)") for side, color in _COLORS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize="small")
    png = BytesIO()
    figure.savefig(png, format="png", dpi=_DPI)
    return png.getvalue()


def _values_by_class(column: ColumnDescription, n_of: dict[str, int], ax: "Axes") -> None:
    """Draw the share of each class that has a value, or where the middle half of its numbers is."""
    for place, (side, color) in enumerate(_COLORS.items()):
        if column.counts:
            shares = [counts[place] / max(1, n_of[side]) for counts in column.counts.values()]
            ax.bar(np.arange(len(shares)) + (place - 0.5) * 0.4, shares, width=0.4, color=color)
        elif side in column.quartiles:
            low, middle, high = column.quartiles[side]
            ax.barh(place, high - low, left=low, height=0.5, color=color)
            ax.plot([middle, middle], [place - 0.25, place + 0.25], color="white", linewidth=2)
    if column.counts:
        ax.set_xticks(range(len(column.counts)), list(column.counts), fontsize="x-small")
        ax.set_ylim(0, 1)
        ax.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"], fontsize="x-small")
    else:
        ax.set_yticks([])
        ax.tick_params(labelsize="x-small")
    ax.set_title(_short(column.name, 28), fontsize="small", parse_math=False)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def draw_nothing() -> None:
    """Load matplotlib and its fonts, which make the first picture of a process slow."""
    picture("", lambda _: None, height=480)


@_drawn_by_one_thread
def picture(title: str, *plots: Callable[["Axes"], None], width: int = 640, height: int, dpi: int = _DPI) -> bytes:
    """Return, as PNG of `width` by `height` pixels, what each of `plots` draws on the axes it is given."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi, layout="constrained")
    figure.suptitle(textwrap.fill(title, 70 * width // 640, break_on_hyphens=False), parse_math=False)
    for ax, plot in zip(figure.subplots(1, len(plots), squeeze=False).flat, plots, strict=True):
        plot(ax)
    png = BytesIO()
    figure.savefig(png, format="png", dpi=dpi)
    return png.getvalue()


def style(ax: "Axes") -> None:
    """Give axes the look that all pictures share: a light grid behind, and no frame where nothing is read off."""
    ax.grid(visible=True, color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _confusion_matrix(explanation: Explanation, ax: "Axes") -> None:
    matrix = explanation.confusion_matrix
    counts = np.array(matrix.counts)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    display = ConfusionMatrixDisplay(shares, display_labels=matrix.labels)
    display.plot(ax=ax, cmap="Blues", colorbar=False, im_kw={"vmin": 0, "vmax": 1}, text_kw={"fontsize": "x-large"})
    for text, count, share in zip(display.text_.flat, counts.flat, shares.flat, strict=True):
        text.set_text(f"{count:,}\n{share:.1%}")
    ax.set_xlabel("Predicted label (shares are of the true label)")


def _roc_curve(explanation: Explanation, ax: "Axes") -> None:
    curve, ((tn, fp), (fn, tp)) = explanation.roc_curve, explanation.confusion_matrix.counts
    at = fp / max(1, tn + fp), tp / max(1, fn + tp)
    _curve_with_corner(ax, np.array(curve.fpr), np.array(curve.tpr), f"AUC = {curve.auc:.4f}", at, corner=(0.0, 1.0))
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="by chance (AUC = 0.5)")
    ax.set(xlabel="False positive rate", ylabel="True positive rate (recall)")
    ax.legend(loc="lower right", fontsize="small")


def _precision_recall_curve(explanation: Explanation, ax: "Axes") -> None:
    curve, ((tn, fp), (fn, tp)) = explanation.precision_recall_curve, explanation.confusion_matrix.counts
    prevalence, at = (fn + tp) / (tn + fp + fn + tp), (tp / max(1, fn + tp), tp / max(1, fp + tp))
    name = f"AP = {curve.average_precision:.4f}"
    _curve_with_corner(ax, np.array(curve.recall), np.array(curve.precision), name, at, corner=(1.0, 1.0))
    ax.axhline(prevalence, color=GREY, linestyle=":", label=f"by chance (AP = {prevalence:.2f})")
    ax.set(xlabel="Recall", ylabel="Precision", ylim=(0, 1.03))
    ax.legend(loc="lower left", fontsize="small")


def _curve_with_corner(
    ax: "Axes", x: np.ndarray, y: np.ndarray, name: str, at: tuple[float, float], *, corner: tuple[float, float]
) -> None:
    """Draw a curve, mark the decision threshold, and enlarge the corner in which good models differ."""
    style(ax)
    reach = max(0.1, 1.5 * abs(at[0] - corner[0]), 1.5 * abs(at[1] - corner[1]))
    enlarged = ax.inset_axes((0.32, 0.3, 0.45, 0.45))
    for part in (ax, enlarged):
        part.plot(x, y, color=BLUE, drawstyle="steps-post", label=name)
        part.plot(*at, "o", color=VERMILION, label=f"decision threshold ({at[0]:.3f}, {at[1]:.3f})")
    left = 0.0 if corner[0] == 0 else 1 - reach
    enlarged.set_xlim(left, left + reach)
    enlarged.set_ylim(1 - reach, 1)
    enlarged.tick_params(labelsize="x-small")
    style(enlarged)
    ax.indicate_inset_zoom(enlarged, edgecolor=GREY)


def _calibration_curve(explanation: Explanation, ax: "Axes") -> None:
    curve = explanation.calibration_curve
    display = CalibrationDisplay(np.array(curve.prob_true), np.array(curve.prob_pred), None, pos_label="phishing")
    display.plot(ax=ax, name=f"Brier score = {curve.brier_score:.4f}", color=BLUE)
    style(ax)
    top = ax.secondary_xaxis("top")
    top.set_xticks(curve.prob_pred, [f"{count:,}" for count in curve.count], rotation=45, fontsize="small")
    top.set_xlabel("Rows per bin")


def _permutation_importance(descriptions: Mapping[str, str], explanation: Explanation, ax: "Axes") -> None:
    importances = explanation.permutation_importance[:_MOST_BARS]
    if not importances:
        ax.set_axis_off()
        ax.text(0.5, 0.5, "This model does not learn from single features.", ha="center", transform=ax.transAxes)
        return
    names = [descriptions.get(of.feature, of.feature.replace("_", " ")) for of in importances]
    ax.barh(
        range(len(names)),
        [importance.mean for importance in importances],
        xerr=[importance.std for importance in importances],
        color=BLUE,
        ecolor=GREY,
    )
    style(ax)
    ax.set_yticks(range(len(names)), [_short(name, _MOST_LETTERS) for name in names], parse_math=False)
    ax.invert_yaxis()
    ax.margins(y=0.01)
    ax.tick_params(labelsize="small")
    ax.set_xlabel("Decrease of F1 when shuffled (mean, std)")


def _known(known: KnownFeatures, ax: "Axes") -> None:
    for place, of in enumerate(sorted(known.sets, key=lambda of: of.f1_score)):
        enough = of.f1_score >= known.floor
        color = BLUE if enough else VERMILION
        ax.plot([of.f1_low, of.f1_high], [place, place], color=color)
        ax.plot(of.f1_score, place, "o" if enough else "s", color=color)
    names = [", ".join(of.groups) for of in sorted(known.sets, key=lambda of: of.f1_score)]
    style(ax)
    ax.set_yticks(range(len(names)), names, fontsize="x-small")
    ax.axvline(known.floor, color=GREY, linestyle=":", label=f"below {known.floor:g} a label is unsure")
    ax.set_xlabel("F1 on the test rows, with its 95 % interval")
    ax.margins(y=0.02)
    ax.legend(loc="lower right", fontsize="small")


def _drift(report: DriftReport, ax: "Axes") -> None:
    compared = [column for column in report.columns if column.psi is not None or column.verdict == "drift"]
    drifted = [(column.name, column.psi or 0.0, column.verdict == "drift") for column in compared or report.columns]
    if len(drifted) > _MOST_COLUMNS:  # those that drifted, then those farthest from their reference
        drifted = sorted(drifted, key=lambda of: (not of[2], -of[1]))[:_MOST_COLUMNS]
    names, psi, red = zip(*drifted, strict=True)
    bars = ax.barh(names, psi, color=[VERMILION if each else BLUE for each in red])
    for bar, each in zip(bars, red, strict=True):
        bar.set_hatch("//" if each else "")
    style(ax)
    ax.axvline(report.thresholds.psi, color="black", linestyle=":", label=f"PSI {report.thresholds.psi:g} matters")
    ax.set_xscale("symlog", linthresh=0.001)
    ax.set_xlim(left=0)
    ax.invert_yaxis()
    ax.margins(y=0.01)
    ax.tick_params(labelsize="small")
    ax.set_xlabel("Population stability index (hatched: drifted)")
    ax.legend(loc="lower right")
