import subprocess
import sys

import pytest

from flows.launch import _end_server, _wait_for_server
from networksecurity.exceptions import NetworkSecurityError


def test_a_server_that_ends_is_not_waited_for(closed_port, tmp_path):
    said = pytest.raises(
        NetworkSecurityError, match=f"{tmp_path} says why: at .*:{closed_port} it ended with 3. .* PREFECT_API_URL"
    )
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as server, said:
        _wait_for_server(server, closed_port, timeout=60, log=tmp_path)


def test_a_server_that_does_not_answer_is_given_up_and_can_be_ended(silent_port, tmp_path):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as server:
        with pytest.raises(NetworkSecurityError, match="did not answer within 0.5 s"):
            _wait_for_server(server, silent_port, timeout=0.5, log=tmp_path)
        _end_server(server)
        assert server.returncode < 0
