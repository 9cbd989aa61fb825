"""Small files of each kind, as the tests of sources read them."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import re
import zipfile

import openpyxl
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
            of_no_time = zipfile.ZipInfo(name.replace("__", "."))
            archive.writestr(of_no_time, data, zipfile.ZIP_DEFLATED)
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


def to_xlsx(*sheets):
    book = openpyxl.Workbook()
    for number, rows in enumerate(sheets):
        sheet = book.active if number == 0 else book.create_sheet()
        for row in rows:
            sheet.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def share_texts(book, replaced=None):
    """Return a workbook of one sheet as Excel writes it: its texts in a part of their own, some replaced there."""
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    items = {}

    def number(found):
        return b't="s"><v>%d</v></c>' % items.setdefault(found[1], len(items))

    sheet, types = "xl/worksheets/sheet1.xml", "[Content_Types].xml"
    parts[sheet] = re.sub(rb't="inlineStr"><is>(.*?)</is></c>', number, parts[sheet])
    spreadsheet = b"application/vnd.openxmlformats-officedocument.spreadsheetml"
    override = b'<Override PartName="/xl/sharedStrings.xml" ContentType="%s.sharedStrings+xml"/></Types>' % spreadsheet
    parts[types] = parts[types].replace(b"</Types>", override)
    texts = b"".join(b"<si>%s</si>" % (replaced or {}).get(item, item) for item in items)
    parts["xl/sharedStrings.xml"] = (
        b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">%s</sst>' % texts
    )
    return to_zip(**parts)


RECORDS = TABLE.to_dict("records")

KINDS = {
    ".csv": CSV.encode(),
    ".csv.gz": gzip.compress(CSV.encode(), mtime=0),
    ".csv.bz2": bz2.compress(CSV.encode()),
    ".csv.xz": lzma.compress(CSV.encode()),
    ".csv.zst": pyarrow.compress(CSV.encode(), "zstd", asbytes=True),
    ".tsv": CSV.replace(",", "\t").encode(),
    ".txt": CSV.encode(),
    ".data": CSV.encode(),
    ".parquet": to_parquet(TABLE),
    ".arff": to_arff(TABLE, "'"),
    ".arff.gz": gzip.compress(to_arff(TABLE), mtime=0),
    ".json": json.dumps(RECORDS, indent=1).encode(),
    ".jsonl": "\n".join(map(json.dumps, RECORDS)).encode(),
    ".ndjson": "\n".join(map(json.dumps, RECORDS)).encode(),
    ".xlsx": share_texts(to_xlsx([["port", "Result"], *ROWS])),
    ".zip": to_zip(old__arff=to_arff(TABLE[:1]), Training__ARFF=to_arff(TABLE), readme__txt=b"x" * 10_000),
    ".csv.zip": to_zip(rows__csv=CSV, readme__txt=b"x" * 10_000),
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
    records = frame.to_dict("records")
    lines = "\n".join(map(json.dumps, records)).encode()
    contents = {
        ".csv": text,
        ".csv.gz": gzip.compress(text, mtime=0),
        ".csv.bz2": bz2.compress(text),
        ".csv.xz": lzma.compress(text),
        ".csv.zst": pyarrow.compress(text, "zstd", asbytes=True),
        ".tsv": text.replace(b",", b"\t"),
        ".txt": text,
        ".data": text,
        ".parquet": to_parquet(frame, row_group_size=70),
        ".arff": to_arff(frame),
        ".arff.gz": gzip.compress(to_arff(frame), mtime=0),
        ".json": json.dumps(records).encode(),
        ".jsonl": lines,
        ".ndjson": lines,
        ".xlsx": to_xlsx([list(frame), *frame.to_numpy().tolist()]),
        ".zip": to_zip(rows__arff=to_arff(frame)),
        ".csv.zip": to_zip(rows__csv=text),
    }
    path.write_bytes(contents[kind])
    return path
