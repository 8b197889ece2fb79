import numpy as np
import pytest
import torch

from kd_core.config.evaluation import EvaluateConfig
from kd_core.config.networks import StudentConfig
from kd_core.evaluate.evaluation import predict
from kd_core.evaluate.inputs import SETS, Source
from kd_core.evaluate.outputs import outputs_from, outputs_of
from kd_core.networks.models import Network, build_student


def network(bottleneck: int | None = None) -> Network:
    torch.manual_seed(0)
    return build_student(StudentConfig(model="test_efficientnet", bottleneck=bottleneck, image_size=16), 10)


@pytest.fixture(scope="module")
def source(digits) -> Source:
    return Source(digits, EvaluateConfig(images=6, pairs=4, lambdas=3))


def test_clean_outputs_are_the_predictions_on_test_with_features(source, digits):
    [arrays] = outputs_of([network()], SETS["clean"](source))
    said = outputs_from(arrays)
    np.testing.assert_allclose(said.logits, predict(network(), digits.test)[source.numbers], atol=1e-5)
    np.testing.assert_array_equal(said.labels, source.labels)
    head = network().eval().classifier
    features = torch.from_numpy(said.features)
    np.testing.assert_allclose(head(features).detach().numpy(), said.logits, atol=1e-5)


def test_features_of_a_bottleneck_are_the_input_of_its_last_layer(source):
    [arrays] = outputs_of([network(bottleneck=7)], SETS["clean"](source))
    assert arrays["features"].shape == (6, 7)


def test_several_networks_share_the_images_and_each_says_what_it_says_alone(source):
    inputs = SETS["mixed"](source)
    plain, narrow = network(), network(bottleneck=7)
    together = outputs_of([plain, narrow], inputs, batch_size=5)
    for arrays, alone in zip(together, (network(), network(bottleneck=7)), strict=True):
        [expected] = outputs_of([alone], inputs, batch_size=100)
        assert arrays.keys() == {"logits", "labels", "axis/lambda"}
        assert (arrays["logits"].shape, arrays["logits"].dtype) == ((3, 4, 10), np.float16)
        np.testing.assert_allclose(arrays["logits"], expected["logits"], atol=2e-3)
    assert outputs_from(together[0]).axes == {"lambda": (0.0, 0.5, 1.0)}
