"""The model card: what people who meet a trained model need to know about it, in Markdown.

After Mitchell et al., "Model Cards for Model Reporting", 2019: details, use, data, figures, caveats.
"""

from networksecurity.data.schema import CLASS_LABELS
from networksecurity.exceptions import counted
from networksecurity.tracking.markdown import known_table, markdown_table, selection_table
from networksecurity.tracking.outcome import Outcome
from networksecurity.tracking.provenance import library_versions
from networksecurity.training.candidates import DECISION_THRESHOLD, get_classifier
from networksecurity.training.evaluation import precision_at, with_interval
from networksecurity.training.label_rule import LabelRule, rule_of
from networksecurity.training.labelling import Labelling

_BASE_RATES = (0.1, 0.01, 0.001)

_FIGURES = {
    "f1_score": "F1",
    "precision": "precision",
    "recall_score": "recall",
    "accuracy": "accuracy",
    "roc_auc": "area under the ROC curve",
    "average_precision": "average precision",
    "brier_score": "Brier score",
    "log_loss": "log loss (nats)",
    "false_positive_rate": "false positive rate",
    "coverage": "share of rows that are decided",
    "decided_f1_score": "F1 of the decided rows",
}


def render(name: str, outcome: Outcome) -> str:
    """Return the model card of the training called `name`."""
    best, on_test = outcome.searches[0], outcome.test.metrics
    limits = "\n".join(f"- {limit}" for limit in outcome.contract.limits)
    return f"""# {best.candidate} · {name}

Tells phishing websites from legitimate ones by {outcome.contract.subject}.

{_facts(outcome)}

## Figures

The positive class is phishing. The test rows share no {outcome.contract.group} with the training rows, and only this
model was tested on them.

{_figures(outcome)}

On the test rows:

{_by_class(outcome)}

{counted(int(on_test["false_positives"]), "legitimate website was", "legitimate websites were")} called phishing,
{counted(int(on_test["false_negatives"]), "phishing website")} legitimate.

Half of this data is phishing; on the web the share is far smaller. With the recall and the false positive rate of the
test rows:

{_precisions(outcome)}

{_labelling(outcome.labelling)}

{_known_section(outcome)}## How it was chosen

{_how_chosen(outcome)}

## What a careless split would report

{_careless_split(outcome)}

## Use and limits

{limits}
- Phishing changes. Monitor the data, and train again.
- The built-in sample is synthetic: a model trained on it is for trying things out.

## Features

{", ".join(f"`{column}`" for column in outcome.contract.columns)}
"""


def _known_section(outcome: Outcome) -> str:
    known = outcome.known
    if known is None:
        return ""
    groups = "\n".join(
        f"- {group}: {', '.join(f'`{name}`' for name in names)}" for group, names in known.groups.items()
    )
    return (
        "## When features are missing\n\n"
        "Features that come from the same place go missing together. It was fitted on each training row twice: as it "
        f"is,\nand with some groups of features missing.\n\n{groups}\n\n"
        "On the test rows, with all other groups hidden:\n\n"
        f"{known_table(known)}\n\nA row that lacks features is left to a person, with the label `unsure`, where this "
        f"F1 is below {known.floor:g}.\n\n"
    )


def _careless_split(outcome: Outcome) -> str:
    leakage, on_test = outcome.leakage, outcome.test.metrics
    found = (
        f"With a random split, {leakage.random_split_seen_share:.0%} of the test rows would share their "
        f"{outcome.contract.group} with a training row,\nand this model's F1 would be "
        f"{leakage.random_split_f1_score:.4f} (mean of "
        f"{len(leakage.random_split_f1_scores)} splits, 95 % interval {leakage.random_split_f1_low:.4f} to "
        f"{leakage.random_split_f1_high:.4f}) instead of\n{with_interval(on_test, 'f1_score')}."
    )
    if leakage.ceiling_accuracy == 1:
        return found
    return (
        f"{found} No function of these features can be right on more than {leakage.ceiling_accuracy:.2%} of the\n"
        "test rows, because equal rows carry both labels."
    )


def _facts(outcome: Outcome) -> str:
    best, estimator = outcome.searches[0].best, get_classifier(outcome.model)
    labels = ", ".join(f"{value} = {label}" for value, label in CLASS_LABELS.items())
    facts = {
        "class": f"`{type(estimator).__module__}.{type(estimator).__qualname__}`, after an imputer",
        "parameters": ", ".join(f"`{key}={value}`" for key, value in best.params.items()) or "defaults",
        "output": f"{labels}; {_in_words(rule_of(outcome.model))}",
        "rows": f"{outcome.train.rows.n_rows:,} to train on, {outcome.test.rows.n_rows:,} to test",
        **{key: f"`{value}`" for key, value in outcome.tags.items()},
        "versions": ", ".join(f"{key} {value}" for key, value in library_versions().items()),
    }
    return markdown_table(("", ""), facts.items())


def _figures(outcome: Outcome) -> str:
    train, test = outcome.train.metrics, outcome.test.metrics
    rows = ((label, f"{train[key]:.4f}", with_interval(test, key)) for key, label in _FIGURES.items() if key in test)
    return markdown_table(("", "train", "test (95 % interval)"), rows)


def _by_class(outcome: Outcome) -> str:
    rows = (
        (label, f"{of.precision:.4f}", f"{of.recall:.4f}", f"{of.f1_score:.4f}", f"{of.support:,}")
        for label, of in outcome.explanation.classification_report.items()
    )
    return markdown_table(("", "precision", "recall", "F1", "rows"), rows)


def _precisions(outcome: Outcome) -> str:
    choice, on_test = outcome.labelling and outcome.labelling.by_costs, outcome.test.metrics
    base_rates = {*_BASE_RATES, choice.base_rate if choice else _BASE_RATES[0]}
    rows = (
        (f"{rate:.4g}", f"{precision_at(rate, on_test['recall_score'], on_test['false_positive_rate']):.4f}")
        for rate in sorted(base_rates, reverse=True)
    )
    return markdown_table(("share of phishing", "precision"), rows)


def _how_chosen(outcome: Outcome) -> str:
    best, selection = outcome.searches[0], outcome.selection
    folds = (
        f"{len(best.best.split_test_scores)} folds of the training rows. Rows of the same {outcome.contract.group} are "
        "in the same fold."
    )
    searched = f"Each model's best grid point, by its mean {best.scoring} over {folds}\n\n{_ranking(outcome)}"
    if selection is None:
        return f"{searched}\n\nThe highest of these scores won."
    return (
        f"{searched}\n\nThese points, but for those far behind, were compared again on folds that had chosen nothing. "
        f"{selection.sentence()}\n\n{selection_table(selection)}"
    )


def _ranking(outcome: Outcome) -> str:
    rows = (
        (of.candidate, f"{of.best.mean_test_score:.4f}", f"{of.best.std_test_score:.4f}", len(of.grid))
        for of in outcome.searches
    )
    return markdown_table(("model", f"mean {outcome.searches[0].scoring}", "deviation", "grid points"), rows)


def _in_words(rule: LabelRule) -> str:
    if rule.band is None:
        return f"phishing from a probability of {rule.threshold:.4g}"
    lower, upper = rule.band
    return (
        f"phishing from a probability of {upper:.4g}, legitimate below {lower:.4g}, unsure in between (2 = unsure); by "
        f"figures of all rows, phishing from {rule.threshold:.4g}"
    )


def _labelling(labelling: Labelling | None) -> str:
    if labelling is None:
        return f"The decision threshold is the default, {DECISION_THRESHOLD}."
    sentences, choice = labelling.sentences(), labelling.by_costs
    if choice:
        sentences.append(
            f"The costs: {choice.cost_false_negative:g} for a phishing website that passes, "
            f"{choice.cost_false_positive:g} for a legitimate one that is blocked."
        )
    return "\n".join(f"- {sentence}" for sentence in sentences)
