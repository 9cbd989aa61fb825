"""A training as people read it: table, Markdown, terminal."""

import json
from base64 import b64encode
from typing import Any

from pydantic import BaseModel
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from networksecurity.champion.decision import Decision
from networksecurity.champion.gate import PromotionMode
from networksecurity.tracking.markdown import markdown_table
from networksecurity.tracking.server import model_version_url, run_url, ui_command
from networksecurity.training.leakage import LeakageLedger
from networksecurity.training.search import SearchResult
from networksecurity.training.threshold import ThresholdChoice

_SHOWN = (
    "f1_score",
    "precision",
    "recall_score",
    "accuracy",
    "roc_auc",
    "average_precision",
    "log_loss",
    "false_positive_rate",
)


class LeaderboardRow(BaseModel, frozen=True):
    """One model's best grid point, by its cross-validated score."""

    rank: int
    model: str
    cv_score: float
    cv_std: float
    params: dict[str, Any]
    grid_points: int
    seconds: float
    """Wall time of the search when it was computed."""
    from_cache: bool

    @classmethod
    def of(cls, rank: int, result: SearchResult, *, from_cache: bool) -> "LeaderboardRow":
        """Return the row of a search that came in at `rank`."""
        return cls(
            rank=rank,
            model=result.candidate,
            cv_score=result.best.mean_test_score,
            cv_std=result.best.std_test_score,
            params=result.best.params,
            grid_points=len(result.grid),
            seconds=result.seconds,
            from_cache=from_cache,
        )

    def to_table(self) -> dict[str, Any]:
        """Return the row as the cells that people see."""
        return {
            "rank": self.rank,
            "model": self.model,
            "cv score": f"{self.cv_score:.4f} ± {self.cv_std:.4f}",
            "best parameters": ", ".join(f"{name}={value}" for name, value in self.params.items()) or "-",
            "grid points": self.grid_points,
            "search": "from the cache" if self.from_cache else f"{self.seconds:.1f} s",
        }


class TrainingReport(BaseModel, frozen=True):
    """The outcome of a training, in plain values."""

    name: str
    source: str
    data_sha256: str
    validation: dict[str, Any]
    quarantine: str | None
    split: dict[str, Any]
    scoring: str
    leaderboard: list[LeaderboardRow]
    failed: dict[str, str]
    train_metrics: dict[str, float]
    test_metrics: dict[str, float]
    leakage: LeakageLedger
    threshold: ThresholdChoice | None
    """How the decision threshold was chosen; None where it is the usual one."""
    tracking: str
    """Address of the tracking server."""
    experiment_id: str
    train_run_id: str
    test_run_id: str
    model_name: str
    model_version: str
    promotion: PromotionMode
    decision: Decision | None
    """What the gate found; None where it was not asked."""

    def promotion_sentence(self) -> str:
        """Return in one line whether the model replaces the champion, and why."""
        if self.decision is None:
            return f"not considered: --promotion is {self.promotion}"
        if self.decision.outcome == "keep":
            found = (
                f"version {self.decision.champion} stays" if self.decision.champion else "there is still no champion"
            )
        else:
            found = "would be promoted (dry run)" if self.promotion == "dry-run" else "promoted"
        return f"{found}: {self.decision.reasons[0]}"

    def links(self) -> dict[str, tuple[str, str]]:
        """Return text and address of the pages in the tracking UI."""
        return {
            "train-run": (f"train-{self.name}", run_url(self.tracking, self.experiment_id, self.train_run_id)),
            "test-run": (f"test-{self.name}", run_url(self.tracking, self.experiment_id, self.test_run_id)),
            "model-version": (
                f"{self.model_name} {self.model_version}",
                model_version_url(self.tracking, self.model_name, self.model_version),
            ),
        }


def _threshold_lines(report: TrainingReport) -> list[str]:
    """Return how the decision threshold was chosen, and what that is worth, a sentence each."""
    choice = report.threshold
    if choice is None:
        return []
    lines = [
        (
            f"Decision threshold {choice.threshold:.4f}: the average website costs {choice.expected_cost:.4g}, at 0.5 "
            f"{choice.expected_cost_at_default:.4g} (out of fold, phishing {choice.base_rate:.4g} of all)."
        )
    ]
    trivial = min(choice.expected_cost_of_never, choice.expected_cost_of_always)
    if trivial < choice.expected_cost:
        what = "nothing" if trivial == choice.expected_cost_of_never else "everything"
        lines.append(f"With these costs it would be cheaper, {trivial:.4g}, to call {what} phishing.")
    if "precision_at_base_rate" in report.test_metrics:
        lines.append(
            f"Where {choice.base_rate:.4g} of all websites are phishing, precision is "
            f"{report.test_metrics['precision_at_base_rate']:.4f} (test rows: {report.test_metrics['precision']:.4f})."
        )
    return lines


def _data_sentence(report: TrainingReport) -> str:
    validation, split = report.validation, report.split
    return (
        f"{validation['n_accepted']:,} rows of {report.source} ({validation['phishing_share']:.1%} phishing, "
        f"{validation['n_rejected']:,} set aside): {split['n_train']:,} to train on, {split['n_test']:,} to test, "
        f"{split['shared_vectors']} feature vectors on both sides"
    )


def inline_picture(png: bytes, alt: str) -> str:
    """Return Markdown that holds a picture itself, which Prefect's pages show and no other place has to serve."""
    return f"![{alt}](data:image/png;base64,{b64encode(png).decode()})"


def training_markdown(report: TrainingReport, picture: bytes) -> str:
    """Return the report artifact of a training; `picture` is a PNG file of the winner's curves."""
    rows = [row.to_table() for row in report.leaderboard]
    confusion = {name: int(report.test_metrics[name]) for name in report.test_metrics if name.endswith("tives")}
    lines = [
        f"# Training {report.name}",
        "",
        f"{_data_sentence(report)}.",
        "",
        (
            f"**{report.leaderboard[0].model}** won by its mean {report.scoring} over grouped folds of the training "
            "rows. The test rows were touched once, by the winner. The positive class is phishing."
        ),
        "",
        "## Leaderboard",
        "",
        markdown_table(list(rows[0]), [list(row.values()) for row in rows]),
        "",
        *(f"- {model} could not be trained: {why}" for model, why in report.failed.items()),
        "## The winner",
        "",
        markdown_table(
            ("", "train", "test"),
            [(name, f"{report.train_metrics[name]:.4f}", f"{report.test_metrics[name]:.4f}") for name in _SHOWN],
        ),
        "",
        "On the test rows: "
        + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in confusion.items())
        + ".",
        "",
        inline_picture(picture, "confusion matrix, ROC and precision-recall curve on the test rows"),
        "",
        *(f"{line}\n" for line in _threshold_lines(report)),
        (
            f"Split at random, {report.leakage.random_split_seen_share:.0%} of the test rows would be training rows, "
            f"and F1 would read {report.leakage.random_split_f1_score:.4f}."
        ),
        "",
        "## Promotion",
        "",
        report.promotion_sentence(),
        "",
        "## Data",
        "",
        f"- fingerprint (SHA-256) `{report.data_sha256}`",
        *([f"- rows set aside: `{report.quarantine}`"] if report.quarantine else []),
        f"- split: `{json.dumps(report.split)}`",
        "",
        "## Where it is",
        "",
        f"- on the tracking server `{report.tracking}`",
        *(f"- [{text}]({link})" for text, link in report.links().values()),
    ]
    return "\n".join(lines)


def promotion_markdown(report: TrainingReport) -> str:
    """Return the artifact of a decision about the champion."""
    decision = report.decision
    assert decision is not None
    columns = {"all test rows": {**decision.figures, "generalisation gap": decision.generalisation_gap}}
    if found := decision.comparison:
        columns |= {"candidate": found.candidate, f"champion, version {decision.champion}": found.champion}
    lines = [
        f"# {report.model_name} {report.model_version}: {report.promotion_sentence()}",
        "",
        *(f"- {reason}" for reason in decision.reasons),
        "",
        markdown_table(
            ("", *columns),
            [
                (name, *(f"{figures[name]:.4f}" if name in figures else "" for figures in columns.values()))
                for name in (*_SHOWN, "generalisation gap")
            ],
        ),
    ]
    if found := decision.comparison:
        lines += ["", f"Candidate and champion on {found.n_rows:,} rows with {found.n_vectors:,} feature vectors."]
    return "\n".join(lines)


def show_training(report: TrainingReport) -> None:
    """Print a training's outcome to the terminal."""
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 160  # a file or a log: no line is cut
    table = Table(title=f"Training {report.name}", title_justify="left", box=SIMPLE)
    rows = [row.to_table() for row in report.leaderboard]
    for name in rows[0]:
        table.add_column(name, justify="right" if name in {"rank", "grid points"} else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row.values()))
    console.print(table)
    console.print(escape(_data_sentence(report)))
    for name in _SHOWN[:3]:
        console.print(f"{name:>12}   train {report.train_metrics[name]:.4f}   test {report.test_metrics[name]:.4f}")
    for line in _threshold_lines(report):
        console.print(escape(line))
    for model, why in report.failed.items():
        console.print(f"[yellow]left out[/yellow] {escape(model)}: {escape(why)}")
    for key, (text, link) in report.links().items():
        console.print(f"{key.replace('-', ' '):>13}  {escape(text)}\n               {escape(link)}")
    console.print(f"    promotion  {escape(report.promotion_sentence())}")
    if command := ui_command(report.tracking):
        console.print(f"The pages are there while this runs:\n  {escape(command)}")
