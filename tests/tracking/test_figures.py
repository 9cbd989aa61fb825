import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from matplotlib import pyplot
from PIL import Image

from networksecurity.data.sample import make_phishing_websites
from networksecurity.data.schema import FEATURE_DESCRIPTIONS, to_X_y
from networksecurity.data.splitting import split
from networksecurity.data.validation import validate
from networksecurity.monitoring.drift import ColumnDrift, DriftReport
from networksecurity.monitoring.thresholds import Thresholds
from networksecurity.tracking.figures import draw, draw_drift, draw_nothing, draw_overview
from networksecurity.training.candidates import CANDIDATES, make_pipeline
from networksecurity.training.explanation import explain


@pytest.fixture(scope="module")
def explanation():
    sides = split(validate(make_phishing_websites(1000, random_state=0)).accepted)
    return explain(make_pipeline(CANDIDATES["Logistic Regression"]).fit(*to_X_y(sides.train)), sides.test)


@pytest.fixture(scope="module")
def pictures(explanation):
    return draw(explanation, "Logistic Regression · test rows")


def test_pictures_are_png_files_of_the_documented_sizes(pictures):
    sizes = {}
    for name, content in pictures.items():
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert content.endswith(b"IEND\xaeB`\x82")
        assert len(content) < 80_000
        sizes[name] = struct.unpack(">II", content[16:24])
    assert sizes == {
        "confusion_matrix.png": (640, 480),
        "roc_curve.png": (640, 480),
        "precision_recall_curve.png": (640, 480),
        "calibration_curve.png": (640, 480),
        "permutation_importance.png": (640, 640),
    }


def test_pictures_can_be_read_on_a_dark_page(explanation, pictures):
    for content in [*pictures.values(), draw_overview(explanation, "")]:
        picture = Image.open(BytesIO(content)).convert("RGBA")
        assert picture.getchannel("A").getextrema() == (255, 255)
        assert picture.getpixel((0, 0)) == (255, 255, 255, 255)


def test_features_are_called_by_their_descriptions(explanation, pictures):
    importances = [
        of.model_copy(update={"feature": FEATURE_DESCRIPTIONS[of.feature]}) for of in explanation.permutation_importance
    ]
    described = explanation.model_copy(update={"permutation_importance": tuple(importances)})
    title = "Logistic Regression · test rows"
    assert draw(explanation, title, FEATURE_DESCRIPTIONS) == draw(described, title) != pictures


def test_a_column_that_was_not_compared_has_no_place_in_the_picture_of_drift():
    def drawn(*columns):
        return draw_drift(DriftReport.model_construct(columns=columns, thresholds=Thresholds()), "")

    port = ColumnDrift(name="port", verdict="no_drift", reason="", psi=0.002)
    left_out = ColumnDrift(name="y_score", verdict="not_compared", reason="no scores came with the new rows")
    only_missing = ColumnDrift(name="Favicon", verdict="drift", reason="missing more often")
    assert drawn(port, left_out) == drawn(port)
    assert drawn(port, only_missing) != drawn(port)
    assert drawn(left_out)


def test_an_overview_is_small(explanation):
    content = draw_overview(explanation, "Logistic Regression · test rows")
    assert struct.unpack(">II", content[16:24]) == (960, 320)
    assert len(content) < 30_000


def test_pyplot_holds_no_figure(pictures):
    assert pyplot.get_fignums() == []


def test_threads_draw_the_same(explanation, pictures):
    with ThreadPoolExecutor(2) as pool:
        drawn = pool.map(lambda _: draw(explanation, "Logistic Regression · test rows"), range(2))
        assert all(one == pictures for one in drawn)


def test_a_title_is_not_read_as_a_formula(explanation, pictures):
    assert draw(explanation, r"a $\wrong formula$ in a file's name") != pictures


def test_matplotlib_is_loaded_by_the_first_picture_only():
    code = "import sys, networksecurity.tracking.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_each_further_thread_that_draws_leaves_no_file_open():
    def open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    draw_nothing()
    before, together = open_files(), threading.Barrier(4)

    def draw_with_others():
        together.wait()
        draw_nothing()

    threads = [threading.Thread(target=draw_with_others) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_files() == before
