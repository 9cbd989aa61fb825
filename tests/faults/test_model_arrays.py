"""Model files of trusted types with other numbers in them are refused, or answer; none ends the interpreter."""

import io
import json
import multiprocessing
import re
import zipfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
import skops.io

from networksecurity.data.model_files import load_model
from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import to_X_y
from networksecurity.data.validation import validate
from networksecurity.exceptions import DataSourceError
from networksecurity.training.candidates import CANDIDATES, make_pipeline

N_FILES = 1_000
EXTREME = (-(2**31), -2, -1, 0, 1, 2, 7, 31, 10**6, 2**31 - 1)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3_600)]


def with_other_numbers(content, generator):
    """Return a skops file in which one to three numbers, of its arrays or its description, are others."""
    with zipfile.ZipFile(io.BytesIO(content)) as before:
        files = {name: before.read(name) for name in before.namelist()}
    arrays = [name for name in files if name.endswith(".npy")]
    for _ in range(generator.integers(1, 4)):
        if generator.random() < 0.3:
            text = files["schema.json"].decode()
            numbers = list(re.finditer(r'(?<="content": ")-?\d+', text))
            found = numbers[generator.integers(len(numbers))]
            text = text[: found.start()] + str(generator.choice(EXTREME)) + text[found.end() :]
            files["schema.json"] = text.encode()
        else:
            name = arrays[generator.integers(len(arrays))]
            array = np.load(io.BytesIO(files[name]), allow_pickle=False)
            if array.dtype.kind == "U" or not array.size:
                continue
            flat = array.reshape(-1).view(np.uint8).copy()
            size = int(generator.choice([1, 2, 4, 8]))
            start = int(generator.integers(max(len(flat) - size, 1)))
            value = np.array([generator.choice(EXTREME)], dtype=np.int64).view(np.uint8)[:size]
            flat[start : start + size] = value[: len(flat) - start]
            made = io.BytesIO()
            np.save(made, flat.view(array.dtype).reshape(array.shape))
            files[name] = made.getvalue()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as after:
        for name, data in files.items():
            after.writestr(name, data)
    return made.getvalue()


def attempt(content, X):
    """Return what became of a file."""
    try:
        model = load_model(content)
    except DataSourceError:
        return "refused"
    try:
        model.predict(X), model.predict_proba(X)
    except (ValueError, AttributeError, TypeError, LookupError, ArithmeticError, MemoryError):
        return "does not answer"
    return "answers"


@pytest.mark.parametrize("name", CANDIDATES)
def test_no_other_number_in_a_model_ends_the_interpreter(name):
    X, y = to_X_y(validate(make_phishing_websites(400, random_state=0)).accepted)
    small = {"n_estimators": 3} if "n_estimators" in CANDIDATES[name].param_grid else {}
    content = skops.io.dumps(make_pipeline(CANDIDATES[name], small).fit(X, y))
    generator, found, ended = np.random.default_rng(0), Counter(), []
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    for number in range(N_FILES):
        changed = with_other_numbers(content, generator)
        try:
            found[pool.submit(attempt, changed, X.head(50)).result(timeout=120)] += 1
        except BrokenProcessPool:
            ended.append(number)
            pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    pool.shutdown()
    print(f"{name}: {json.dumps(found)}, ended: {len(ended)}")
    assert ended == []
