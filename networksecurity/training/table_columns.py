"""How a pipeline reads the columns of a table: numbers imputed and scaled, categories encoded.

All of it is scikit-learn's own, so a model loads wherever scikit-learn is. Categories are told from numbers by their
dtype when the pipeline is fitted; a category that was not seen then counts as unknown, and never fails.
"""

from typing import Any, Literal

from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

_UNKNOWN, _MISSING = -1, -2
_MAX_CATEGORIES = 50
"""Of one column, with an indicator of their own for a linear model; rarer ones share one."""


def read_columns(*, scaled: bool, categories: bool, imputer: Literal["most_frequent", "knn"]) -> list[tuple[str, Any]]:
    """Return the first steps of a pipeline, by name.

    Parameters
    ----------
    scaled : bool
        For estimators that compare columns with each other: numbers with mean 0 and variance 1, an indicator per
        category. Otherwise, for trees, numbers as they are and an integer per category.
    categories : bool
        Whether there are columns that are no numbers.
    imputer : {"most_frequent", "knn"}
        What stands in for a missing number: the column's median, or the mean of the 5 nearest rows that have one. A
        missing category is a category of its own.
    """
    # A column that is missing in every training row is kept: a model's columns never depend on the data.
    impute = (
        KNNImputer(n_neighbors=5, keep_empty_features=True)
        if imputer == "knn"
        else SimpleImputer(strategy="median", keep_empty_features=True)
    )
    numbers = [("imputer", impute), *([("scaler", StandardScaler())] if scaled else [])]
    if not categories:
        return numbers
    encoder = (
        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5, max_categories=_MAX_CATEGORIES)
        if scaled
        else OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=_UNKNOWN, encoded_missing_value=_MISSING)
    )
    columns = ColumnTransformer(
        [
            ("numbers", Pipeline(numbers), make_column_selector(dtype_include="number")),
            ("categories", encoder, make_column_selector(dtype_exclude="number")),
        ],
        verbose_feature_names_out=False,
    )
    return [("table", columns)]
