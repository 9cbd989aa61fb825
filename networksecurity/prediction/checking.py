"""A verdict on each of some addresses, for a command."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel

from networksecurity.data.addresses.names import URL
from networksecurity.data.contracts import Addresses
from networksecurity.data.overrides import Override, Overrides
from networksecurity.data.schema import CLASS_LABELS, LABEL, REASONS, SCORE, UNSURE
from networksecurity.exceptions import DataValidationError
from networksecurity.prediction.reasons import Explainer
from networksecurity.prediction.scoring import score

EXIT_PHISHING, EXIT_UNSURE = 3, 4
"""How a command ends that found phishing, or nothing worse than addresses that a person has to judge."""


class Verdict(BaseModel, frozen=True):
    """What a model says of an address."""

    url: str
    """As it was given."""
    label: str | None = None
    """`phishing`, `legitimate` or `unsure`; None if it is no address."""
    phishing_probability: float | None = None
    by: Literal["model", "override"] | None = None
    """Whose label it is: the model's, or that of a person, which does not depend on the probability."""
    override: str | None = None
    """The reason of who set the label."""
    until: datetime | None = None
    """From then on the model decides again."""
    problem: str | None = None
    """Why it is no address; None if it is one."""
    explanation: list[dict[str, Any]] | None = None
    """The strongest reasons, the strongest first, if they were asked for."""

    def to_line(self) -> str:
        """Return the verdict in one line, and one for each reason.

        Examples
        --------
        >>> Verdict(url="http://a.test/", label="phishing", phishing_probability=0.9312).to_line()
        'phishing    0.9312  http://a.test/'
        """
        shown = self.url.encode("unicode_escape").decode("ascii")  # a terminal obeys control characters
        if self.label is None:
            return f"no address          {shown}  ({self.problem})"
        by_hand = f"  (set by hand until {self.until:%Y-%m-%d}: {self.override})" if self.until else ""
        lines = [f"{self.label:<10}  {self.phishing_probability:.4f}  {shown}{by_hand}"]
        for of in self.explanation or []:
            value = str(of["value"] or "none").encode("unicode_escape").decode("ascii")
            lines.append(f"{'':<10} {of['effect']:+.4f}  {of['description']}: {value}")
        return "\n".join(lines)


def exit_code_of(verdicts: Iterable[Verdict]) -> int:
    """Return how a command ends with these verdicts: by the worst of them.

    Examples
    --------
    >>> unsure, legitimate = (Verdict(url="", label=label) for label in ("unsure", "legitimate"))
    >>> exit_code_of([legitimate]), exit_code_of([legitimate, unsure])
    (0, 4)
    >>> exit_code_of([unsure, Verdict(url="", problem="it is empty")])
    1
    """
    verdicts = list(verdicts)
    labels = {of.label for of in verdicts}
    if CLASS_LABELS[1] in labels:
        return EXIT_PHISHING
    if any(of.problem for of in verdicts):
        return 1
    return EXIT_UNSURE if UNSURE in labels else 0


def check_addresses(
    model: Any, texts: list[str], overrides: Overrides | None = None, explainer: Explainer | None = None
) -> list[Verdict]:
    """Return a model's verdict on each text, in their order.

    Parameters
    ----------
    model : sklearn.pipeline.Pipeline
        Of the contract `addresses`.
    texts : list of str
        Addresses, also as analysts write them: `hxxp://evil[.]example`.
    overrides : Overrides, optional
        Those in force.
    explainer : Explainer, optional
        With it, each verdict has its reasons.

    Raises
    ------
    DataValidationError
        There are none.
    """
    if not texts:
        raise DataValidationError("there are no addresses to check: give at least one")
    contract = Addresses()
    accepted, rejected = contract.validation(with_target=False).add(pd.DataFrame({URL: texts}))
    problems = dict(zip(rejected.index, rejected[REASONS], strict=True))
    found = score(model, accepted, contract)
    scored = dict(zip(found.index, zip(found[LABEL], found[SCORE], strict=True), strict=True))
    X = contract.to_X(accepted).to_numpy()
    by_hand = (overrides or Overrides(contract.name)).find(X)
    set_by = {accepted.index[i]: one for i, one in by_hand.items()}
    reasons = dict(zip(accepted.index, explainer.explain(X), strict=True)) if explainer else {}
    return [
        Verdict(url=text, problem=problems[i].removeprefix("url: "))
        if i in problems
        else _verdict(text, *scored[i], set_by.get(i)).model_copy(update={"explanation": reasons.get(i)})
        for i, text in enumerate(texts)
    ]


def _verdict(text: str, label: str, probability: float, override: Override | None) -> Verdict:
    found = Verdict(url=text, label=label, phishing_probability=probability, by="model")
    if override is None:
        return found
    set_by_hand = {"label": override.label, "by": "override", "override": override.reason, "until": override.until}
    return found.model_copy(update=set_by_hand)
