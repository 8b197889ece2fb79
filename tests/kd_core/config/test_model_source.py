from pathlib import Path

import pytest

from kd_core.config.identity import identity_of
from kd_core.config.model_source import folder_of, folder_problem, is_hub, model_identity, normal_name, weights_of
from kd_core.config.networks import TeacherConfig


def folder(path: Path, weights: bytes = b"weights", config: str = "{}", name: str = "model.safetensors") -> Path:
    """A folder as timm writes one, its files of no meaning."""
    path.mkdir()
    (path / "config.json").write_text(config)
    (path / name).write_bytes(weights)
    return path


def test_a_name_has_one_form(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert normal_name("local-dir:model") == f"local-dir:{tmp_path / 'model'}"
    assert normal_name("hf_hub:user/name@v1") == "hf-hub:user/name@v1"
    assert normal_name("resnet18.a1_in1k") == "resnet18.a1_in1k"
    assert [is_hub(name) for name in ("hf-hub:user/name", "resnet18", "local-dir:/m")] == [True, False, False]
    assert [folder_of(name) for name in ("local-dir:/m", "resnet18", "hf-hub:a/b")] == [Path("/m"), None, None]


def test_a_folder_counts_by_its_config_and_weights_and_not_by_its_path(tmp_path):
    first = model_identity(f"local-dir:{folder(tmp_path / 'first')}")
    (tmp_path / "first" / "README.md").write_text("not read")
    assert model_identity(f"local-dir:{tmp_path / 'first'}") == first
    others = [
        folder(tmp_path / "same"),
        folder(tmp_path / "weights", weights=b"others"),
        folder(tmp_path / "config", config='{"architecture": "resnet18"}'),
    ]
    same, *different = [model_identity(f"local-dir:{each}") for each in others]
    assert same == first
    assert len({first, *different}) == 3


def test_a_repository_counts_by_its_name():
    assert model_identity("hf-hub:user/name@v1") == "hf-hub:user/name@v1"


def test_the_identity_of_a_network_has_the_content_of_its_folder(tmp_path):
    paths = [folder(tmp_path / name, weights) for name, weights in (("a", b"1"), ("b", b"1"), ("c", b"2"))]
    first, same, other = [identity_of(TeacherConfig(model=f"local-dir:{path}")) for path in paths]
    assert first == same != other
    assert str(tmp_path) not in str(first)


def test_the_safe_weights_of_a_folder_count(tmp_path):
    path = folder(tmp_path / "model", name="pytorch_model.bin")
    assert weights_of(path) == path / "pytorch_model.bin"
    (path / "model.safetensors").write_bytes(b"")
    assert weights_of(path) == path / "model.safetensors"
    assert weights_of(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("gone", "no such folder; give the folder"),
        ("", "holds no config.json; give the folder"),
        ("x" * 300, "cannot be"),
    ],
)
def test_what_is_no_model_is_one_sentence(tmp_path, name, problem):
    said = folder_problem(tmp_path / name)
    assert said is not None
    assert said.startswith(problem)
    assert folder_problem(folder(tmp_path / "model")) is None
