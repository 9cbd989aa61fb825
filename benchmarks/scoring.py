"""Predictions of a million rows by `scoring.score`, against the pipeline's bare `predict_proba` on float64.

Usage: python benchmarks/scoring.py [--rows 1000000] [--rounds 3]
The model is Gradient Boosting of 256 stages, fitted on the built-in sample; the rows are of the same sample, and all of
the frame's work (int8 to float64, labels) is in the time of `score`, while `predict_proba` is given its array.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    from networksecurity.candidates import CANDIDATES
    from networksecurity.sample import make_phishing_websites
    from networksecurity.schema import to_X_y, validate
    from networksecurity.scoring import SCORE, score
    from networksecurity.search import fit_best

    best = {"learning_rate": 0.1, "n_estimators": 256, "subsample": 0.75}
    learned = validate(make_phishing_websites(random_state=0)).accepted
    model = fit_best(CANDIDATES["Gradient Boosting"], best, *to_X_y(learned))
    rows = validate(make_phishing_websites(options.rows, random_state=1)).accepted
    X, _ = to_X_y(rows)
    answers = {}

    def timed(name, predict) -> float:
        started = time.perf_counter()
        answers[name] = predict()
        return time.perf_counter() - started

    cases = {
        "score": lambda: timed("score", lambda: score(model, rows)),
        "predict_proba": lambda: timed("predict_proba", lambda: model.predict_proba(X)[:, 1]),
    }
    found = measure.take_turns(cases, options.rounds)
    if not (abs(answers["score"][SCORE] - answers["predict_proba"]) <= 1e-9).all():
        sys.exit("score and predict_proba do not agree")
    for case, seconds in found.items():
        print(f"{case:13}: {measure.spread(seconds)} s (min / median / max)")
    name = f"scoring {options.rows:,} rows ÷ predict_proba"
    measure.report(name, measure.ratios(found["score"], found["predict_proba"]), "<= 1.1")


if __name__ == "__main__":
    main()
