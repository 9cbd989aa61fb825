"""Time that the reasons for the prediction of one row take, model by model.

Usage: python benchmarks/reasons.py [--rows 100] [--rounds 3]
Fits each kind of model, with 256 trees where it has trees to count, on the built-in sample, and explains rows one at a
time; the service adds a request's own time. With `gaps`, the rows behind the model miss a twentieth of their values: a
missing value is then one more to try for each feature. Wall time.
"""

import argparse
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks import measure

TARGETS = {"Gradient Boosting": 10, "Random Forest": 40}
"""Milliseconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    import numpy as np

    from networksecurity.data.contracts import WEBSITES
    from networksecurity.data.sample import make_phishing_websites
    from networksecurity.data.schema import FEATURES, to_X, to_X_y
    from networksecurity.data.validation import validate
    from networksecurity.monitoring.profile import reference_profile
    from networksecurity.prediction.alternatives import FeatureValues, shares_of
    from networksecurity.prediction.native import prepare
    from networksecurity.prediction.reasons import Explainer
    from networksecurity.tracking.model import probe_rows
    from networksecurity.training.candidates import CANDIDATES
    from networksecurity.training.search import available_cores, fit_best

    complete = validate(make_phishing_websites(random_state=0)).accepted
    gaps = np.random.default_rng(0).random((len(complete), len(FEATURES))) < 0.05
    gapped = complete.assign(**{name: complete[name].mask(gaps[:, j]) for j, name in enumerate(FEATURES)})
    X = to_X(validate(make_phishing_websites(options.rows, random_state=1)).accepted).to_numpy()
    for name, candidate in CANDIDATES.items():
        most = {"n_estimators": 256} if "n_estimators" in candidate.param_grid else {}
        fitted = fit_best(candidate, most, *to_X_y(complete), random_state=0, feature_groups=WEBSITES.feature_groups)
        model = prepare(fitted, probe_rows(), available_cores())
        for case, rows in (("", complete), (", gaps", gapped)):
            explainer = Explainer(model, FeatureValues(shares_of(reference_profile(rows, data_sha256=""))))

            def one_by_one(explainer: Explainer = explainer) -> float:
                seconds = []
                for i in range(len(X)):
                    started = time.perf_counter()
                    explainer.explain(X[[i]])
                    seconds.append(time.perf_counter() - started)
                return 1e3 * float(np.median(seconds))

            one_by_one()  # warm-up
            found = measure.take_turns({name: one_by_one}, options.rounds)[name]
            target = f"<= {TARGETS[name]}" if name in TARGETS else ""
            measure.report(f"reasons for one row, ms, {name}{case}", found, target, digits=1)


if __name__ == "__main__":
    main()
