import pytest

from kd_core.config.checkpoint import checkpoint_caveat, checkpoint_problem, is_given


@pytest.mark.parametrize(
    ("checkpoint", "problem"),
    [
        ("gone.safetensors", "no such file; give a .safetensors file"),
        ("memory://gone.safetensors", "no such file"),
        ("madeup://gone.safetensors", "cannot be reached"),
    ],
)
def test_a_checkpoint_that_is_not_there_is_one_sentence(checkpoint, problem):
    said = checkpoint_problem(checkpoint)
    assert said is not None
    assert problem in said
    assert "\n" not in said


def test_a_checkpoint_that_is_there_is_none(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"")
    assert checkpoint_problem(str(tmp_path / "weights.safetensors")) is None


def test_the_caveat_of_checkpoints_names_their_teachers():
    assert checkpoint_caveat([]) == ""
    assert checkpoint_caveat(["vit"]).startswith("the checkpoint of the teacher vit may have been trained on images")
    assert checkpoint_caveat(["a", "b"]).startswith("the checkpoints of the teachers a and b may")


@pytest.mark.parametrize(
    ("network", "given"),
    [
        ({"model": "resnet18", "checkpoint": "/weights.pth"}, True),
        ({"model": "local-dir:/model", "pretrained": True}, True),
        ({"model": "local-dir:/model", "pretrained": False}, False),
        ({"model": "resnet18", "pretrained": True, "checkpoint": None}, False),
        ({}, False),
    ],
)
def test_weights_are_given_by_a_checkpoint_or_a_folder(network, given):
    assert is_given(network) is given
