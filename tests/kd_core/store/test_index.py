import pytest

from kd_core.config.errors import DamagedError
from kd_core.store.files import write_json
from kd_core.store.index import Index, TrialEntry

ENTRY = TrialEntry(key="k", label="classic seed 0", arm="classic", teacher=None, seed=0)
INDEX = Index(sweep="tiny", objectives={"validation/ece": "min"}, trials=(ENTRY,))


def test_an_index_comes_back_from_its_file(tmp_path):
    INDEX.write(tmp_path / "index.json")
    assert Index.read(tmp_path / "index.json") == INDEX


def test_an_entry_without_its_arm_is_of_another_version(tmp_path):
    content = INDEX.model_dump(mode="json")
    del content["trials"][0]["arm"]
    write_json(tmp_path / "index.json", content)
    with pytest.raises(DamagedError, match=r"index\.json: was written by another version of kd-sweeps"):
        Index.read(tmp_path / "index.json")
