import pytest

from kd_core.config.data import ViewConfig


@pytest.mark.parametrize(
    ("method", "mixup", "alpha", "beta", "temperature"),
    [
        ("classic", "off", 1, 0, None),
        ("mixup", "uniform", 1, 0, None),
        ("kd", "off", 0, 1, 2),
        ("kd_mixup", "uniform", 0, 1, 2),
    ],
)
def test_each_method_has_its_defaults(config_of, method, mixup, alpha, beta, temperature):
    trial = config_of(method)
    assert (trial.mixup.distribution, trial.alpha, trial.beta, trial.temperature) == (mixup, alpha, beta, temperature)
    assert trial.view == ViewConfig(padding=4, flip=True)


AUTHORS = {"zscore": (2, 0.1, 9), "dkd": (4, 1, 1), "dist": (4, 1, 2), "wttm": (5, 1, 4), "cud": (2, 0, 1)}


@pytest.mark.parametrize("method", AUTHORS)
def test_a_published_method_has_the_weights_of_its_authors(config_of, method):
    teacher = {"model": "resnet18"}
    plain = config_of(method, teacher=teacher)
    temperature, alpha, beta = AUTHORS[method]
    assert (plain.temperature, plain.alpha, plain.beta) == (temperature, alpha, beta)
    weighed = config_of(method, teacher=teacher, alpha=0.3)
    assert (weighed.temperature, weighed.beta) == (temperature, pytest.approx(0.7))
    assert (config_of(method, teacher=teacher, beta=3).alpha, config_of(method, teacher=teacher, beta=3).beta) == (
        alpha,
        3,
    )
