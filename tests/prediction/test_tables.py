"""Tables in the shapes that people have, from the draft of their contract to a prediction."""

import json

import pytest
from made_tables import integers, mixed, words

from networksecurity.data.contracts import Table
from networksecurity.data.splitting import split
from networksecurity.data.tables.draft import draft_table
from networksecurity.prediction.native import prepare
from networksecurity.prediction.rows import predict
from networksecurity.prediction.scoring import BatchScorer
from networksecurity.tracking.model import probe_rows
from networksecurity.training.candidates import get_candidate
from networksecurity.training.search import fit_best


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (integers, {"target": "phishing", "positive": "1"}),
        (mixed, {"target": "label", "positive": "0", "group": ["Domain"]}),
        (words, {"target": "status", "positive": "phishing"}),
    ],
    ids=["integers, -1 for what is not there", "file names and titles beside numbers", "a status in words"],
)
@pytest.mark.parametrize("name", ["Decision Tree", "Logistic Regression"])
def test_a_table_is_drafted_checked_learned_from_and_scored(made, said, name):
    draft = draft_table(made(400), name="mine", **said)
    contract = Table.parse(draft.replace("# missing: [-1]", "missing: [-1]"))
    accepted = contract.validate(made(400), max_rejected=0).accepted
    sides = split(accepted, contract=contract)
    model = fit_best(get_candidate(name, contract.candidates), {}, *contract.to_X_y(sides.train))
    new = made(40, random_state=1).drop(columns=contract.target)
    scorer = BatchScorer(model, name="mine", version="1", max_rejected=0, contract=contract)
    predictions, _ = scorer.add(new)
    assert scorer.finish().n_scored == 40
    assert predictions["phishing_probability"].nunique() > 1
    assert {*contract.table.keys} <= {*predictions}
    asked = json.loads(json.dumps(new.to_dict("records")))
    answers = predict(prepare(model, probe_rows(contract, contract.to_X(accepted).head(20))), asked, contract=contract)
    found = [answer["phishing_probability"] for answer in answers]
    assert found == pytest.approx(predictions["phishing_probability"].tolist(), rel=0, abs=1e-12)
