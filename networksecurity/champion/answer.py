"""Load a stored model and write its answers to some rows.

Usage: python -m networksecurity.champion.answer CONTRACT FOLDER ROWS ANSWERS

CONTRACT is the name of one, FOLDER holds an MLflow model, ROWS is a Parquet file with its columns; ANSWERS becomes an
array of shape (n_samples, 2): the predicted class and the probability of phishing.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from networksecurity.data.contracts import get_contract
from networksecurity.data.storage import load_model


def main(contract: str, folder: str, rows: str, answers: str) -> None:
    """Answer the rows of one file into another; exit with a message if the model takes other columns."""
    columns = list(get_contract(contract).columns)
    stored = yaml.safe_load(Path(folder, "MLmodel").read_text(encoding="utf-8"))
    if [column["name"] for column in json.loads(stored["signature"]["inputs"])] != columns:
        sys.exit(f"it does not take the columns of {contract}")
    model = load_model(Path(folder, stored["flavors"]["sklearn"]["pickled_model"]).read_bytes())
    X = pd.read_parquet(rows)[columns]
    np.save(answers, np.column_stack([model.predict(X), model.predict_proba(X)[:, 1]]))


if __name__ == "__main__":
    main(*sys.argv[1:])
