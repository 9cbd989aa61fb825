from reading import opened

from networksecurity.data.mongodb import Checkpoint


def test_of_two_checks_at_once_only_one_is_recorded(target, collection):
    with opened(target) as rows:
        assert rows.get_checkpoint("model/1") == Checkpoint()
        assert rows.advance_checkpoint("model/1", Checkpoint(n_checks=1, watermark=1))
        assert not rows.advance_checkpoint("model/1", Checkpoint(n_checks=1, watermark=1))
        assert rows.advance_checkpoint("model/1", Checkpoint(n_checks=2, watermark=4, state={"f1": [0.5]}))
        assert not rows.advance_checkpoint("model/1", Checkpoint(n_checks=2, watermark=3))
        assert rows.get_checkpoint("model/1") == Checkpoint(n_checks=2, watermark=4, state={"f1": [0.5]})
        assert rows.get_checkpoint("model/2") == Checkpoint()
    collection.database.drop_collection(f"{collection.name}_watches")


def test_a_checkpoint_of_an_earlier_version_is_read(target, collection):
    watches = collection.database[f"{collection.name}_watches"]
    watches.insert_one({"_id": "model/1", "n_looks": 2, "watermark": 4})
    with opened(target) as rows:
        assert rows.get_checkpoint("model/1") == Checkpoint(n_checks=2, watermark=4)
    watches.drop()
