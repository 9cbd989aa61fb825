import gzip

import pandas as pd
import pytest
from formats import digest_of, fetched, to_arff, to_parquet, to_xlsx
from reading import PASSWORD, configured, frames, read, refused

from networksecurity.data import sources
from networksecurity.data.contracts import WEBSITES, Table
from networksecurity.data.sample import make_phishing_websites
from networksecurity.exceptions import ConfigurationError, DataSourceError, DataValidationError
from networksecurity.settings import without_credentials


def test_the_sample_is_a_source():
    pd.testing.assert_frame_equal(read("sample"), make_phishing_websites(random_state=0))
    pd.testing.assert_frame_equal(read("sample:123"), make_phishing_websites(123, random_state=0))


@pytest.mark.parametrize("source", ["sample:abc", "sample:0", "sample:-5", "sample:", "sample:1.5", "sample:1e3"])
def test_a_sample_needs_a_size_that_is_a_whole_number(source):
    refused(ConfigurationError, source, says=["sample:N", repr(source)])


@pytest.mark.parametrize(
    "source", ["foo", "data.ods", "ftp://host/data.csv", "", " ", "s3://bucket/x.csv", "MONGODB", "a\0.csv"]
)
def test_an_unknown_source_is_refused_with_a_list_of_the_known(source):
    refused(
        ConfigurationError, source, says=["sample:N", ".csv", ".gz", ".parquet", "uci", "mongodb://", "MONGODB_URI"]
    )


def test_a_source_is_shown_in_full_without_credentials(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    settings = configured(mongodb_uri=f"mongodb://me:{PASSWORD}@a:1,b:2/?tls=true")
    assert [
        sources.parse(source, settings).shown
        for source in [
            "sample:5",
            "data/x.csv",
            "~/x.csv",
            "uci",
            f"https://me:{PASSWORD}@host/x.csv?token={PASSWORD}",
            "mongodb",
            f"mongodb://me:{PASSWORD}@host/db.a.b?authSource=admin",
            "mongodb+srv://host/db",
            "mongodb://host",
        ]
    ] == [
        "sample:5",
        str(tmp_path / "data/x.csv"),
        "/home/someone/x.csv",
        "https://archive.ics.uci.edu/static/public/327/phishing+websites.zip",
        "https://host/x.csv",
        "mongodb://a:1,b:2/networksecurity.phishing_websites",
        "mongodb://host/db.a.b",
        "mongodb+srv://host/db.phishing_websites",
        "mongodb://host/networksecurity.phishing_websites",
    ]


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://me:hunter2@a:1,b:2/db.c?x=1", "mongodb://a:1,b:2/db.c"),
        ("mongodb://me:hun@ter2@host/db", "mongodb://…@host/db"),
        ("mongodb://me:hun/ter2@host/db", "mongodb://…@host/db"),
        ("mongodb://me:hun?ter2@host/db", "mongodb://…"),
        ("mongodb://me:hun#ter2@host/db", "mongodb://…"),
        ("mongodb://me:2/hunter2@host/db", "mongodb://…@host/db"),
        ("mongodb://me:hun[ter2@host/db", "mongodb://host/db"),
        ("mongodb://[::1]:27017/db", "mongodb://[::1]:27017/db"),
        ("https://me:hunter2@host/repo@1/x.csv?token=hunter2#part", "https://…@1/x.csv"),
        ("https://hunter2@host/repo@1/x.csv", "https://…@1/x.csv"),
        ("https://host/repo@1/x.csv?token=hunter2#part", "https://…@1/x.csv"),
        ("mongodb:/me:hunter2@host/db", "mongodb:/host/db"),
        ("mongodb ://me:hunter2@host/db", "mongodb ://host/db"),
        ("https://host/x.csv?token=a:b@hunter2", "https://…"),
        ("sqlite:////folder/C#/a?b/mlflow.db", "sqlite:////folder/C#/a?b/mlflow.db"),
        ("file:///folder/C#/rows@1:2.csv", "file:///folder/C#/rows@1:2.csv"),
        ("folder/C#/a?b@c.csv", "folder/C#/a?b@c.csv"),
        ("https://host/x.csv?mail=a@b", "https://…"),
        ("sqlite:///folder/mlflow.db", "sqlite:///folder/mlflow.db"),
        ("folder/mlruns", "folder/mlruns"),
    ],
)
def test_an_address_is_shown_without_credentials(uri, shown):
    assert without_credentials(uri) == shown


def test_a_sample_comes_in_batches_with_a_digest(tmp_path):
    file = fetched("sample:250", tmp_path)
    assert file == fetched("sample:250", tmp_path)
    assert digest_of(file) == digest_of(file) != digest_of(fetched("sample:251", tmp_path))
    assert digest_of(fetched("sample", tmp_path)) == digest_of(fetched("sample:11055", tmp_path))
    batches = list(frames(file, 100))
    assert [len(batch) for batch in batches] == [100, 100, 50]
    pd.testing.assert_frame_equal(pd.concat(batches), read("sample:250"))
    with pytest.raises(ConfigurationError, match="sample:N"):
        fetched("sample:0", tmp_path)


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        ("nothing.csv", DataSourceError, "there is no file"),
        ("foo", ConfigurationError, "unknown source"),
        ("mongodb://host/db.rows", ConfigurationError, "mongodb://host/db.rows is a collection"),
        ("mongodb", ConfigurationError, "MONGODB_URI"),
    ],
)
def test_a_source_that_is_no_file_is_refused(source, error, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONGODB_URI", raising=False)
    with pytest.raises(error, match=says):
        fetched(source, tmp_path)


def damaged_parquet():
    content = to_parquet(pd.DataFrame({"height": range(200_000)}), row_group_size=1_000)
    return content[:-200_000] + bytes(10_000) + content[-190_000:]


STRANGE = pd.DataFrame({"height": [1, 2] * 100_000, "weight": [3, 4] * 100_000})
TEXT = STRANGE.to_csv(index=False).encode()
DAMAGED_BELOW = {
    ".csv": TEXT + b"1,2,3,4,5\n",
    ".csv.gz": gzip.compress(TEXT)[:-9],
    ".arff": to_arff(STRANGE[:1000]).replace(b"% the end", b"1,2,3,4,5"),
    ".parquet": damaged_parquet(),
    ".xlsx": to_xlsx([["height", "weight"], *[[1, 2]] * 50, [1, 2, 3, 4, 5]]),
}


@pytest.mark.parametrize("kind", DAMAGED_BELOW)
def test_rows_of_something_else_are_refused_before_they_are_read(kind, tmp_path):
    path = tmp_path / f"rows{kind}"
    path.write_bytes(DAMAGED_BELOW[kind])
    refused(DataSourceError, path, says=str(path))  # whoever reads on meets the damage
    source = sources.checked(sources.parse(str(path), configured()), WEBSITES)
    for reading in (source.read, lambda: next(frames(source))):
        with pytest.raises(DataValidationError, match="not the columns of the phishing websites data"):
            reading()


def test_objects_of_json_may_leave_columns_out_at_first(tmp_path):
    rows = make_phishing_websites(40)
    rows.loc[:29, "port"] = None
    text = "\n".join(row.dropna().to_json() for _, row in rows.iterrows())
    (tmp_path / "rows.jsonl").write_text(text)
    source = sources.parse(str(tmp_path / "rows.jsonl"), configured())
    assert sources.checked(source, WEBSITES).read().frame["port"].notna().sum() == 10


SHOPS = """
contract: shops
target: status
positive: phishing
group: account
schema:
  schema_type: dataframe
  columns:
    zip code: {dtype: str, nullable: true}
    length: {dtype: float64}
    status: {dtype: str, isin: [phishing, legitimate]}
"""


def test_a_category_is_learned_as_it_is_written_and_will_be_scored(tmp_path):
    path = tmp_path / "shops.csv"
    path.write_text("Zip_Code,length,account,status\n01234,007,1152921504606846977,phishing\n,8,,legitimate\n")
    contract = Table.parse(SHOPS)
    source = sources.checked(sources.parse(str(path), configured()), contract)
    for rows in (source.read().frame, *frames(source), *frames(source, exact_others=True)):
        accepted, _ = contract.validation().add(rows)
        assert accepted.to_dict("records")[0] == {
            "zip code": "01234",
            "length": 7,
            "account": "1152921504606846977",
            "status": 1,
        }
