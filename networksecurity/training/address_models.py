"""Models that read addresses character by character, together with the numbers of `AddressFeatures`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.ensemble import VotingClassifier
    from sklearn.pipeline import FeatureUnion, Pipeline


_FEATURE_WEIGHT = 0.3
"""Largest value of a feature beside character n-grams, which have the length 1 together in each row."""


def character_ngrams(max_features: int = 20_000) -> "FeatureUnion":
    """Return an unfitted transformer of a column of addresses, for a linear classifier.

    It puts two things side by side: TF-IDF weights, with logarithmic term frequency, of the runs of 1 to 4 characters
    that stand in at least two addresses; and the features, each as its quantile among the training rows. N-grams see
    names and words that nobody thought of, features see lengths and counts. Case does not count.

    Parameters
    ----------
    max_features : int, default=20_000
        N-grams kept, the most frequent ones. More rank no better, and each takes 430 bytes of the stored model.

    Examples
    --------
    >>> from networksecurity.data.addresses.sample import make_addresses
    >>> ngrams = character_ngrams().fit(make_addresses(200)[["url"]])
    >>> ngrams.get_feature_names_out()[[0, -1]].tolist()
    ['ngrams__-', 'features__fragment_length']
    """
    from sklearn.pipeline import FeatureUnion, Pipeline
    from sklearn.preprocessing import QuantileTransformer

    from networksecurity.training.address_features import AddressFeatures

    features = Pipeline([("features", AddressFeatures()), ("scaler", QuantileTransformer(n_quantiles=100))])
    return FeatureUnion(
        [("ngrams", _ngrams(max_features)), ("features", features)], transformer_weights={"features": _FEATURE_WEIGHT}
    )


def ngrams_and_boosting(max_features: int = 20_000, *, random_state: int | None = 0) -> "VotingClassifier":
    """Return an unfitted classifier of a column of addresses: the mean of two that err on different rows.

    One is a logistic regression on character n-grams alone, the other Hist Gradient Boosting on the features alone.

    Parameters
    ----------
    max_features : int, default=20_000
        As of `character_ngrams`.
    random_state : int, optional
        Seed of the boosting.

    Examples
    --------
    >>> from networksecurity.data.addresses.sample import make_addresses
    >>> rows = make_addresses(300)
    >>> model = ngrams_and_boosting(max_features=1_000).fit(rows[["url"]], rows["label"])
    >>> model.score(rows[["url"]], rows["label"]) > 0.9
    True
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    from networksecurity.training.address_features import AddressFeatures

    regression = LogisticRegression(C=10, solver="liblinear")
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.06, max_leaf_nodes=15, max_iter=200, early_stopping=False, random_state=random_state
    )
    return VotingClassifier(
        [
            ("ngrams", Pipeline([("ngrams", _ngrams(max_features)), ("classifier", regression)])),
            ("boosting", Pipeline([("features", AddressFeatures()), ("classifier", boosting)])),
        ],
        voting="soft",
    )


def _ngrams(max_features: int) -> "Pipeline":
    from numpy import float32
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import Pipeline

    from networksecurity.training.address_text import AddressText

    weights = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 4), sublinear_tf=True, min_df=2, max_features=max_features, dtype=float32
    )
    return Pipeline([("text", AddressText()), ("ngrams", weights)])
