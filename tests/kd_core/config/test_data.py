import pytest
from pydantic import ValidationError

from kd_core.config.data import DataConfig, MixupConfig, ViewConfig


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"source": "folder"}, "needs data.path"),
        ({"source": "digits", "path": "/data"}, "takes no path"),
        ({"source": "cifar10", "streaming": True}, "fits in memory"),
        ({"source": "digits", "validation": 1}, "less than 1"),
        ({"source": "web"}, "digits"),
        ({"source": "digits", "unlabelled": "/more"}, "data.unlabelled is for folder and parquet sources; remove it"),
        (
            {"source": "folder", "path": "/data", "unlabelled": "ftp://me:secret@host/a"},
            "data.unlabelled is a URL with a password or a query, which records would show; remove",
        ),
        (
            {"source": "cifar10", "path": "s3://bucket/cifar"},
            "downloaded into data.path, which is a URL; give a folder",
        ),
        ({"source": "folder", "path": "memory://images"}, "is memory://images, where other nodes find nothing; give"),
        ({"source": "folder", "path": "file://images"}, "is file://images, where other nodes find nothing; give"),
        ({"source": "folder", "path": "zip://::s3://bucket/a.zip"}, "where other nodes find nothing; give"),
        (
            {"source": "folder", "path": "ftp://me:secret@host/a"},
            "a password or a query, which records would show; remove",
        ),
        ({"source": "folder", "path": "https://host/a?key=secret"}, "a password or a query, which records would show"),
    ],
)
def test_a_source_takes_what_suits_it(edits, message):
    with pytest.raises(ValidationError, match=message) as refused:
        DataConfig.model_validate(edits)
    assert "secret" not in refused.value.errors()[0]["msg"]


def test_a_url_of_a_folder_means_that_folder():
    urls = ("/data", "file:///data", "local:///data", "s3://data")
    folders = [DataConfig(source="folder", path=url).folder for url in urls]
    assert folders == ["/data", "/data", "/data", "s3://data"]


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ("beta", "concentration"),
        ({"concentration": 1}, "concentration"),
        ({"fraction": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_law_of_lambda_is_given_whole(edits, message):
    with pytest.raises(ValidationError, match=message):
        MixupConfig.model_validate(edits)


@pytest.mark.parametrize("value", [False, "off", {"distribution": "off"}])
def test_off_is_a_word_that_yaml_reads_as_false(config_of, value):
    assert MixupConfig.model_validate(value) == MixupConfig(distribution="off")
    assert config_of("classic", mixup=value).mixup.distribution == "off"


def test_a_range_of_scales_goes_upwards():
    with pytest.raises(ValidationError, match="from the smaller share to the larger"):
        ViewConfig(scale=(0.9, 0.1))
