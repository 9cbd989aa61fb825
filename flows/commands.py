"""The flows as commands: `networksecurity train`, or `python flows/train.py`, which is the same."""

from .launch import Command, run
from .parameters import EvaluateParameters, IngestParameters, MonitorParameters, ScoreParameters, TrainParameters

COMMANDS = {
    "train": Command(
        "train:train",
        TrainParameters,
        "training_report:summarize",
        "Training on {source}",
        (
            "--source rows.csv",
            "--source uci --models 'Random Forest' --cv 5",
            "--contract addresses --source addresses.csv",
            "--source mongodb --skip-unchanged --json",
        ),
    ),
    "ingest": Command(
        "ingest:ingest",
        IngestParameters,
        "ingest:summarize",
        "Ingesting {source}",
        ("--source rows.csv", "--source uci --target mongodb://127.0.0.1/work.rows"),
    ),
    "monitor": Command(
        "monitor:monitor",
        MonitorParameters,
        "monitor:summarize",
        "Comparing {source} with the rows behind the model in use",
        ("--source mongodb", "--source rows.csv --json"),
    ),
    "score": Command(
        "score:score",
        ScoreParameters,
        "score:summarize",
        "Scoring {source}",
        (
            "--source rows.csv --output scored.parquet",
            "--source mongodb --output mongodb --explain",
            "--contract addresses --source in.csv --output out.csv",
        ),
    ),
    "evaluate": Command(
        "evaluate:evaluate",
        EvaluateParameters,
        "evaluate:summarize",
        "Evaluating a model on {source}",
        ("--source labelled.csv", "--source labelled.csv --model-version 3 --json"),
    ),
}


def run_command(name: str, arguments: list[str] | None = None, program: str | None = None) -> int:
    """Run a flow with the options of a command line and return the exit code.

    Parameters
    ----------
    name : str
        A key of `COMMANDS`.
    arguments : list of str, optional
        By default those of this process.
    program : str, optional
        What the help calls the command; by default its file.
    """
    return run(COMMANDS[name], arguments, program or f"{name}.py")
