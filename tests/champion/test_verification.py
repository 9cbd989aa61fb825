import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from networksecurity.champion.verification import verify
from networksecurity.exceptions import PromotionError
from networksecurity.tracking.outcome import PROBE_FILE

NAME = "networksecurity-phishing"
pytestmark = pytest.mark.parametrize("registry", ["full"], indirect=True)


def refuses(registry, version, reason):
    with pytest.raises(PromotionError, match=f"version 1 of {NAME} is not fit to be the champion: .*{reason}"):
        verify(registry, version)


def test_a_model_that_answers_as_it_was_evaluated_passes(registry, stored_model):
    probe = pd.read_parquet(Path(stored_model.source, PROBE_FILE))
    assert probe.isna().any()[:30].all()
    verify(registry, stored_model)


def test_a_model_that_answers_differently_is_refused(registry, stored_model):
    path = Path(stored_model.source, PROBE_FILE)
    probe = pd.read_parquet(path)
    probe.loc[[3, 5], "y_score"] += 1e-6
    probe.to_parquet(path)
    refuses(registry, stored_model, f"it answers 2 of {len(probe)} rows differently than when it was evaluated")


def test_a_model_without_a_probe_is_refused(registry, stored_model):
    Path(stored_model.source, PROBE_FILE).unlink()
    refuses(registry, stored_model, r"the rows to probe it with cannot be read \(FileNotFoundError\)")


def test_a_model_of_other_columns_is_refused(registry, stored_model):
    path = Path(stored_model.source, "MLmodel")
    stored = yaml.safe_load(path.read_text())
    stored["signature"]["inputs"] = json.dumps(json.loads(stored["signature"]["inputs"])[1:])
    path.write_text(yaml.safe_dump(stored))
    refuses(registry, stored_model, "it does not take the columns of its contract")
