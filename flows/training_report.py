"""What a training found: its tags and parameters in MLflow, its artifacts, its outcome in the terminal."""

import json
from collections.abc import Sequence
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from pydantic import BaseModel

from networksecurity.champion.decision import Decision
from networksecurity.champion.gate import PromotionMode
from networksecurity.champion.registry import RANDOM_STATE_TAG, TEST_SIZE_TAG, WATERMARK_TAG
from networksecurity.data.files import File
from networksecurity.data.sources import Source
from networksecurity.data.storage import DataRef
from networksecurity.tracking import provenance
from networksecurity.tracking.markdown import known_table, markdown_table, selection_table
from networksecurity.tracking.outcome import CONTRACT_SHA256_TAG, CONTRACT_TAG, PARAMETERS_TAG
from networksecurity.tracking.server import experiment_url, model_version_url, run_url, ui_command
from networksecurity.training.candidates import DECISION_THRESHOLD
from networksecurity.training.evaluation import DECIDED, FIGURES, interval_of, with_interval
from networksecurity.training.known_features import KnownFeatures
from networksecurity.training.labelling import Labelling
from networksecurity.training.leakage import LeakageLedger
from networksecurity.training.search import SearchResult
from networksecurity.training.selection import Selection

from .parameters import TrainParameters
from .report import Summary, inline_picture
from .rows import contract_of
from .training_steps import Fetched, Winner

_LOGGED = {"test_size", "cv", "scoring", "imputer", "random_state"}


class LeaderboardRow(BaseModel, frozen=True):
    """One model's best grid point, and how it compares with the other models'."""

    rank: int
    model: str
    cv_score: float
    cv_std: float
    repeated_score: float | None
    """Mean score on the repeated folds; None if the model was not compared there."""
    verdict: str
    """Of that comparison; empty if there was none."""
    params: dict[str, Any]
    grid_points: int
    seconds: float
    """Wall time of the search when it was computed."""
    from_cache: bool

    @classmethod
    def of(cls, rank: int, result: SearchResult, selection: Selection | None, *, from_cache: bool) -> "LeaderboardRow":
        """Return the row of the search at `rank`."""
        standing = selection.of(result.candidate) if selection else None
        return cls(
            rank=rank,
            model=result.candidate,
            cv_score=result.best.mean_test_score,
            cv_std=result.best.std_test_score,
            repeated_score=standing.mean_score if standing else None,
            verdict=standing.verdict if standing else "not compared" if selection else "",
            params=result.best.params,
            grid_points=len(result.grid),
            seconds=result.seconds,
            from_cache=from_cache,
        )

    def to_table(self) -> dict[str, Any]:
        """Return the row's cells."""
        repeated = "" if self.repeated_score is None else f"{self.repeated_score:.4f} "
        return {
            "rank": self.rank,
            "model": self.model,
            "cv score": f"{self.cv_score:.4f} ± {self.cv_std:.4f}",
            **({"on repeated folds": f"{repeated}{self.verdict}"} if self.verdict else {}),
            "best parameters": self.settings(),
            "grid points": self.grid_points,
            "search": "from the cache" if self.from_cache else f"{self.seconds:.1f} s",
        }

    def to_narrow_table(self) -> dict[str, Any]:
        """Return the cells that fit a terminal of 80 columns."""
        cells = self.to_table()
        repeated = cells.get("on repeated folds", "").removesuffix(" with the best")
        return {
            "#": self.rank,
            **{name: cells[name] for name in ("model", "cv score")},
            **({"repeated folds": repeated} if repeated else {}),
            "search": "cached" if self.from_cache else cells["search"],
        }

    def settings(self) -> str:
        """Return the best parameters, in one line."""
        return ", ".join(f"{name}={value}" for name, value in self.params.items()) or "-"


class TrainingReport(BaseModel, frozen=True):
    """The outcome of a training, in plain values."""

    name: str
    source: str
    data_sha256: str
    contract: str = "websites"
    """What the rows are."""
    contract_option: str = ""
    """What a command needs to be about them."""
    group: str = "feature vector"
    """What rows of a group have in common."""
    validation: dict[str, Any]
    quarantine: str | None
    notes: list[str] = []
    """How the rows were read, where the source's name does not tell."""
    gaps: list[str]
    """Values that are suddenly missing, a sentence each."""
    split: dict[str, Any]
    scoring: str
    leaderboard: list[LeaderboardRow]
    selection: Selection | None
    """How the winner was chosen; None if it has the highest score of the search."""
    failed: dict[str, str]
    train_metrics: dict[str, float]
    test_metrics: dict[str, float]
    leakage: LeakageLedger
    known: KnownFeatures | None = None
    """F1 by what is known of a row; None for a contract without groups of features."""
    labelling: Labelling
    """How calibration, decision threshold and the band of unsure rows were chosen."""
    tracking: str | None
    """Address of the tracking server; this and the next four are None if the delivery is deferred."""
    experiment_id: str | None
    train_run_id: str | None
    test_run_id: str | None
    model_name: str
    model_version: str | None
    deferred: str | None = None
    """Why MLflow does not know everything yet, and what delivers it."""
    promotion: PromotionMode
    decision: Decision | None
    """What the gate found; None if promotion was off, or is deferred."""

    @property
    def model(self) -> str:
        """Name and version of the model."""
        return f"{self.model_name} {self.model_version or '(not yet registered)'}"

    def promotion_sentence(self) -> str:
        """Return whether the model replaces the champion, and why, in one line."""
        if self.decision is None and self.deferred:
            return "waits until MLflow can be reached"
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
        """Return text and address of the pages in the tracking UI; none if the delivery is deferred."""
        if not (self.tracking and self.experiment_id and self.train_run_id and self.test_run_id and self.model_version):
            return {}
        return {
            "trainings": ("all, the newest first", experiment_url(self.tracking, self.experiment_id)),
            "train-run": (f"train-{self.name}", run_url(self.tracking, self.experiment_id, self.train_run_id)),
            "test-run": (f"test-{self.name}", run_url(self.tracking, self.experiment_id, self.test_run_id)),
            "model-version": (
                self.model,
                model_version_url(self.tracking, self.model_name, self.model_version),
            ),
        }


def origin_tags(parameters: TrainParameters, source: Source) -> dict[str, str]:
    """Return the tags that tell where a training's runs and model come from."""
    contract = contract_of(parameters)
    tags = {
        "data.source": source.shown,
        CONTRACT_TAG: contract.name,
        CONTRACT_SHA256_TAG: contract.sha256,
        "networksecurity.code_version": provenance.code_version(),
        "prefect.flow_run_id": str(flow_run.id),
    }
    if commit := provenance.git_commit():
        tags["mlflow.source.git.commit"] = commit
    if get_current_settings().ui_url and (url := flow_run.ui_url):  # a server that ends with the run has no pages
        tags["prefect.flow_run_url"] = url
    if parameters.reason:
        tags["networksecurity.trigger"] = parameters.reason
    return tags


def parameters_tag(parameters: TrainParameters, source: Source) -> dict[str, str]:
    """Return the tag that holds a training's parameters, for it to be repeated from any folder."""
    named = {"source": source.shown} if isinstance(source, File) else {}
    return {PARAMETERS_TAG: json.dumps(parameters.model_dump(mode="json") | named)}


def data_tags(
    parameters: TrainParameters, fetched: Fetched, accepted: DataRef, train: DataRef, searched: DataRef
) -> dict[str, str]:
    """Return the tags that tell which rows a training has learned from."""
    tags = {
        "data.sha256": accepted.sha256,
        "data.n_rows": str(accepted.n_rows),
        TEST_SIZE_TAG: str(parameters.test_size),
        RANDOM_STATE_TAG: str(parameters.random_state),
    }
    if searched != train:
        tags["data.n_rows_searched"] = str(searched.n_rows)
    if fetched.watermark is not None:
        tags[WATERMARK_TAG] = str(fetched.watermark)
    return tags


def logged_params(parameters: TrainParameters, winner: Winner, labelling: Labelling) -> dict[str, Any]:
    """Return the parameters that MLflow keeps with the winner."""
    return {
        "model": winner.model,
        **winner.params,
        "contract": winner.contract.name,
        **parameters.model_dump(mode="json", include=_LOGGED),
        "decision_threshold": labelling.rule.threshold,
        "calibration": labelling.calibration.method or "none",
        **parameters.costs(),
        **parameters.band(),
        **(dict(zip(("unsure_from", "unsure_below"), labelling.rule.band, strict=True)) if labelling.rule.band else {}),
    }


def _labelling_lines(report: TrainingReport) -> list[str]:
    """Return how threshold and band were chosen, where something was asked or found, in one sentence each."""
    labelling, choice = report.labelling, report.labelling.by_costs
    lines = [of.sentence() for of in (choice, labelling.band) if of]
    if labelling.by_score and labelling.by_score.threshold != DECISION_THRESHOLD:
        lines.append(labelling.by_score.sentence())
    if labelling.band:
        lines.append(
            f"On the test rows {with_interval(report.test_metrics, 'coverage')} of all are decided, with an F1 of "
            f"{with_interval(report.test_metrics, 'decided_f1_score')}."
        )
    if choice is None:
        return lines
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


def _winner_section(report: TrainingReport, picture: bytes) -> str:
    counts = {name.replace("_", " "): int(of) for name, of in report.test_metrics.items() if name.endswith("tives")}
    metrics = [
        (name, f"{report.train_metrics[name]:.4f}", with_interval(report.test_metrics, name))
        for name in (*FIGURES, *DECIDED)
        if name in report.test_metrics
    ]
    how = f"It has the highest mean {report.scoring} over grouped folds of the training rows."
    parts = [
        f"**{report.leaderboard[0].model}** won. {report.selection.sentence() if report.selection else how}",
        *([selection_table(report.selection)] if report.selection else []),
        *report.labelling.sentences(),
        "The test rows were touched once, by the winner. The positive class is phishing.",
        markdown_table(("", "train", "test (95 % interval)"), metrics),
        f"On the test rows: {', '.join(f'{count} {name}' for name, count in counts.items())}.",
        inline_picture(picture, "confusion matrix, ROC and precision-recall curve on the test rows"),
        (
            f"Split at random, {report.leakage.random_split_seen_share:.0%} of the test rows would share their "
            f"{report.group} with a training row, and F1 would read {report.leakage.random_split_f1_score:.4f} (mean "
            f"of {len(report.leakage.random_split_f1_scores)} splits, 95 % interval "
            f"{report.leakage.random_split_f1_low:.4f} to {report.leakage.random_split_f1_high:.4f})."
        ),
    ]
    return "\n\n".join(parts)


def _on_both_sides(report: TrainingReport, name: str) -> str:
    low, high = interval_of(report.test_metrics, name) or (float("nan"), float("nan"))
    train, test = report.train_metrics[name], report.test_metrics[name]
    return f"train {train:.4f}   test {test:.4f} (95% interval {low:.4f} to {high:.4f})"


def _data_section(report: TrainingReport) -> str:
    lines = [
        f"- fingerprint (SHA-256) `{report.data_sha256}`",
        *([f"- rows set aside: `{report.quarantine}`"] if report.quarantine else []),
        f"- split: `{json.dumps(report.split)}`",
        *([f"- on the tracking server `{report.tracking}`"] if report.tracking else []),
    ]
    return "\n".join(lines)


def summarize(report: TrainingReport, picture: bytes = b"") -> Summary:
    """Return a training's outcome, as people read it; `picture` is a PNG file of the winner's curves."""
    checked, split, group = report.validation, report.split, report.group
    metrics = {name: _on_both_sides(report, name) for name in FIGURES[:3]}
    links = {key.replace("-", " "): link for key, link in report.links().items()}
    winner, command = report.leaderboard[0], ui_command(report.tracking) if report.tracking else None
    return Summary(
        title=f"Training {report.name}",
        outcome=f"{report.model}, {winner.model}: f1_score {metrics['f1_score']}; {report.promotion_sentence()}",
        table=[row.to_table() for row in report.leaderboard],
        narrow=[row.to_narrow_table() for row in report.leaderboard],
        sentences=[
            (
                f"{checked['n_accepted']:,} rows of {report.source} ({checked['phishing_share']:.1%} phishing, "
                f"{checked['n_rejected']:,} set aside): {split['n_train']:,} to train on, {split['n_test']:,} to "
                f"test, {split['shared_vectors']} {group}s on both sides"
            ),
            *report.notes,
            *report.gaps,
            *([report.selection.sentence()] if report.selection else []),
            *_labelling_lines(report),
            *([report.known.sentence()] if report.known else []),
            *(f"{model} could not be trained: {why}" for model, why in report.failed.items()),
            *([f"{report.deferred[0].upper()}{report.deferred[1:]}."] if report.deferred else []),
        ],
        values={"winner": f"{winner.model}, {winner.settings()}"}
        | metrics
        | links
        | {"promotion": report.promotion_sentence(), "next": _what_next(report)},
        sections={
            "The winner": _winner_section(report, picture),
            **({"When features are missing": known_table(report.known)} if report.known else {}),
            "Data": _data_section(report),
        },
        last=f"The pages are there while this runs: {command}" if command else "",
    )


def _what_next(report: TrainingReport) -> str:
    """Return the command that a person will want next."""
    if report.deferred:
        return "networksecurity tracking replay"
    version, option = report.model_version, report.contract_option
    if report.decision is None or report.promotion == "dry-run":
        return f"networksecurity champion promote {version}{option} --reason 'why'"
    if report.decision.outcome == "keep":
        return f"networksecurity champion explain {version}{option}"
    return f"networksecurity score{option} --source rows.csv --output scored.csv"


def _promotion_summary(report: TrainingReport, decision: Decision) -> Summary:
    """Return the summary of a decision about the champion."""
    columns = {"all test rows": {**decision.figures, "generalisation gap": decision.generalisation_gap}}
    sentences = ["\n".join(f"- {reason}" for reason in decision.reasons)]
    if found := decision.comparison:
        columns |= {"candidate": found.candidate, f"champion, version {decision.champion}": found.champion}
        sentences.append(f"Candidate and champion on {found.n_rows:,} rows with {found.n_vectors:,} {report.group}s.")
    table = [
        {"": name} | {column: f"{of[name]:.4f}" if name in of else "" for column, of in columns.items()}
        for name in (*FIGURES, "generalisation gap")
    ]
    title = f"Whether {report.model} replaces the champion"
    return Summary(title=title, sentences=sentences, table=table)


def publish_leaderboard(leaderboard: Sequence[LeaderboardRow], source: str) -> None:
    """Make the artifact of the models' best grid points."""
    table = [row.to_table() for row in leaderboard]
    create_table_artifact(table, key="leaderboard", description=f"Trained on {source}")


def publish_training(report: TrainingReport, picture: bytes) -> None:
    """Make a training's other artifacts; `picture` is a PNG file of the winner's curves."""
    title = f"Training {report.name}"
    if report.decision is not None:
        text = _promotion_summary(report, report.decision).to_markdown()
        create_markdown_artifact(text, key="promotion", description=report.promotion_sentence())
    for key, (text, link) in report.links().items():
        create_link_artifact(link, link_text=text, key=f"mlflow-{key}", description=title)
    text = summarize(report, picture).to_markdown()
    create_markdown_artifact(text, key="training-report", description=title)
