"""The model card: what a person who meets a trained model has to know of it, in Markdown.

After Mitchell et al., "Model Cards for Model Reporting", 2019: details, use, data, figures, caveats.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from networksecurity.data.schema import CLASS_LABELS, FEATURES
from networksecurity.tracking.provenance import library_versions
from networksecurity.training.candidates import DECISION_THRESHOLD, decision_threshold, get_classifier
from networksecurity.training.evaluation import precision_at

if TYPE_CHECKING:
    from networksecurity.tracking.runs import Outcome
    from networksecurity.training.threshold import ThresholdChoice

_BASE_RATES = (0.1, 0.01, 0.001)

_FIGURES = {
    "f1_score": "F1",
    "precision": "precision",
    "recall_score": "recall",
    "accuracy": "accuracy",
    "roc_auc": "area under the ROC curve",
    "average_precision": "average precision",
    "log_loss": "log loss (nats)",
    "false_positive_rate": "false positive rate",
}


def render(name: str, outcome: "Outcome") -> str:
    """Return the model card of the training called `name`."""
    best = outcome.searches[0]
    estimator = get_classifier(outcome.model)
    leakage, on_test = outcome.leakage, outcome.test.metrics
    labels = ", ".join(f"{value} = {label}" for value, label in CLASS_LABELS.items())
    facts = {
        "class": f"`{type(estimator).__module__}.{type(estimator).__qualname__}`, after an imputer",
        "parameters": ", ".join(f"`{key}={value}`" for key, value in best.best.params.items()) or "defaults",
        "output": f"{labels}; phishing from a probability of {decision_threshold(outcome.model):.4g}",
        "rows": f"{outcome.train.rows.n_rows:,} to train on, {outcome.test.rows.n_rows:,} to test",
        **{key: f"`{value}`" for key, value in outcome.tags.items()},
        "versions": ", ".join(f"{key} {value}" for key, value in library_versions().items()),
    }
    figures = markdown_table(
        ("", "train", "test"),
        ((label, f"{outcome.train.metrics[key]:.4f}", f"{on_test[key]:.4f}") for key, label in _FIGURES.items()),
    )
    by_class = markdown_table(
        ("", "precision", "recall", "F1", "rows"),
        (
            (label, f"{of.precision:.4f}", f"{of.recall:.4f}", f"{of.f1_score:.4f}", f"{of.support:,}")
            for label, of in outcome.explanation.classification_report.items()
        ),
    )
    ranking = markdown_table(
        ("model", f"mean {best.scoring}", "deviation", "grid points"),
        (
            (of.candidate, f"{of.best.mean_test_score:.4f}", f"{of.best.std_test_score:.4f}", len(of.grid))
            for of in outcome.searches
        ),
    )
    choice = outcome.threshold
    base_rates = sorted({*_BASE_RATES, choice.base_rate if choice else _BASE_RATES[0]}, reverse=True)
    precisions = markdown_table(
        ("share of phishing", "precision"),
        (
            (f"{rate:.4g}", f"{precision_at(rate, on_test['recall_score'], on_test['false_positive_rate']):.4f}")
            for rate in base_rates
        ),
    )
    return f"""# {best.candidate} · {name}

Tells phishing websites from legitimate ones by 30 features of a website's address, page and domain.

{markdown_table(("", ""), facts.items())}

## Figures

The positive class is phishing. The test rows share no feature vector with the training rows and were touched once, by
this model.

{figures}

On the test rows:

{by_class}

{on_test["false_positives"]:,.0f} legitimate websites were called phishing, {on_test["false_negatives"]:,.0f} phishing
websites legitimate.

Half of this data is phishing, the world is not. With the recall and the false positive rate of the test rows:

{precisions}

{_threshold_sentence(choice)}

## How it was chosen

By its mean {best.scoring} over {len(best.best.split_test_scores)} folds of the training rows, in which equal feature
vectors stand together.

{ranking}

## What a careless split would have said

Split at random, {leakage.random_split_seen_share:.0%} of the test rows would also stand in the training rows, and this
model's F1 would read {leakage.random_split_f1_score:.4f} instead of {on_test["f1_score"]:.4f}. (One split each:
either figure moves by about 0.01 with the seed.) No function of these features can be right on more than
{leakage.ceiling_accuracy:.2%} of the test rows, since equal ones carry both labels.

## Use and limits

- Features are -1, 0 or 1, computed from a website by rules of the data set's authors; missing values are legal, other
  values are not.
- Phishing changes. Watch the data, and train again.
- The built-in sample is synthetic: a model trained on it is for trying things out.

## Features

{", ".join(f"`{feature}`" for feature in FEATURES)}
"""


def _threshold_sentence(choice: "ThresholdChoice | None") -> str:
    if choice is None:
        return f"The decision threshold is the usual {DECISION_THRESHOLD}."
    return (
        f"The decision threshold, {choice.threshold:.4g}, was chosen on training rows that the model had not seen, "
        f"for a cost of {choice.cost_false_negative:g} of a phishing website that passes and "
        f"{choice.cost_false_positive:g} of a legitimate one that is stopped, and a share of phishing of "
        f"{choice.base_rate:.4g}: {choice.expected_cost:.4g} for the average website, against "
        f"{choice.expected_cost_at_default:.4g} at {DECISION_THRESHOLD}."
    )


def markdown_table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
