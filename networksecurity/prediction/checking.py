"""A verdict on each of some addresses, for a command."""

from typing import Any

import pandas as pd
from pydantic import BaseModel

from networksecurity.data.address_rows import URL
from networksecurity.data.contracts import Addresses
from networksecurity.data.schema import LABEL, REASONS, SCORE
from networksecurity.exceptions import DataValidationError
from networksecurity.prediction.scoring import score

EXIT_PHISHING = 3
"""How a command ends that found phishing."""


class Verdict(BaseModel, frozen=True):
    """What a model says of an address."""

    url: str
    """As it was given."""
    label: str | None = None
    """`phishing` or `legitimate`; None if it is no address."""
    phishing_probability: float | None = None
    problem: str | None = None
    """Why it is no address; None if it is one."""

    def to_line(self) -> str:
        """Return the verdict in one line.

        Examples
        --------
        >>> Verdict(url="http://a.test/", label="phishing", phishing_probability=0.9312).to_line()
        'phishing    0.9312  http://a.test/'
        """
        shown = self.url.encode("unicode_escape").decode("ascii")  # a terminal obeys control characters
        if self.label is None:
            return f"no address          {shown}  ({self.problem})"
        return f"{self.label:<10}  {self.phishing_probability:.4f}  {shown}"


def check_addresses(model: Any, texts: list[str]) -> list[Verdict]:
    """Return a model's verdict on each text, in their order.

    Parameters
    ----------
    model : sklearn.pipeline.Pipeline
        Of the contract `addresses`.
    texts : list of str
        Addresses, also as analysts write them: `hxxp://evil[.]example`.

    Raises
    ------
    DataValidationError
        There are none.
    """
    if not texts:
        raise DataValidationError("there are no addresses to check")
    contract = Addresses()
    accepted, rejected = contract.validation(with_target=False).add(pd.DataFrame({URL: texts}))
    verdicts = dict(zip(rejected.index, rejected[REASONS], strict=True))
    found = score(model, accepted, contract)
    scored = dict(zip(found.index, zip(found[LABEL], found[SCORE], strict=True), strict=True))
    return [
        Verdict(url=text, problem=verdicts[i].removeprefix("url: "))
        if i in verdicts
        else Verdict(url=text, label=scored[i][0], phishing_probability=scored[i][1])
        for i, text in enumerate(texts)
    ]
