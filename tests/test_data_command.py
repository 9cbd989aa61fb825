import json
import re

import pytest
from logged import log_all

from networksecurity.champion.registry import CHAMPION, Registry
from networksecurity.data.sample import make_phishing_websites
from networksecurity.settings import settings
from networksecurity.tracking import runs


@pytest.fixture
def source(server, tmp_path, monkeypatch):
    """Return a file of rows, one of them not valid, where nothing was trained yet."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    settings.cache_clear()
    frame = make_phishing_websites(600, random_state=1)
    frame.loc[0, "SFH"] = 7
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    yield path
    settings.cache_clear()


def test_rows_are_described_in_text_and_as_json(command, source):
    code, text, _ = command("data", "describe", source)
    assert code == 0
    assert "rows: 599 valid, 1 not valid" in text
    assert "drift: not compared, for networksecurity-phishing has no champion" in text
    assert "values (legitimate | phishing rows)" in text
    assert re.search(r"SSLfinal_State +0 +-1: \d+ \| \d+  0: \d+ \| \d+  1: \d+ \| \d+", text)
    code, text, _ = command("data", "describe", source, "--json")
    found = json.loads(text)
    assert code == 0
    assert (found["n_rows"], found["n_rejected"], len(found["columns"])) == (599, 1, 30)
    assert found["drift"] is None


def test_one_html_file_holds_all_with_pictures_and_the_drift_from_the_champion(command, source, server, outcome):
    training = runs.start_training(server, "networksecurity", {})
    logged = log_all(server, training, outcome)
    registry = Registry(server, settings().registered_model("websites"))
    registry.register(logged.model_uri, training.train_run_id, tags={}, description="", alias=CHAMPION)
    page = source.with_name("rows <&>.html")
    code, text, err = command("data", "describe", source, "--html", page)
    assert code == 0, err
    assert "drift from the rows behind networksecurity-phishing 1: " in text
    written = page.read_text()
    assert written.count('src="data:image/png;base64,') == 2
    assert not re.search(r"(src|href)=[\"'](?!data:)", written)
    assert "conflicts: " in written
    assert "<th>values (legitimate | phishing rows)</th>" in written
    assert command("data", "describe", source, "--html", page)[0] == 1  # and nothing is overwritten


def test_rows_of_which_none_is_valid_are_refused(command, source):
    frame = make_phishing_websites(20, random_state=1).assign(SFH=7)
    frame.to_csv(source, index=False)
    code, out, err = command("data", "describe", source)
    assert (code, out) == (1, "")
    assert "no row is left" in err
