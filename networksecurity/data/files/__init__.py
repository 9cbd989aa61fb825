"""Files of rows: delimited text, Parquet, ARFF, JSON and Excel workbooks, compressed or in a zip archive.

Each format is a reader of its own; `File` opens what a name says and finds the reader. What is read in a way that its
name does not tell is said in `File.notes`; what could be read in two ways is refused, never guessed.
"""

from networksecurity.data.file_kinds import ENDINGS, FORMATS, kind_of
from networksecurity.data.files.file import File

__all__ = ["ENDINGS", "FORMATS", "File", "kind_of"]
