"""The features of addresses as the start of a pipeline, for models that take numbers."""

from typing import Any

import numpy as np

from networksecurity.data.addresses.features import ADDRESS_FEATURES, address_features
from networksecurity.training.address_text import AddressColumn


class AddressFeatures(AddressColumn):
    """Turn addresses into the numbers of `ADDRESS_FEATURES`.

    Stateless: `fit` only remembers the name of the column. Each address is normalized first: all spellings of one get
    the same numbers.

    Examples
    --------
    >>> X = [["http://paypal.com.evil-login.example/a.php"]]
    >>> features = AddressFeatures().set_output(transform="pandas").fit_transform(X)
    >>> features[["host_dots", "host_words", "subdomain_brands", "path_php"]].to_dict("records")
    [{'host_dots': 3.0, 'host_words': 1.0, 'subdomain_brands': 1.0, 'path_php': 1.0}]
    """

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, 1)
            Addresses.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float64
            In the order of `ADDRESS_FEATURES`, none missing.

        Raises
        ------
        AddressError
            A text is no address; the message names its row.
        """
        return address_features(*self._read(X))

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:  # noqa: ARG002 (names are fixed)
        """Return the names of `ADDRESS_FEATURES`."""
        return np.array(list(ADDRESS_FEATURES), dtype=object)
