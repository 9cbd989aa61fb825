"""A verdict on each of some addresses, for a command."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel

from networksecurity.data.addresses.names import URL
from networksecurity.data.contracts import Addresses
from networksecurity.data.overrides.override import Overrides
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
    found, X = score(model, accepted, contract), contract.to_X(accepted).to_numpy()
    said: dict[Any, dict[str, Any]] = {
        i: {"problem": why.removeprefix("url: ")} for i, why in zip(rejected.index, rejected[REASONS], strict=True)
    }
    for i, label, probability in zip(found.index, found[LABEL], found[SCORE], strict=True):
        said[i] = {"label": label, "phishing_probability": probability, "by": "model"}
    for place, one in (overrides or Overrides(contract.name)).find(X).items():
        by_hand = {"label": one.label, "by": "override", "override": one.reason, "until": one.until}
        said[accepted.index[place]] |= by_hand
    if explainer:
        for i, reasons in zip(accepted.index, explainer.explain(X), strict=True):
            said[i]["explanation"] = reasons
    return [Verdict(url=text, **said[i]) for i, text in enumerate(texts)]
