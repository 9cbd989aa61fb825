import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import prefect.flow_runs
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.flow_runs import resume_flow_run
from records import artifacts, task_states
from trainings import champion, run

from flows import approval
from networksecurity.champion import changes, delivery
from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.data.sample import make_phishing_websites
from networksecurity.exceptions import (
    PromotionConflictError,
    PromotionError,
)
from networksecurity.settings import settings
from networksecurity.tracking.server import connect


@pytest.fixture
def unverified(monkeypatch):
    """Let every version pass verification, which starts a process."""
    monkeypatch.setattr(changes, "verify", lambda *args: None)


def test_the_first_model_that_holds_the_floors_is_promoted_and_an_equal_one_is_not(workplace):
    assert run(promotion="dry-run").result().promotion_sentence().startswith("would be promoted (dry run): There is no")
    assert champion() == (None, ())

    state = run(promotion="auto")
    report = state.result()
    version, (event,) = champion()
    assert version.version == report.model_version == event.version == "2"
    assert (event.action, event.done, event.champion) == ("promote", True, None)
    assert event.flow_run == str(state.state_details.flow_run_id)
    assert event.decision == report.decision
    assert report.decision.figures.items() <= report.test_metrics.items()  # which have the interval of F1, too
    assert task_states(state)["promote"] == "Completed"
    artifact = artifacts(state)["promotion"]
    assert artifact.description == report.promotion_sentence() == "promoted: There is no champion yet."
    assert "| false_positive_rate |" in artifact.data

    state = run(promotion="auto")
    report = state.result()
    assert state.name == "Completed"
    version, (_, event) = champion()
    assert (version.version, event.version, event.action, event.champion) == ("2", "3", "keep", "2")
    assert report.promotion_sentence().startswith("version 2 stays: F1 is ")
    assert report.decision.comparison.f1_difference == 0
    assert "| champion, version 2 |" in artifacts(state)["promotion"].data
    assert report.promotion_sentence() in artifacts(state)["training-report"].data


def test_a_model_of_the_sample_gives_way_to_one_of_a_file_and_does_not_replace_it(before, unverified):
    Registry(connect(settings()), before.report.model_name).set_alias(CHAMPION, "1")
    make_phishing_websites(1_500).to_csv("rows.csv", index=False)
    synthetic = "has learned from the built-in sample, which is synthetic"
    for source, sentence in (
        ("rows.csv", f"promoted: Version 1 {synthetic}."),
        ("sample:1500", f"version 2 stays: It {synthetic}; version 2 has not."),
    ):
        assert run(source=source, promotion="auto").result().promotion_sentence() == sentence


def test_a_champion_that_changes_meanwhile_is_judged_again(workplace, unverified, monkeypatch):
    consider, tries = changes.consider, []

    def slow(*args, **kwargs):
        tries.append(args)
        if len(tries) < 5:  # four other runs promoted at the same moment
            raise PromotionConflictError("changed by another")
        return consider(*args, **kwargs)

    monkeypatch.setattr(delivery, "consider", slow)
    quick = approval.weigh.with_options(retry_delay_seconds=0, retry_jitter_factor=0)
    monkeypatch.setattr(approval, "weigh", quick)
    assert run(promotion="auto").result().decision.outcome == "promote"
    assert len(tries) == 5


def test_a_stored_model_that_is_not_the_one_evaluated_is_not_promoted(workplace, monkeypatch):
    def refuse(server, version):
        raise PromotionError("not fit to be the champion: it answers otherwise")

    monkeypatch.setattr(changes, "verify", refuse)
    state = run(promotion="auto")
    assert state.name == "Completed"
    sentence = state.result().promotion_sentence()
    assert sentence == "there is still no champion: not fit to be the champion: it answers otherwise."
    assert champion()[0] is None


@contextmanager
def page_of_a_paused_run(**answer):
    """Answer what a run asks, as its page would; yield the question once it was asked."""
    asked = []

    def wait_and_answer():
        with get_client(sync_client=True) as client:
            paused = FlowRunFilter(state={"type": {"any_": ["PAUSED"]}})
            while not (found := client.read_flow_runs(flow_run_filter=paused)):
                time.sleep(0.1)
            keys = found[0].state.state_details.run_input_keyset
            asked.append(client.read_flow_run_input(found[0].id, keys["description"]))
        resume_flow_run(found[0].id, answer)

    with ThreadPoolExecutor(1) as threads:
        answering = threads.submit(wait_and_answer)
        yield asked
        answering.result()


@pytest.mark.parametrize(
    ("answer", "outcome", "why"),
    [
        ({"approve": True, "comment": "looks good"}, "promote", "There is no champion yet."),
        ({"approve": False, "comment": "not on a Friday"}, "keep", "Not approved: not on a Friday."),
    ],
)
def test_a_person_has_the_last_word(workplace, unverified, monkeypatch, caplog, answer, outcome, why):
    for name in ("prefect", "prefect.flow_runs"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    begun = []
    monkeypatch.setattr(approval, "begin", begun.append)
    monkeypatch.setattr(approval, "_SECONDS_BETWEEN_CHECKS", 1)
    with page_of_a_paused_run(**answer) as asked:
        state = run(promotion="ask", approval_timeout=100)
    report, page = state.result(), rf"http://127\.0\.0\.1:\d+/\S+/{state.state_details.flow_run_id}"
    (said,) = [record.getMessage() for record in caplog.records if record.module == "approval"]
    waits = "version 1 of networksecurity-phishing waits for an answer, for 100 s: press Resume on "
    assert re.fullmatch(waits + page, said)
    assert "Put version 1 of networksecurity-phishing in use, as the first champion?" in asked[0]
    assert "There is no champion yet." in asked[0]
    assert begun == ["waiting for an answer", "acting on the answer"]
    version, (event,) = champion()
    assert (event.action, event.why) == (outcome, why)
    assert (version is not None) == (outcome == "promote")
    if outcome == "promote":
        assert report.decision.reasons[-1] == "Approved: looks good."
        assert report.promotion_sentence() == "promoted: There is no champion yet."


def test_an_answer_in_the_moment_of_the_pause_counts(workplace, unverified, monkeypatch):
    propose = prefect.flow_runs.propose_state_sync

    def propose_and_answer(*, flow_run_id, **proposal):
        state = propose(flow_run_id=flow_run_id, **proposal)
        resume_flow_run(flow_run_id, {"approve": True, "comment": "at once"})
        return state

    monkeypatch.setattr(approval, "_SECONDS_BETWEEN_CHECKS", 1)
    monkeypatch.setattr(prefect.flow_runs, "propose_state_sync", propose_and_answer)
    report = run(promotion="ask").result()
    assert report.decision.outcome == "promote"
    assert report.decision.reasons[-1] == "Approved: at once."


def test_no_answer_is_a_no(workplace, monkeypatch):
    monkeypatch.setattr(approval, "_SECONDS_BETWEEN_CHECKS", 1)
    state = run(promotion="ask", approval_timeout=1)
    assert state.is_completed()
    version, (event,) = champion()
    assert version is None
    assert event.why == "Not approved: nobody answered within 1 s."


def test_nobody_is_asked_about_what_the_gate_stops(workplace):
    report = run(promotion="ask", gate={"min_f1_score": 1}).result()
    assert report.decision.outcome == "keep"
    assert len(champion()[1]) == 1
