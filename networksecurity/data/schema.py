"""What the data is: 30 features with their domains, and the target with its meaning.

The data set is UCI "Phishing Websites" (Mohammad, Thabtah, McCluskey; id 327). Each feature is a judgement on one sign:
-1 speaks for phishing, 1 for a legitimate site, 0 is in between (`Redirect` alone is 0 or 1).
In the target column -1 is phishing and 1 legitimate; inside this package `y = 1` means phishing (`encode_target`).
"""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pandera.pandas as pa

FEATURE_DESCRIPTIONS = {
    "having_IP_Address": "IP address instead of a host name",
    "URL_Length": "length of the address",
    "Shortining_Service": "address of a shortening service",
    "having_At_Symbol": "@ in the address",
    "double_slash_redirecting": "// in the path",
    "Prefix_Suffix": "hyphen in the domain",
    "having_Sub_Domain": "number of subdomains",
    "SSLfinal_State": "HTTPS, issuer and age of the certificate",
    "Domain_registeration_length": "how long the domain is registered for",
    "Favicon": "icon from another domain",
    "port": "open or unusual ports",
    "HTTPS_token": "the word https in the domain",
    "Request_URL": "images and media from other domains",
    "URL_of_Anchor": "links that lead elsewhere or nowhere",
    "Links_in_tags": "meta, script and link tags to other domains",
    "SFH": "where forms are sent to",
    "Submitting_to_email": "forms that are sent by e-mail",
    "Abnormal_URL": "host name that is not in the WHOIS record",
    "Redirect": "number of redirects",
    "on_mouseover": "status bar changed on mouseover",
    "RightClick": "right click disabled",
    "popUpWidnow": "pop-up windows that ask for text",
    "Iframe": "invisible frames",
    "age_of_domain": "age of the domain",
    "DNSRecord": "DNS record",
    "web_traffic": "rank by traffic",
    "Page_Rank": "PageRank",
    "Google_Index": "indexed by Google",
    "Links_pointing_to_page": "links from elsewhere to the page",
    "Statistical_report": "host among those most reported for phishing",
}
"""What each feature is a judgement on."""
FEATURE_GROUPS: dict[str, tuple[str, ...]] = {
    "address": (
        "having_IP_Address",
        "URL_Length",
        "Shortining_Service",
        "having_At_Symbol",
        "double_slash_redirecting",
        "Prefix_Suffix",
        "having_Sub_Domain",
        "port",
        "HTTPS_token",
    ),
    "page": (
        "Favicon",
        "Request_URL",
        "URL_of_Anchor",
        "Links_in_tags",
        "SFH",
        "Submitting_to_email",
        "Redirect",
        "on_mouseover",
        "RightClick",
        "popUpWidnow",
        "Iframe",
    ),
    "certificate": ("SSLfinal_State",),
    "registration": ("Domain_registeration_length", "Abnormal_URL", "age_of_domain", "DNSRecord"),
    "ended services": ("web_traffic", "Page_Rank", "Google_Index", "Links_pointing_to_page", "Statistical_report"),
}
"""Which features come from the same place, and so go missing together."""
VALUE_DESCRIPTIONS: dict[str, dict[int, str]] = {
    "having_IP_Address": {-1: "the host is an IP address", 1: "the host is a name"},
    "URL_Length": {-1: "more than 75 characters", 0: "54 to 75 characters", 1: "under 54 characters"},
    "Shortining_Service": {-1: "a shortening service", 1: "no shortening service"},
    "having_At_Symbol": {-1: "an @", 1: "no @"},
    "double_slash_redirecting": {-1: "a second // after the scheme", 1: "no second //"},
    "Prefix_Suffix": {-1: "a hyphen", 1: "no hyphen"},
    "having_Sub_Domain": {-1: "two subdomains or more", 0: "one subdomain", 1: "none"},
    "SSLfinal_State": {
        -1: "no HTTPS, or a young certificate",
        0: "issuer not trusted",
        1: "trusted, a year old or more",
    },
    "Domain_registeration_length": {-1: "for a year or less", 1: "for more than a year"},
    "Favicon": {-1: "from another domain", 1: "from the site itself"},
    "port": {-1: "ports other than 80 and 443 answer", 1: "only the usual ports answer"},
    "HTTPS_token": {-1: "https in the host name", 1: "not in the host name"},
    "Request_URL": {-1: "22 % or more from elsewhere", 1: "under 22 % from elsewhere"},
    "URL_of_Anchor": {-1: "more than 67 % of the links", 0: "31 to 67 % of the links", 1: "under 31 % of the links"},
    "Links_in_tags": {-1: "more than 81 % of the tags", 0: "17 to 81 % of the tags", 1: "under 17 % of the tags"},
    "SFH": {-1: "nowhere (empty or about:blank)", 0: "to another domain", 1: "to the site itself"},
    "Submitting_to_email": {-1: "a form is sent by e-mail", 1: "none is"},
    "Abnormal_URL": {-1: "not in the record", 1: "in the record"},
    "Redirect": {0: "two or more redirects", 1: "at most one redirect"},
    "on_mouseover": {-1: "it changes", 1: "it does not"},
    "RightClick": {-1: "disabled", 1: "not disabled"},
    "popUpWidnow": {-1: "a pop-up asks for text", 1: "none does"},
    "Iframe": {-1: "an invisible frame", 1: "none"},
    "age_of_domain": {-1: "under six months", 1: "six months or more"},
    "DNSRecord": {-1: "none", 1: "there is one"},
    "web_traffic": {-1: "no rank", 0: "rank 100,000 or worse", 1: "among the first 100,000"},
    "Page_Rank": {-1: "under 0.2", 1: "0.2 or more"},
    "Google_Index": {-1: "not indexed", 1: "indexed"},
    "Links_pointing_to_page": {-1: "none", 0: "one or two", 1: "more than two"},
    "Statistical_report": {-1: "listed", 1: "not listed"},
}
"""Every feature, and what each of its values stands for by the rules of the data set's authors, in short; its rows do
not follow them."""

TARGET = "Result"
FEATURES: dict[str, tuple[int, ...]] = {name: tuple(values) for name, values in VALUE_DESCRIPTIONS.items()}
"""Every feature with the values it may take."""
DOMAINS: dict[str, tuple[int, ...]] = {**FEATURES, TARGET: (-1, 1)}
"""Every column, the target last, with the values it may take."""
PHISHING_WEBSITES = pa.DataFrameSchema(
    {name: pa.Column("Int8", pa.Check.isin(domain), nullable=name != TARGET) for name, domain in DOMAINS.items()},
    strict=True,
    ordered=True,
    description="Accepted rows: these columns in this order and no others, int8, missing values allowed in features.",
)
FEATURES_ONLY = PHISHING_WEBSITES.remove_columns([TARGET])

CLASS_LABELS = {0: "legitimate", 1: "phishing"}
"""What `y` means. The positive class, in every metric and curve, is 1."""
UNSURE = "unsure"
"""The label of a row that is left to a person."""
LABELS = {**CLASS_LABELS, 2: UNSURE}
"""The labels of predictions by their code: the classes, and `UNSURE`."""

MISSING = -128
"""The int8 that stands for a missing value where an array has no mask."""

SCORE, LABEL = "phishing_probability", "label"
"""The columns of a prediction."""
ROW, MODEL, MODEL_VERSION = "row", "model", "model_version"
"""The other columns of a prediction: the row's number in its source, from 0, and the model's name and version."""
LABEL_BY, OVERRIDE = "label_by", "override"
"""Columns of a prediction: whether its label is the model's or a person's, and that person's reason."""
KNOWN, F1_KNOWN = "known", "f1_when_only_these_are_known"
"""Columns of a prediction: how many features are known, and how good the model is with no more than that."""
EXPLANATION = "explanation"
"""What a prediction holds of the reasons for it, where they were asked for."""
REASONS = "reasons"
"""The column that says why a row was rejected."""

_OTHER_SPELLINGS = {
    "having_IPhaving_IP_Address": "having_IP_Address",
    "URLURL_Length": "URL_Length",
    "Shortening_Service": "Shortining_Service",
    "having_Sub_Domains": "having_Sub_Domain",
    "Domain_registration_length": "Domain_registeration_length",
    "port_no": "port",
    "popUpWindow": "popUpWidnow",
    "class": TARGET,
    "CLASS_LABEL": TARGET,
}
# The copy of 11,054 rows that calls the same columns, in the same order, by names of its own.
_RENAMED_COPY = (
    "UsingIP LongURL ShortURL Symbol@ Redirecting// PrefixSuffix- SubDomains HTTPS DomainRegLen Favicon NonStdPort "
    "HTTPSDomainURL RequestURL AnchorURL LinksInScriptTags ServerFormHandler InfoEmail AbnormalURL WebsiteForwarding "
    "StatusBarCust DisableRightClick UsingPopupWindow IframeRedirection AgeofDomain DNSRecording WebsiteTraffic "
    "PageRank GoogleIndex LinksPointingToPage StatsReport class"
).split()
MISSING_MARKERS = {"", "?", "<na>", "n/a", "na", "nan", "none", "null"}
"""What a missing value is written as, in lower case."""
_ROW_NUMBER = re.compile(
    r"unnamed0(1|2)*|level0|x1?|id|index|no|s(erial|r|l)?(no|number)|r(ow|ecord)(id|no|num|number|names?)?"
)
"""Names of row numbers: those of pandas and R for a column without one, and people's."""
_ONLY_PREDICTED = {"predictedcolumn", "phishingprobability", "modelversion"}
_PREDICTED = _ONLY_PREDICTED | {"label", "model", "explanation"}
"""Columns that predictions have, and those that nothing else has."""
_KEYS = {"url", "urls", "domain", "domainname", "host", "hostname", "address", "website", "link"}
"""What a website may be told by, beside its features."""


def _normalized(column: object) -> str:
    # R turns signs into dots, databases and pandas' users turn them into underscores, or nothing.
    return re.sub(r"[\W_]", "", str(column)).casefold()


_CANONICAL_NAMES = {
    _normalized(alias): name
    for alias, name in [
        *((name, name) for name in DOMAINS),
        *_OTHER_SPELLINGS.items(),
        *zip(_RENAMED_COPY, DOMAINS, strict=True),
    ]
}


def canonical_name(column: object) -> str | None:
    """Return the schema's name for a column as spelled in one of the known copies of the data, None if unknown.

    Only letters and digits count, and their case does not.
    """
    name = str(column)
    return name if name in DOMAINS else _CANONICAL_NAMES.get(_normalized(name))


def is_row_number(column: object) -> bool:
    """Return whether a column's name says that it numbers the rows; such a column must never become a feature.

    Examples
    --------
    >>> [name for name in ("Unnamed: 0.1", "level_0", "Sr. No.", "#", "port", "@") if is_row_number(name)]
    ['Unnamed: 0.1', 'level_0', 'Sr. No.', '#']
    """
    name = _normalized(column)
    return _ROW_NUMBER.fullmatch(name) is not None if name else str(column).strip() in ("", "#")


def left_out(columns: Iterable[object]) -> dict[str, str]:
    """Return, of the columns of rows to learn from, those that are no features by their name, and why.

    Examples
    --------
    >>> left_out(["Unnamed: 0", "url", "port", "predicted_column"])
    {'Unnamed: 0': 'a row number', 'url': 'a key', 'predicted_column': 'an earlier prediction'}
    """
    names = {str(column): _normalized(column) for column in columns}
    predicted = _PREDICTED if _ONLY_PREDICTED & set(names.values()) else set()
    reasons = {}
    for column, name in names.items():
        if is_row_number(column):
            reasons[column] = "a row number"
        elif name in predicted:
            reasons[column] = "an earlier prediction"
        elif name in _KEYS:
            reasons[column] = "a key"
    return reasons


def encode_target(result: pd.Series) -> np.ndarray:
    """Return `y`, int8 of shape (n_samples,): 1 where the column `Result` says phishing (-1), else 0."""
    return (result.to_numpy("int8") == -1).astype("int8")


def to_X(accepted: pd.DataFrame) -> pd.DataFrame:
    """Return the features of accepted rows as scikit-learn takes them.

    Returns
    -------
    X : DataFrame of shape (n_samples, 30), float64
        NaN where a value is missing.
    """
    return pd.DataFrame(
        {name: accepted[name].to_numpy("float64", na_value=np.nan) for name in FEATURES}, index=accepted.index
    )


def to_X_y(accepted: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return accepted rows, with their target, as scikit-learn takes them.

    Returns
    -------
    X : DataFrame of shape (n_samples, 30), float64
        As from `to_X`.
    y : ndarray of shape (n_samples,), int8
        1 is phishing.
    """
    return to_X(accepted), encode_target(accepted[TARGET])
