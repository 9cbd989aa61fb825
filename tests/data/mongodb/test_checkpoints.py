from reading import opened

from networksecurity.data.mongodb import Checkpoint


def test_of_two_checks_at_once_only_one_is_recorded(target, collection):
    with opened(target) as rows:
        assert rows.get_checkpoint("model/1") == Checkpoint()
        assert rows.advance_checkpoint("model/1", Checkpoint(n_checks=1, watermark=1))
        assert not rows.advance_checkpoint("model/1", Checkpoint(n_checks=1, watermark=1))
        assert rows.advance_checkpoint("model/1", Checkpoint(n_checks=2, watermark=4))
        assert not rows.advance_checkpoint("model/1", Checkpoint(n_checks=2, watermark=3))
        assert rows.get_checkpoint("model/1") == Checkpoint(n_checks=2, watermark=4)
        assert rows.get_checkpoint("model/2") == Checkpoint()
    watches = collection.database[f"{collection.name}_watches"]  # as stored by earlier versions
    assert list(watches.find()) == [{"_id": "model/1", "n_looks": 2, "watermark": 4}]
    watches.drop()
