import socket
from types import SimpleNamespace
from urllib.parse import quote_plus

import dns.name
import dns.resolver
import pytest
from reading import PASSWORD, cells, configured, read, refused
from stored import assert_holds, failing, ingest, numbers, sample, source_of

from networksecurity.data import mongodb
from networksecurity.data.mongodb import server
from networksecurity.exceptions import (
    ConfigurationError,
    DataSourceError,
    SourceUnavailableError,
)


@pytest.mark.parametrize("path", ["networksecurity_tests", "networksecurity_tests.{}", ""])
def test_the_settings_complete_an_address(path, mongod, collection):
    collection.insert_one({"port": 1})
    values = {"mongodb_database": "networksecurity_tests", "mongodb_collection": collection.name}
    source = f"{mongod.uri}/{path.format(collection.name)}"
    assert cells(read("mongodb", mongodb_uri=source, **values)["port"]) == [1]
    assert cells(read(source, **values)["port"]) == [1]


def test_the_name_of_a_collection_may_have_dots(mongod, collection):
    dotted = collection["of.today"]
    dotted.insert_one({"port": 1})
    assert cells(read(source_of(mongod, dotted))["port"]) == [1]
    dotted.drop()


def test_an_empty_collection_is_refused_with_advice(mongod, collection):
    host = mongod.uri.rpartition("/")[2]
    says = [collection.name, "networksecurity_tests", host, "MONGODB_COLLECTION", "ingest"]
    refused(DataSourceError, source_of(mongod, collection), says=says)


def test_mongodb_needs_an_address(monkeypatch):
    monkeypatch.delenv("MONGODB_URI", raising=False)
    refused(ConfigurationError, "mongodb", says="MONGODB_URI")


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://me:{PASSWORD}@host:port/db",
        f"mongodb://me:{PASSWORD}@host:99999/db",
        f"mongodb://me:{PASSWORD}@/db",
        f"mongodb://me:a/{PASSWORD}@host/db",
        f"mongodb://me:a?{PASSWORD}@host/db",
        f"mongodb://me:a@{PASSWORD}@host/db",
        f"mongodb://me:a:{PASSWORD}@host/db",
        f"mongodb://me:{PASSWORD}@host/a$b.c",
        f"mongodb://me:{PASSWORD}@host/db.c?tls",
        f"mongodb://me:{PASSWORD}@host/db.c?tls=true&ssl=false",
        f"mongodb://me:{PASSWORD}@host/db.c?tlsCAFile=/no/such/file",
        f"mongodb://me:{PASSWORD}@host/db..c",
        f"mongodb+srv://me:{PASSWORD}@host:27017/db.c",
    ],
)
def test_an_address_that_is_not_valid_is_refused_without_its_password(uri):
    refused(ConfigurationError, uri, says="mongodb")
    refused(ConfigurationError, "mongodb", says="mongodb", mongodb_uri=uri)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        (f"mongodb+srv://me:{PASSWORD}@host:27017/db", "must not include a port number"),
        (f"mongodb://me:{PASSWORD}@host:port/db", "Port contains non-digit characters"),
        ("mongodb://me:P@ss/123@host/db", "mongodb://…@host/db): user name and password must be percent-escaped"),
        ("mongodb+srv://me:p@ss/w#rd@host/db", "mongodb+srv://…): user name and password must be percent-escaped"),
    ],
)
def test_the_reason_for_which_an_address_is_not_valid_is_passed_on(uri, says):
    refused(ConfigurationError, uri, says=says)


def test_an_address_of_another_kind_is_refused():
    refused(ConfigurationError, "mongodb", says="MONGODB_URI", mongodb_uri=f"postgresql://me:{PASSWORD}@host")


def test_a_dead_server_is_reported(closed_port):
    source = f"mongodb://me:{PASSWORD}@127.0.0.1:{closed_port}/db.rows"
    says = [f"mongodb://127.0.0.1:{closed_port}", "after 0.", " s: ", "refused", "start the server", "MONGODB_URI"]
    refused(SourceUnavailableError, source, says=says, mongodb_timeout=0.2)
    # What the connection string says about time counts more.
    refused(SourceUnavailableError, f"{source}?serverSelectionTimeoutMS=200", says=says, mongodb_timeout=60)


def test_an_unknown_host_is_reported():
    source = f"mongodb+srv://me:{PASSWORD}@cluster.nowhere.invalid/db.rows?connectTimeoutMS=500"
    refused(SourceUnavailableError, source, says=["cluster.nowhere.invalid", "MONGODB_URI"], mongodb_timeout=0.5)


def test_a_silent_server_is_reported(silent_port):
    source = f"mongodb://127.0.0.1:{silent_port}/db.rows"
    refused(SourceUnavailableError, source, says=str(silent_port), mongodb_timeout=0.3)


def test_a_user_belongs_to_the_database_in_the_path(mongod, collection):
    collection.insert_one({"port": 1})
    database = collection.database
    database.command("createUser", "me", pwd=PASSWORD, roles=["read"])
    try:
        with_user = source_of(mongod, collection).replace("://", f"://me:{PASSWORD}@")
        assert cells(read(with_user)["port"]) == [1]
        for wrong in (with_user.replace(PASSWORD, f"{PASSWORD}x"), f"{with_user}?authSource=admin"):
            refused(DataSourceError, wrong, says=[collection.full_name, "code 18", "authSource"])
    finally:
        database.command("dropUser", "me")


def test_a_refused_read_is_reported_with_advice(mongod, collection):
    collection.insert_one({"port": 1})
    with failing(mongod, "refused", failCommands=["find"], errorCode=13):
        refused(DataSourceError, source_of(mongod, collection, "?appName=refused"), says=["code 13", "roles"])


def test_another_failure_of_the_server_is_reported(mongod, collection):
    collection.insert_one({"port": 1})
    with failing(mongod, "other", failCommands=["find"], errorCode=2):
        refused(DataSourceError, source_of(mongod, collection, "?appName=other"), says=["code 2", collection.full_name])


@pytest.mark.parametrize("failure", [{"closeConnection": True}, {"errorCode": 43}, {"errorCode": 50}])
def test_a_connection_lost_in_the_middle_is_reported(failure, mongod, collection, monkeypatch):
    monkeypatch.setattr(server, "BATCH_SIZE", 10)
    collection.insert_many([{"port": 1} for _ in range(30)])
    with failing(mongod, "lost", failCommands=["getMore"], **failure):
        refused(
            SourceUnavailableError, source_of(mongod, collection, "?appName=lost"), says=["failed after", "MONGODB_URI"]
        )


@pytest.mark.parametrize("skip", [1, 2])
def test_a_connection_lost_at_the_first_documents_is_reported(skip, mongod, collection):
    collection.insert_one({"port": 1})
    with failing(mongod, "lost", skip=skip, failCommands=["find"], closeConnection=True):
        refused(SourceUnavailableError, source_of(mongod, collection, "?appName=lost"), says="failed after")


def test_a_blocked_read_is_reported(mongod, collection):
    collection.insert_one({"port": 1})
    with failing(mongod, "slow", failCommands=["find"], blockConnection=True, blockTimeMS=1500):
        source = source_of(mongod, collection, "?appName=slow&socketTimeoutMS=200")
        refused(SourceUnavailableError, source, says=["failed after", "timed out"])


@pytest.mark.parametrize("target", ["rows.csv", "sample", "mongo://host/db.rows", ""])
def test_a_target_that_is_no_collection_is_refused(target, write):
    with pytest.raises(ConfigurationError, match="is not a collection: mongodb://host"):
        ingest(write(sample()), target)


def test_a_dead_target_is_reported(closed_port, write):
    target = f"mongodb://me:{PASSWORD}@127.0.0.1:{closed_port}/db.rows"
    with pytest.raises(SourceUnavailableError, match="start the server") as caught:
        ingest(write(sample()), target, mongodb_timeout=0.2)
    assert PASSWORD not in str(caught.value)


def test_the_settings_name_the_target(mongod, target, collection, write):
    path = write(sample())
    done = ingest(path, "mongodb", mongodb_uri=target)
    assert done.collection == mongodb.parse("mongodb", configured(mongodb_uri=target)).shown
    assert_holds(collection, path)


def test_predictions_go_beside_the_collection_of_the_settings():
    values = {"mongodb_uri": "mongodb://me:hunter2@host/", "mongodb_collection": "rows"}
    shown = mongodb.parse_output("mongodb", configured(**values)).shown
    assert shown == "mongodb://host/networksecurity.rows_scores"
    assert mongodb.parse_output("mongodb://host/db.mine", configured(**values)).shown == "mongodb://host/db.mine"
    assert mongodb.parse_output("scored.csv", configured(**values)) is None


@pytest.mark.integration
def test_a_server_may_want_tls_and_a_user(guarded_mongod, write):
    server, certificate = guarded_mongod
    path = write(sample(bad=[5]))
    host, options = server.uri.removeprefix("mongodb://"), f"?authSource=admin&tls=true&tlsCAFile={certificate}"
    target = f"mongodb://me:{quote_plus('p@ss/word')}@{host}/db.rows{options}"
    assert numbers(ingest(path, target)) == (300, 299, 0, 1)
    assert ingest(path, "mongodb", mongodb_uri=target).collection == f"mongodb://{host}/db.rows"
    assert len(read(target)) == 299
    for wrong, error, says in [
        (target.replace("word", "wort"), DataSourceError, "code 18"),
        (f"mongodb://{host}/db.rows{options}", DataSourceError, "code 13"),
        (
            target.replace("tls=true&", "tls=true&tlsCAFile=&").split("&tlsCAFile")[0],
            SourceUnavailableError,
            "certificate",
        ),
    ]:
        with pytest.raises(error, match=says) as caught:
            ingest(path, wrong, mongodb_timeout=1)
        assert "p@ss" not in str(caught.value)
        assert "p%40ss" not in str(caught.value)


def test_servers_are_found_by_their_name(mongod, collection, write, monkeypatch):
    """Of mongodb+srv:// the name servers are asked; here they answer with the server of the tests."""
    host, port = mongod.uri.removeprefix("mongodb://").split(":")
    getaddrinfo = socket.getaddrinfo

    def resolve(name, kind, **options):
        if kind == "SRV":
            assert str(name) == "_mongodb._tcp.cluster.example.org"
            return [SimpleNamespace(target=dns.name.from_text("node.example.org"), port=int(port), rrset=None)]
        raise dns.resolver.NoAnswer

    def to_this_machine(name, *args, **options):
        return getaddrinfo(host if name == "node.example.org" else name, *args, **options)

    monkeypatch.setattr("dns.resolver.resolve", resolve)
    monkeypatch.setattr(socket, "getaddrinfo", to_this_machine)
    target = f"mongodb+srv://cluster.example.org/{collection.full_name}?tls=false"
    path = write(sample())
    assert ingest(path, target).collection == f"mongodb+srv://cluster.example.org/{collection.full_name}"
    assert_holds(collection, path)
