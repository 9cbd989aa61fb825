"""Small files of each kind, as the tests of sources read them."""

import gzip
import hashlib
import io
import zipfile

import pandas as pd
import pyarrow.parquet
from reading import configured, frames

from networksecurity.data import sources
from networksecurity.data.sample import make_phishing_websites

CSV = "port,Result\n-1,1\n1,-1\n"


ROWS = [[-1, 1], [1, -1]]


def to_arff(frame, quote=""):
    """Return the rows as the UCI archive writes them: comments, odd blanks, nominals with or without quotes."""

    def quoted(values):
        return ",".join(f"{quote}{value}{quote}" for value in values)

    names = "\n".join(f"@attribute {name}  {{ {quoted(sorted(frame[name].unique()))} }}" for name in frame)
    rows = "\n".join(quoted(row) for row in frame.itertuples(index=False))
    return f"% from UCI\n@relation phishing\n\n{names}\n\n\n@data\n{rows}\n% the end\n\n".encode()


def to_zip(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return content.getvalue()


def to_parquet(frame, **options):
    content = io.BytesIO()
    frame.to_parquet(content, **options)
    return content.getvalue()


def to_parquet_with_pandas_notes(notes):
    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"port": [1]}).replace_schema_metadata({b"pandas": notes}), content)
    return content.getvalue()


TABLE = pd.DataFrame(ROWS, columns=["port", "Result"])


KINDS = {
    ".csv": CSV.encode(),
    ".csv.gz": gzip.compress(CSV.encode(), mtime=0),
    ".parquet": to_parquet(TABLE),
    ".arff": to_arff(TABLE, "'"),
    ".zip": to_zip(old__arff=to_arff(TABLE[:1]), Training__ARFF=to_arff(TABLE), readme__txt=b"x" * 10_000),
}


def fetched(source, tmp_path):
    return sources.parse_file(str(source), configured()).fetch(tmp_path)


def digest_of(source, batch_rows=100):
    digest = hashlib.sha256()
    list(frames(source, batch_rows, digest=digest))
    return digest.hexdigest()


def big_file(kind, tmp_path, n_rows=250):
    frame = make_phishing_websites(n_rows, random_state=0)
    path = tmp_path / f"rows{kind}"
    text = frame.to_csv(index=False).encode()
    contents = {
        ".csv": text,
        ".csv.gz": gzip.compress(text),
        ".parquet": to_parquet(frame, row_group_size=70),
        ".arff": to_arff(frame),
        ".zip": to_zip(rows__arff=to_arff(frame)),
    }
    path.write_bytes(contents[kind])
    return path
