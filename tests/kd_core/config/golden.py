"""The keys of some twenty configs, kept in a file that this module writes: python -m tests.kd_core.config.golden."""

import json
from pathlib import Path
from typing import Any

from kd_core.config.identity import LOSS_VERSION, NETWORK_VERSION, STREAM_VERSION, digest, signal_identity, trial_key
from kd_core.config.trial import TrialConfig

FILE = Path(__file__).with_name("golden_keys.json")
BASE = {
    "data": {"source": "digits"},
    "student": {"model": "mobilenetv2_100"},
    "train": {"epochs": 10},
}
TEACHER = {"teacher": {"model": "resnet18"}}
CONFIGS: dict[str, dict[str, Any]] = {
    "classic": {"method": "classic"},
    "mixup": {"method": "mixup"},
    "mixup of a part": {"method": "mixup", "mixup": {"fraction": 0.5}},
    "mixup, beta": {"method": "mixup", "mixup": {"distribution": "beta", "concentration": 0.4}},
    "kd": {"method": "kd", **TEACHER},
    "kd, T = 4": {"method": "kd", "temperature": 4, **TEACHER},
    "kd, hard labels too": {"method": "kd", "alpha": 0.2, **TEACHER},
    "kd_mixup": {"method": "kd_mixup", **TEACHER},
    "kd_mixup, sigma": {"method": "kd_mixup", "temperature": "sigma", **TEACHER},
    "kd_mixup, recycled": {"method": "kd_mixup", "recycle": 5, **TEACHER},
    "kd_mixup, teacher in bfloat16": {"method": "kd_mixup", "teacher": {"model": "resnet18", "precision": "bfloat16"}},
    "zscore": {"method": "zscore", **TEACHER},
    "dkd": {"method": "dkd", **TEACHER},
    "dkd, other weights": {"method": "dkd", "dkd": {"nontarget": 2}, **TEACHER},
    "dist": {"method": "dist", **TEACHER},
    "wttm": {"method": "wttm", **TEACHER},
    "cud": {"method": "cud", **TEACHER},
    "another seed": {"method": "classic", "seed": 1},
    "another stream": {"method": "mixup", "stream_seed": 1},
    "the paper's student": {
        "method": "classic",
        "student": {"model": "mobilenetv2_100", "bottleneck": 256, "stem_stride": 1, "pretrained": True},
    },
    "resized crops": {"method": "classic", "view": {"crop": "resized", "scale": [0.5, 1]}},
    "resized crops of originals": {
        "method": "classic",
        "view": {"crop": "resized"},
        "data": {"source": "folder", "path": "/images", "streaming": True, "image_size": 64},
    },
    "sgd in pieces": {
        "method": "classic",
        "train": {
            "epochs": 10,
            "optimizer": "sgd",
            "schedule": "piecewise",
            "pieces": [{"until": 5, "start": 0, "end": 0.1}, {"until": 10, "start": 0.1, "end": 0, "shape": "cosine"}],
        },
    },
}


def keys() -> dict[str, Any]:
    """The versions, and the keys of each config: of its trial, and, with a teacher, of its signal."""
    found: dict[str, Any] = {"versions": {"stream": STREAM_VERSION, "loss": LOSS_VERSION, "network": NETWORK_VERSION}}
    for name, content in CONFIGS.items():
        config = TrialConfig.model_validate(BASE | content)
        teacher = "teacher" if config.teacher is not None else None
        found[name] = {"trial": trial_key(config, "fingerprint", teacher)}
        if teacher:
            found[name]["signal"] = digest(signal_identity(config, "fingerprint", teacher))
    return found


def written() -> dict[str, Any]:
    """What the golden file holds."""
    return json.loads(FILE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    FILE.write_text(json.dumps(keys(), indent=1) + "\n", encoding="utf-8")
