"""Load a stored model and write its answers to some rows.

Usage: python -m networksecurity.champion.answer COLUMNS FOLDER ROWS ANSWERS

COLUMNS is a JSON list of those that the model should take, FOLDER holds an MLflow model, ROWS is a Parquet file with
them; ANSWERS becomes an array of shape (n_samples, 2): the predicted class and the probability of phishing.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from networksecurity.data.model_files import load_model
from networksecurity.exceptions import NetworkSecurityException
from networksecurity.tracking.mlmodel import MODEL_FILE, columns_of


def main(columns: str, folder: str, rows: str, answers: str) -> None:
    """Answer the rows of one file into another; exit with a message if the model takes other columns."""
    wanted = json.loads(columns)
    try:
        if columns_of(Path(folder)) != wanted:
            sys.exit("it does not take the columns of its contract")
        model = load_model(Path(folder, MODEL_FILE).read_bytes())
    except NetworkSecurityException as exc:
        sys.exit(str(exc))
    X = pd.read_parquet(rows)[wanted]
    np.save(answers, np.column_stack([model.predict(X), model.predict_proba(X)[:, 1]]))


if __name__ == "__main__":
    main(*sys.argv[1:])
