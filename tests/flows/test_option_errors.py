import pytest

from flows.options import read_options
from flows.parameters import ScoreParameters, TrainParameters


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--sorce", "x.csv"], "train.py: error: there is no option --sorce. Did you mean `--source`?"),
        (["--sorce=x.csv"], "Did you mean `--source`?"),
        (["--gate.min-f11", "0.5"], "Did you mean `--gate.min-"),
        (["--unknown"], "error: unrecognized arguments: --unknown"),
        (["--cv", "1"], "train.py: error: --cv: has to be at least 2, not '1'"),
        (["--cv", "three"], "--cv: a whole number is needed, not 'three'"),
        (["--test-size", "1"], "--test-size: has to be less than 1, not '1'"),
        (["--test-size", "half"], "--test-size: a number is needed, not 'half'"),
        (["--scoring", "r2"], "--scoring: has to be 'f1', 'precision'"),
        (["--source", ""], "--source: may not be empty"),
        (["--cv", "x" * 7000], "--cv: a whole number is needed, not 'xxx"),
    ],
)
def test_a_wrong_option_is_one_line_in_plain_words(arguments, says, capsys):
    with pytest.raises(SystemExit) as caught:
        read_options(TrainParameters, arguments, "train.py")
    assert caught.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert says in last
    assert len(last) < 300


def test_an_option_that_is_known_is_read():
    found, _ = read_options(TrainParameters, ["--random-state", "7", "--refresh", "--gate.margin=0.1"], "train.py")
    assert (found.random_state, found.refresh, found.gate.margin) == (7, True, 0.1)
    found, output = read_options(
        ScoreParameters, ["--source=a.csv", "--output=b.csv", "--explain", "--quiet"], "score.py"
    )
    assert (found.explain, output.quiet) == (True, True)
