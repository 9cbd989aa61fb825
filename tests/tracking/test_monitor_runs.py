import time

from networksecurity.tracking import monitor_runs


def test_of_two_monitor_runs_created_at_once_the_older_stays(client, monkeypatch):
    create, older = monitor_runs.create_run, []

    def after_another(*args):
        older.append(create(*args))
        time.sleep(0.01)  # run ids are random: the start times, in milliseconds, tell which is older
        return create(*args)

    monkeypatch.setattr(monitor_runs, "create_run", after_another)
    found = monitor_runs._find_or_create(client, "0", "monitor-x", {})
    assert [found.info.run_id] == [run.info.run_id for run in older]
    assert [found.info.run_id] == [run.info.run_id for run in client.search_runs("0")]
    assert monitor_runs._find_or_create(client, "0", "monitor-x", {}).info.run_id == found.info.run_id
    assert len(older) == 1
