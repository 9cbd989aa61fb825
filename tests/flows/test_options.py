import pytest

from flows.options import read_options
from flows.parameters import IngestParameters, ScoreParameters, TrainParameters


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--sorce", "x.csv"], "train.py: error: there is no option --sorce. Did you mean `--source`?"),
        (["--sorce=x.csv"], "Did you mean `--source`?"),
        (["--gate.min-f11", "0.5"], "Did you mean `--gate.min-"),
        (["--unknown"], "error: unrecognized arguments: --unknown"),
        (["--cv", "1"], "train.py: error: --cv: has to be a whole number from 2 to 50, not '1'"),
        (["--cv", "three"], "--cv: has to be a whole number from 2 to 50, not 'three'"),
        (["--test-size", "1"], "--test-size: has to be a number above 0 and below 1, not '1'"),
        (["--test-size", "half"], "--test-size: has to be a number above 0 and below 1, not 'half'"),
        (["--scoring", "r2"], "--scoring: has to be 'f1', 'precision'"),
        (["--source", ""], "--source: may not be empty"),
        (["--cv", "x" * 7000], "--cv: has to be a whole number from 2 to 50, not 'xxx"),
        (["--gate.margin", "2"], "--gate.margin: has to be a number from 0 to 1, not '2'"),
        (["--search-rows", "9"], "--search-rows: has to be a whole number of at least 100, not '9'"),
        (["--reason", "x" * 7000], "--reason: may have at most 500 characters, not 'xxx"),
        (["--models", "x" * 7000], "--models: there is no model 'xxx"),
        (["--contract", "x" * 7000], "--contract: there is no contract 'xxx"),
        (["--source"], "--source: a value is needed"),
        (["--refresh=maybe"], "--refresh: takes no value, not 'maybe'"),
        (["x" * 7000], "unrecognized arguments: xxx"),
    ],
)
def test_a_wrong_option_is_one_line_in_plain_words(arguments, says, capsys):
    with pytest.raises(SystemExit) as caught:
        read_options(TrainParameters, arguments, "train.py")
    assert caught.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert says in last
    assert len(last) < 400
    assert "x" * 101 not in last


@pytest.mark.parametrize(
    ("option", "name"), [("--quiet", "quiet"), ("--verbose", "verbose"), ("--json", "json_document")]
)
def test_an_option_of_every_flow_is_not_taken_for_a_misspelt_one(option, name):
    _, output = read_options(ScoreParameters, ["--source", "sample", "--output", "x.csv", option], "score.py")
    assert getattr(output, name)


SECRET = "mongodb://me:hush@127.0.0.1/db.rows"


@pytest.mark.parametrize(
    ("parameters", "arguments", "says"),
    [
        (TrainParameters, ["--source", SECRET], "error: --source: "),
        (IngestParameters, ["--source", "sample", "--target", SECRET], "error: --target: "),
        (ScoreParameters, ["--source", "sample", "--output", SECRET], "error: --output: "),
    ],
)
def test_an_address_with_a_password_is_sent_to_the_settings_and_not_shown(parameters, arguments, says, capsys):
    with pytest.raises(SystemExit):
        read_options(parameters, arguments, "flow.py")
    error = capsys.readouterr().err
    assert says in error
    assert "MONGODB_URI" in error
    assert "hush" not in error


@pytest.mark.parametrize(
    ("parameters", "arguments", "says"),
    [
        (IngestParameters, [], "error: --source: is needed"),
        (ScoreParameters, ["--source", "sample"], "error: --output: is needed"),
        (
            ScoreParameters,
            ["--source=sample", "--output=a.csv", "--since=3"],
            "error: --since: this is for rows of a",
        ),
    ],
)
def test_an_option_that_is_missing_or_has_nothing_to_act_on_is_said(parameters, arguments, says, capsys):
    with pytest.raises(SystemExit):
        read_options(parameters, arguments, "flow.py")
    assert says in capsys.readouterr().err


def test_an_option_that_is_known_is_read():
    found, _ = read_options(TrainParameters, ["--random-state", "7", "--refresh", "--gate.margin=0.1"], "train.py")
    assert (found.random_state, found.refresh, found.gate.margin) == (7, True, 0.1)
    found, output = read_options(
        ScoreParameters, ["--source=a.csv", "--output=b.csv", "--explain", "--quiet"], "score.py"
    )
    assert (found.explain, output.quiet) == (True, True)


@pytest.mark.parametrize("host", ["https://example.org", "https://c4nary@example.org"])
def test_parameters_that_are_recorded_hold_no_token(host):
    parameters = TrainParameters(source=f"{host}/rows.csv?token=c4nary")
    assert "c4nary" in parameters.source
    assert parameters.model_dump(mode="json")["source"] == "https://example.org/rows.csv"
