from kd_core.config.evaluation import EvaluateConfig
from kd_core.reliability.sets import OPTIONS, set_identity, sets_of


def test_images_of_another_source_are_there_if_one_is_given():
    assert sets_of(EvaluateConfig()) == ("clean", "mixed", "near", "corrupted")
    assert sets_of(EvaluateConfig.model_validate({"ood": {"source": "digits"}}))[-1] == "outside"


def test_a_set_is_known_by_its_own_options_its_data_and_what_is_given():
    def identities(fingerprint="f", given=None, **options):
        config = EvaluateConfig(**options)
        return {name: set_identity(name, config, fingerprint, given or {}) for name in OPTIONS}

    plain = identities()
    assert {name for name, each in identities(pairs=7).items() if each != plain[name]} == {"mixed"}
    assert {name for name, each in identities(radius=0.1).items() if each != plain[name]} == {"near"}
    assert {name for name, each in identities(given={"corrupted": "x"}).items() if each != plain[name]} == {"corrupted"}
    assert identities(resamples=7) == plain
    for changed in (identities(fingerprint="g"), identities(seed=1), identities(images=7)):
        assert all(changed[name] != plain[name] for name in OPTIONS)
