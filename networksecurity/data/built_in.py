"""The built-in sample of a contract as a source of rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from networksecurity.data.contracts import WEBSITES, Contract
from networksecurity.data.raw import Batches, Digest, Rows
from networksecurity.data.sample import is_synthetic, parameters_file
from networksecurity.exceptions import ConfigurationError


@dataclass(frozen=True)
class Sample:
    """The built-in sample as a source of rows."""

    shown: str = "sample"
    n_samples: int = 11_055
    contract: Contract = WEBSITES
    notes: ClassVar[tuple[str, ...]] = ()
    """As of `File`: there is nothing to say."""

    @classmethod
    def named(cls, text: str, contract: Contract = WEBSITES) -> Self | None:
        """Return the sample that `sample` or `sample:N` names, None for any other source.

        Raises
        ------
        ConfigurationError
            N is not a whole number from 1.
        """
        if not is_synthetic(text):
            return None
        _, colon, n_samples = text.partition(":")
        if not colon:
            return cls(contract=contract)
        if not (n_samples.isascii() and n_samples.isdigit() and int(n_samples) > 0):
            raise ConfigurationError(f"{text!r}: expected sample:N with N a whole number from 1, such as sample:100000")
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
