import struct

import numpy as np
from matplotlib.figure import Figure

from networksecurity.tracking import choice_figures
from networksecurity.tracking.choice_figures import draw_choice
from networksecurity.training.calibration import choose_calibration
from networksecurity.training.search import GridPoint, SearchResult
from networksecurity.training.selection import Selection, Standing


def a_search(model, *points):
    grid = tuple(
        GridPoint(
            params=params, mean_test_score=score, std_test_score=0.01, rank_test_score=rank,
            split_test_scores=(score,), mean_fit_time=1.0,
        )
        for rank, (params, score) in enumerate(points, start=1)
    )  # fmt: skip
    return SearchResult(candidate=model, scoring="f1", grid=grid, n_fits=3, seconds=1.0)


SIZED = a_search(
    "Gradient Boosting",
    ({"n_estimators": 64, "learning_rate": 0.1}, 0.95),
    ({"n_estimators": 8, "learning_rate": 0.1}, 0.90),
    ({"n_estimators": 64, "learning_rate": 0.01}, 0.80),
)
TREE = a_search("Decision Tree", ({"criterion": "gini"}, 0.91))


def test_a_choice_is_drawn_by_model_and_by_size():
    verdicts = {"Gradient Boosting": (0.0, 0.0, "best"), "Decision Tree": (-0.04, 0.01, "behind")}
    standings = tuple(
        Standing(
            model=model, mean_score=0.95 + off, std_score=0.01, difference=off, standard_error=error, verdict=verdict
        )
        for model, (off, error, verdict) in verdicts.items()
    )
    selection = Selection(scoring="f1", n_repeats=3, n_splits=3, standings=standings)
    drawn = draw_choice([SIZED, TREE], selection, None, "rows.csv")
    assert {name: struct.unpack(">II", png[16:24]) for name, png in drawn.items()} == {
        "leaderboard.png": (640, 480),
        "score_by_n_estimators.png": (640, 480),
    }
    assert draw_choice([SIZED, TREE], None, None, "rows.csv")["leaderboard.png"] != drawn["leaderboard.png"]


def test_sizes_that_learned_nothing_do_not_squeeze_the_others():
    slow = [({"n_estimators": size, "learning_rate": 0.01}, score) for size, score in ((8, 0.0), (16, 0.0), (64, 0.8))]
    search = a_search("AdaBoost", ({"n_estimators": 8, "learning_rate": 0.1}, 0.9), *slow)
    ax = Figure().subplots()
    choice_figures._sizes(choice_figures._by_size(search), "f1", ax)
    assert ax.get_ylim()[0] > 0.7
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "learning_rate=0.1",
        "learning_rate=0.01, 0 up to 16",
    ]


def test_a_winner_without_sizes_has_no_picture_of_them():
    assert set(draw_choice([TREE, SIZED], None, None, "rows.csv")) == {"leaderboard.png"}


def test_calibration_is_drawn_before_and_after_where_probabilities_are_corrected():
    generator = np.random.default_rng(0)
    probability = generator.beta(0.5, 0.5, 3_000)
    y, fold = generator.random(3_000) < probability, np.arange(3_000) % 3
    timid, good = (choose_calibration(y, of, fold, np.arange(3_000)) for of in (0.25 + probability / 2, probability))
    assert "calibration_before_and_after.png" in draw_choice([TREE], None, timid, "rows.csv")
    assert "calibration_before_and_after.png" not in draw_choice([TREE], None, good, "rows.csv")
