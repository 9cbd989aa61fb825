"""The built-in sample of a contract as a source of rows."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.raw import Batches, Digest, Rows
from networksecurity.data.sample import is_synthetic, parameters_file
from networksecurity.exceptions import ConfigurationError, quoted
from networksecurity.settings import variable_of


@dataclass(frozen=True)
class Sample:
    """The built-in sample as a source of rows."""

    shown: str = "sample"
    n_samples: int = 11_055
    contract: Contract = WEBSITES
    notes: ClassVar[tuple[str, ...]] = ()
    """As of `File`: there is nothing to say."""

    @classmethod
    def named(cls, text: str, contract: Contract, most_rows: int) -> Self | None:
        """Return the sample that `sample` or `sample:N` names, None for any other source.

        Raises
        ------
        ConfigurationError
            N is not a whole number from 1 to `most_rows`.
        """
        if not is_synthetic(text):
            return None
        _, colon, n_samples = text.partition(":")
        if not colon:
            return cls(contract=contract)
        if not re.fullmatch("0*[1-9][0-9]*", n_samples):
            raise ConfigurationError(
                f"{quoted(text)}: expected sample:N with N a whole number from 1, such as sample:100000"
            )
        if len(n_samples.lstrip("0")) > len(str(most_rows)) or int(n_samples) > most_rows:
            raise ConfigurationError(
                f"{quoted(text)} has more than {most_rows:,} rows, the limit: set "
                f"{variable_of('max_sample_rows')} if there is room for them"
            )
        return cls(text, int(n_samples), contract)

    def fetch(self, folder: Path) -> "Sample":  # noqa: ARG002 (a URL needs the folder)
        """Return the sample: it needs no fetching."""
        return self

    def read(self) -> Rows:
        """Return all rows."""
        return Rows(self.contract.make_sample(self.n_samples, random_state=0))

    @contextmanager
    def batches(
        self,
        batch_rows: int = 20_000,
        *,
        exact_others: bool = False,  # noqa: ARG002 (there are none)
        digest: Digest | None = None,
    ) -> Iterator[Batches]:
        """Make the rows and hand them out in batches; `digest` is updated with what they are made from."""
        if digest:
            digest.update(b"%d random_state=0 " % self.n_samples + parameters_file().read_bytes())
            if self.contract.name != WEBSITES.name:
                digest.update(self.contract.sha256.encode())
        frame = self.read().frame
        frames = (frame[start : start + batch_rows] for start in range(0, len(frame), batch_rows))
        yield Batches(frames, n_rows=len(frame))
