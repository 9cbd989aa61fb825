"""The rows that parameters name: what they are, where they come from, and where what is made of them goes."""

from pathlib import Path

from networksecurity.data import mongodb, sources
from networksecurity.data.contracts import Contract, get_contract
from networksecurity.data.files import File
from networksecurity.data.sources import Source
from networksecurity.prediction import files as predictions
from networksecurity.settings import settings

from .parameters import EvaluateParameters, IngestParameters, MonitorParameters, ScoreParameters, TrainParameters

_Labelled = TrainParameters | IngestParameters | MonitorParameters | EvaluateParameters
FlowParameters = _Labelled | ScoreParameters


def contract_of(parameters: FlowParameters) -> Contract:
    """Return what a flow's rows are."""
    return get_contract(parameters.contract)


def source_of(parameters: FlowParameters) -> Source:
    """Return where a flow's rows come from."""
    contract = contract_of(parameters)
    source = sources.parse(parameters.source, settings(), contract)
    if parameters.header == "none":
        source = sources.without_header(source, (*contract.columns, contract.target))
    needs_target = not isinstance(parameters, MonitorParameters | ScoreParameters)
    return sources.checked(source, contract, with_target=needs_target)


def check_source(parameters: FlowParameters) -> None:
    """Refuse a source that is not there, as the flow would; no server is asked."""
    source = source_of(parameters)
    if isinstance(parameters, IngestParameters):
        sources.only_file(source)
    if isinstance(source, File):
        source.fetch(Path())


def check_positive(parameters: _Labelled) -> None:
    """Refuse a label that cannot mean phishing under the contract."""
    contract_of(parameters).with_positive(parameters.positive)


def check_target(parameters: IngestParameters) -> None:
    """Refuse what is no collection; no server is asked."""
    mongodb.parse_target(parameters.target, settings(), contract_of(parameters))


def check_output(parameters: ScoreParameters) -> None:
    """Refuse what is neither a collection nor a file that can be written."""
    if mongodb.parse_output(parameters.output, settings(), contract_of(parameters)) is None:
        predictions.check_output(parameters.output)


def check_since(parameters: MonitorParameters | ScoreParameters) -> None:
    """Refuse a starting point that is none."""
    mongodb.parse_since(parameters.since)
