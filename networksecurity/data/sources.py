"""Where rows come from: a source as it is typed, parsed once into a value that can be read.

| source | rows |
| --- | --- |
| `sample`, `sample:100000` | the built-in sample, 11,055 rows or as many as asked for |
| a path or http(s) URL with an ending of `files.FORMATS` | a file; behind `!` the member of an archive |
| `uci` | the data set's own archive |
| `mongodb://…/database.collection` | a collection; what the path leaves out comes from the settings |
| `mongodb` | the collection of the contract, with the connection string in `MONGODB_URI` |

Each of the four kinds has `shown`, itself without credentials, `read()` for all rows at once, and `batches()` for what
is larger than memory. A new kind of source needs these three, and a line in `parse`.
"""

from dataclasses import replace

from networksecurity.data import mongodb
from networksecurity.data.built_in import Sample
from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.files import ENDINGS, File
from networksecurity.data.files.limits import Limits
from networksecurity.data.mongodb import Collection
from networksecurity.data.web import Url
from networksecurity.exceptions import ConfigurationError, quoted
from networksecurity.settings import Settings, without_credentials

Source = Sample | File | Url | Collection

UCI_URL = "https://archive.ics.uci.edu/static/public/327/phishing+websites.zip"

_ACCEPTED = (
    f"sample, sample:N, a path or http(s) URL that ends in {ENDINGS}, uci, "
    "mongodb://host/database.collection, mongodb+srv://…, or mongodb (with MONGODB_URI set)"
)


def parse(text: str, settings: Settings, contract: Contract = WEBSITES) -> Source:
    """Return the source that a text names; no server is asked and no file opened.

    Parameters
    ----------
    text : str
        One of the forms in this module's table. Relative paths are relative to the current folder.
    settings : Settings
        Where MongoDB is, and how long to wait for it or for a web server.
    contract : Contract, default=WEBSITES
        What the rows are.

    Raises
    ------
    ConfigurationError
        It is of no known form, needs a setting that is missing, or is a sample of too many rows.
    DataSourceError
        It is a folder.

    Examples
    --------
    >>> from networksecurity.settings import Settings
    >>> parse("sample:100", Settings())
    Sample(shown='sample:100', n_samples=100, contract=Websites(name='websites', positive=None))
    >>> parse("https://jane:secret@example.org/rows.csv?token=secret", Settings()).shown
    'https://example.org/rows.csv'
    """
    if sample := Sample.named(text, contract, settings.max_sample_rows):
        return sample
    if collection := mongodb.parse(text, settings, contract):
        return collection
    if text == "uci" or text.lower().startswith(("http://", "https://")):
        return Url.of(UCI_URL if text == "uci" else text, settings)
    if "://" not in text and text.strip() and (file := File.at(text, Limits.of(settings))):
        return file
    raise ConfigurationError(f"unknown source {quoted(without_credentials(text))}; one of: {_ACCEPTED}")


def parse_file(text: str, settings: Settings, contract: Contract = WEBSITES) -> Sample | File | Url:
    """Return the source that a text names, as `parse` does, but for collections; the errors are those of both."""
    return only_file(parse(text, settings, contract))


def only_file(source: Source) -> Sample | File | Url:
    """Return the source, which is to be written to MongoDB.

    Raises
    ------
    ConfigurationError
        It is a collection, whose rows are in MongoDB already.
    """
    if isinstance(source, Collection):
        raise ConfigurationError(f"{source.shown} is a collection: its rows are in MongoDB already")
    return source


def without_header(source: Source, columns: tuple[str, ...]) -> Source:
    """Return a file whose first line holds data; its columns have these names, of which it may lack the last.

    Raises
    ------
    ConfigurationError
        It is no file.
    """
    if not isinstance(source, File | Url):
        raise ConfigurationError(f"{source.shown} is no file: leave out --header none, which is for files of text")
    return replace(source, columns=columns)


def checked(source: Source, contract: Contract, *, with_target: bool = True) -> Source:
    """Return a file that is read as the rows of a contract; other sources as they are.

    No more than its first rows are read unless they are such rows, and the contract's texts are left as they are
    written.
    """
    if not isinstance(source, File | Url):
        return source
    return replace(source, check=contract.validation(with_target=with_target).add, is_text=contract.is_text)
