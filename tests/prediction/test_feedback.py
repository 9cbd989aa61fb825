import shutil
import uuid

import pytest
from pydantic import SecretStr
from reading import opened
from served import JSON, ROW, address, running

from networksecurity.data.schema import FEATURES
from networksecurity.settings import Settings

REPORT = {"row": {**ROW, "url": "https://example.org/"}, "label": "phishing", "by": "jane", "comment": "seen today"}


@pytest.fixture
def uri(mongod, collection):
    yield f"{mongod.uri}/{collection.full_name}"
    collection.database.drop_collection(f"{collection.name}_feedback")


@pytest.fixture(scope="module")
def place_for_all(mongod):
    """Return the address of a collection for the tests that share a service."""
    name = f"rows_{uuid.uuid4().hex}"
    yield f"{mongod.uri}/networksecurity_tests.{name}"
    mongod.client["networksecurity_tests"].drop_collection(f"{name}_feedback")


@pytest.fixture(scope="module")
def collecting(published, place_for_all, tmp_path_factory):
    """Return a service that takes reports."""
    database = shutil.copy(published / "mlflow.db", tmp_path_factory.mktemp("collecting"))
    mongodb = {"mongodb_uri": SecretStr(place_for_all), "mongodb_timeout": 1}
    with running(Settings(mlflow_tracking_uri=address(database), serve_refresh=3600, **mongodb)) as service:
        yield service


def test_a_report_is_stored_and_waits(collecting, place_for_all):
    answers = [collecting("POST", "/feedback", json=REPORT) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    with opened(place_for_all) as connection:
        (report,) = [of for of in connection.list_feedback() if of.comment == "seen today"]
    assert [answer.json() for answer in answers] == [{"id": report.id}] * 2
    assert (report.label, report.by, report.comment, report.status) == ("phishing", "jane", "seen today", "open")
    assert report.features == {**dict.fromkeys(FEATURES, 1)}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"label": "good"}, "label: Input should be 'phishing' or 'legitimate'"),
        ({"by": ""}, "by: String should have at least 1 character"),
        ({"row": {**ROW, "SFH": 7}}, "SFH is not one of -1, 0, 1"),
        ({"row": {}}, "30 missing"),
        ({"row": {**ROW, "SFH": [1]}}, "SFH is not a whole number"),
        ({"accepted": True}, "accepted: Extra inputs are not permitted"),
    ],
)
def test_a_bad_report_is_refused_in_one_line(collecting, change, why):
    answer = collecting("POST", "/feedback", json=REPORT | change)
    assert answer.status_code == 422
    assert why in answer.json()["detail"]


def test_what_is_no_report_is_refused(collecting):
    assert collecting("POST", "/feedback", content=b"{", headers=JSON).status_code == 422
    assert collecting("POST", "/feedback", content=b"a,b", headers={"Content-Type": "text/csv"}).status_code == 415


def test_a_token_guards_reports_too(place, uri):
    guarded = place.model_copy(update={"mongodb_uri": SecretStr(uri), "serve_token": SecretStr("secret")})
    with running(guarded) as service:
        assert service("POST", "/feedback", json=REPORT).status_code == 401
        token = {"Authorization": "Bearer secret"}
        assert service("POST", "/feedback", json=REPORT, headers=token).status_code == 201


def test_without_mongodb_there_is_no_place_for_reports(place):
    with running(place.model_copy(update={"mongodb_uri": None})) as service:
        answer = service("POST", "/feedback", json=REPORT)
        assert answer.status_code == 503
        assert "there is no place for feedback: the source mongodb needs MONGODB_URI" in answer.json()["detail"]
        assert "/feedback" not in service("GET", "/openapi.json").json()["paths"]


def test_a_lost_database_is_not_described_to_the_client(place, closed_port):
    away = SecretStr(f"mongodb://me:hunter2@127.0.0.1:{closed_port}/db.rows")
    with running(place.model_copy(update={"mongodb_uri": away, "mongodb_timeout": 0.2})) as service:
        answer = service("POST", "/feedback", json=REPORT)
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the place for feedback cannot be used at the moment: see the log"


def test_the_document_describes_a_report(collecting):
    body = collecting("GET", "/openapi.json").json()["paths"]["/feedback"]["post"]["requestBody"]
    content = body["content"]["application/json"]
    assert set(content["schema"]["properties"]) == {"row", "label", "by", "comment"}
    assert collecting("POST", "/feedback", json=content["example"]).status_code == 201


def test_an_address_is_reported_by_itself(place, uri, collection):
    settings = place.model_copy(
        update={"mongodb_uri": SecretStr(uri), "mongodb_timeout": 1, "serve_contract": "addresses"}
    )
    said = {"url": "hxxp://evil[.]test", "label": "phishing", "by": "jane"}
    with running(settings) as service:
        answer = service("POST", "/feedback", json=said)
        assert answer.status_code == 201
        assert service("POST", "/feedback", json=said | {"url": "?"}).status_code == 422
        assert "give either `row` or `url`" in service("POST", "/feedback", json=said | {"row": {}}).json()["detail"]
        document = service("GET", "/openapi.json").json()["paths"]["/feedback"]["post"]["requestBody"]
    assert "url" in document["content"]["application/json"]["example"]
    (report,) = collection.database[f"{collection.name}_addresses_feedback"].find()
    assert (report["_id"], report["features"]) == (answer.json()["id"], {"url": "http://evil.test/"})
    collection.database.drop_collection(f"{collection.name}_addresses_feedback")
