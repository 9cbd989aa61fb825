import os
import subprocess
import sys

import pytest

from flows.local_server import LOG, end_server, wait_for_server
from networksecurity.exceptions import NetworkSecurityException


def test_a_server_that_ends_is_not_waited_for(closed_port, tmp_path):
    said = pytest.raises(
        NetworkSecurityException, match=f"see {tmp_path}: at .*:{closed_port} it ended with 3. .* PREFECT_API_URL"
    )
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as server, said:
        wait_for_server(server, closed_port, timeout=60, log=tmp_path)


def test_a_server_that_does_not_answer_is_given_up_and_can_be_ended(silent_port, tmp_path):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as server:
        with pytest.raises(NetworkSecurityException, match="did not answer within 0.5 s"):
            wait_for_server(server, silent_port, timeout=0.5, log=tmp_path)
        end_server(server)
        assert server.returncode < 0


def test_a_server_that_a_profile_names_is_the_one_that_is_used(tmp_path):
    (tmp_path / "profiles.toml").write_text(
        'active = "team"\n[profiles.team]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'
    )
    code = """
import os
from flows import local_server
started, start = [], local_server._start
local_server._start = lambda port: started.append(start(port))
with local_server.local_server() as wait_for_server:
    wait_for_server()
    from prefect.settings import get_current_settings
    print(get_current_settings().api.url, "PREFECT_API_URL" in os.environ, started[0].wait(60))
"""
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PREFECT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.stdout, run.stderr) == ("http://127.0.0.1:9/api False 0\n", "")
    assert not (tmp_path / LOG).exists()
