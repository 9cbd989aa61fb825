"""The column of addresses at the start of a pipeline: checked, read, and normalized."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data

from networksecurity.data.addresses import parse_addresses
from networksecurity.exceptions import AddressError


class AddressColumn(TransformerMixin, BaseEstimator):
    """The base of what takes one column of addresses; stateless.

    All spellings of an address are read as one: a verdict does not depend on how the address was written.
    """

    def fit(self, X: Any, y: object = None) -> "AddressColumn":  # noqa: ARG002 (scikit-learn passes it)
        """Check that `X` has one column, and remember its name.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, 1)
            Addresses.
        y : ignored

        Raises
        ------
        ValueError
            `X` has not one column.
        """
        self._column(X, reset=True)
        return self

    def _column(self, X: Any, *, reset: bool) -> pd.Series:
        if reset or hasattr(self, "n_features_in_"):  # it need not be fitted
            validate_data(self, X, reset=reset, skip_check_array=True)
        frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(X)
        if frame.shape[1] != 1:
            raise ValueError(f"expected one column of addresses, found {frame.shape[1]}")
        return frame.iloc[:, 0]

    def _read(self, X: Any) -> tuple[pa.LargeStringArray, pa.LargeStringArray]:
        """Return the normalized addresses and their registrable domains.

        Raises
        ------
        AddressError
            A text is no address; the message names its row.
        """
        parsed = parse_addresses(self._column(X, reset=False))
        rejected = parsed.reason.notna().to_numpy()
        if rejected.any():
            row = int(rejected.argmax())
            raise AddressError(f"row {row} is no address: {parsed.reason.iloc[row]}")
        return pa.array(parsed.normalized, pa.large_string()), pa.array(parsed.registrable_domain, pa.large_string())

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False  # of numbers, which scikit-learn's own checks would send
        tags.requires_fit = False
        return tags


# A frame of texts would be read as its column's name. (pyright does not see the mixin's option in a subclass.)
class AddressText(AddressColumn, auto_wrap_output_keys=None):  # pyright: ignore[reportGeneralTypeIssues, reportCallIssue]
    """Turn a column of addresses into texts that a `TfidfVectorizer` takes: normalized, without the scheme.

    Examples
    --------
    >>> AddressText().fit_transform([["HTTP://Example.com/a?b"]]).tolist()
    ['example.com/a?b']
    """

    def transform(self, X: Any) -> np.ndarray:
        """Normalize the addresses.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, 1)
            Addresses.

        Returns
        -------
        ndarray of shape (n_samples,), object
            Texts in ASCII.

        Raises
        ------
        AddressError
            A text is no address; the message names its row.
        """
        addresses, _ = self._read(X)
        return pc.replace_substring_regex(addresses, "^https?://", "").to_numpy(zero_copy_only=False)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:  # noqa: ARG002 (scikit-learn passes it)
        """Return one name: a pipeline asks each of its steps."""
        return np.array(["address"], dtype=object)
