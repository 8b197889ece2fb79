"""The files that start clusters, each checked by the tool that reads it, or by its schema."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml

from sweeps.cli import main

ROOT = Path(__file__).parents[3]
FILES = ROOT / "sweeps" / "cluster" / "files"
BIN = Path(sys.executable).parent
COMPOSE = yaml.safe_load((FILES / "compose.yaml").read_text())
LAUNCHER = yaml.safe_load((FILES / "launcher.yaml").read_text())
VOLUME, RAYJOB = yaml.safe_load_all((FILES / "rayjob.yaml").read_text())
ENVIRONMENT = dict(re.findall(r"^(\w+)=(.*)$", (FILES / "cluster.env").read_text(), re.MULTILINE))
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d[\w.-]*")


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """An environment file whose empty values are filled in."""
    path = tmp_path / "cluster.env"
    path.write_text("".join(f"{key}={value or 'secret' + key}\n" for key, value in ENVIRONMENT.items()))
    return path


def compose(environment: Path) -> subprocess.CompletedProcess[str]:
    """What Docker Compose makes of the file with an environment file, as JSON."""
    command = [BIN / "docker-compose", "--env-file", environment, "-f", FILES / "compose.yaml"]
    return subprocess.run([*command, "config", "--format", "json"], capture_output=True, text=True, check=False, env={})


def pods() -> list[dict[str, Any]]:
    """The pod templates of the RayJob, the head's first."""
    cluster = RAYJOB["spec"]["rayClusterSpec"]
    return [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def ray_version() -> str:
    """The version of Ray that is installed by the constraints."""
    return re.findall(r"^ray==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[0]


def test_compose_takes_its_file_and_nothing_is_reached_from_another_machine(filled):
    made = compose(filled)
    assert made.returncode == 0, made.stderr
    services = json.loads(made.stdout)["services"]
    assert set(services) == {"head", "worker", "mlflow", "postgres"}
    ports = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert {name: [port["host_ip"] for port in found] for name, found in ports.items()} == {
        "head": ["127.0.0.1"],
        "mlflow": ["127.0.0.1"],
    }
    assert all("healthcheck" in each for each in services.values())
    assert not any({"network_mode", "privileged"} & each.keys() for each in services.values())


def test_compose_starts_nothing_while_a_secret_is_empty():
    refused = compose(FILES / "cluster.env")
    assert refused.returncode != 0
    for name in [name for name, value in ENVIRONMENT.items() if not value]:
        assert f"{name} is missing a value: is empty; fill it in in cluster.env" in refused.stderr


def test_the_launcher_takes_its_file_and_adds_no_commands_of_its_own():
    from ray.autoscaler._private.util import prepare_config, validate_config

    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(LAUNCHER, schema)
    prepared = prepare_config(LAUNCHER)
    validate_config(prepared)
    commands = {name: each for name, each in prepared.items() if name.endswith("_commands")}
    assert {name for name, each in commands.items() if each} == {"head_start_ray_commands", "worker_start_ray_commands"}


def test_the_rayjob_is_one_to_kuberay_and_its_pods_and_volume_are_to_kubernetes():
    jsonschema.validate(RAYJOB, yaml.safe_load(Path(__file__).with_name("rayjob.schema.yaml").read_text()))
    newest = kubernetes_validate.latest_version()
    for each in (VOLUME, *({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "node"}} | pod for pod in pods())):
        kubernetes_validate.validate(each, newest, strict=True)
    for pod in pods():
        claims = [
            each["persistentVolumeClaim"]["claimName"] for each in pod["spec"]["volumes"] if "persist" in str(each)
        ]
        assert claims == [VOLUME["metadata"]["name"]]
        mounted = {mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
        assert mounted == {each["name"] for each in pod["spec"]["volumes"]}
    spec = RAYJOB["spec"]
    assert (spec["shutdownAfterJobFinishes"], spec["rayClusterSpec"]["enableInTreeAutoscaling"]) == (True, True)
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert spec["rayClusterSpec"]["rayVersion"] == ray_version()
    assert all("nvidia.com/gpu" in pod["spec"]["containers"][0]["resources"]["limits"] for pod in pods()[1:])


def test_shellcheck_finds_nothing_in_the_batch_script():
    checked = subprocess.run([BIN / "shellcheck", FILES / "slurm.sbatch"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_every_image_is_pinned_and_ours_has_the_ray_of_the_constraints():
    dockerfile = (FILES / "Dockerfile").read_text()
    images = [each["image"] for each in COMPOSE["services"].values()] + [LAUNCHER["docker"]["image"]]
    images += [pod["spec"]["containers"][0]["image"] for pod in pods()] + re.findall("^FROM (.*)$", dockerfile, re.M)
    assert not [image for image in images if not PINNED.fullmatch(image)]
    assert f"FROM rayproject/ray:{ray_version()}-py3" in dockerfile
    ours = set(re.findall(r"^#.*-t (\S+)", dockerfile, re.M))
    assert {image.removeprefix("registry.example.com/") for image in images if "kd-sweeps" in image} == ours
    copied = [name for line in re.findall(r"^COPY --chown=\S+ (.*) \S+$", dockerfile, re.M) for name in line.split()]
    assert not [name for name in copied if not (ROOT / name).exists()]


def test_the_environment_file_holds_just_the_variables_that_are_read_and_no_secret(filled):
    used = set(re.findall(r"\$\{(\w+)", (FILES / "compose.yaml").read_text()))
    assert used == set(ENVIRONMENT)
    assert {name for name, value in ENVIRONMENT.items() if not value} == {
        name for name in ENVIRONMENT if re.search("PASSWORD|TOKEN|KEY", name)
    }
    sourced = subprocess.run(
        ["bash", "-c", f"set -a; . {filled}; env"], capture_output=True, text=True, check=True, env={}
    )
    by_shell = dict(line.split("=", 1) for line in sourced.stdout.splitlines())
    by_line = dict(line.split("=", 1) for line in filled.read_text().splitlines())  # as Kubernetes reads it
    by_compose = json.loads(compose(filled).stdout)["services"]["head"]["environment"]
    assert {name: by_shell[name] for name in by_line} == by_line
    assert by_compose.items() <= by_line.items()
    assert all(pod["spec"]["containers"][0]["envFrom"] == [{"secretRef": {"name": "kdsweep"}}] for pod in pods())
    assert "./cluster.env" in LAUNCHER["file_mounts"].values()


def commands_in_the_files() -> list[list[str]]:
    """Every command line of kdsweep, ray and mlflow that the files run or tell to run, split into words."""
    lines = [line for path in FILES.iterdir() for line in re.findall("^# {2,}(.*)$", path.read_text(), re.M)]
    for service in COMPOSE["services"].values():
        lines += [service.get("command", ""), service["healthcheck"]["test"]]
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        lines += [part for command in LAUNCHER[name] for part in command.split(";")]
    lines.append(RAYJOB["spec"]["entrypoint"])
    split = [shlex.split(line, comments=True) for line in lines]
    return [words for words in split if words and words[0] in ("kdsweep", "ray", "mlflow")]


@pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType:UserWarning")  # MLflow of itself
def test_every_command_of_the_files_exists_with_its_options():
    import mlflow.cli
    from ray.scripts.scripts import cli as ray_cli

    programs = {"kdsweep": main, "ray": ray_cli, "mlflow": mlflow.cli.cli}
    found = commands_in_the_files()
    assert {words[0] for words in found} == set(programs)
    assert len(found) >= 14
    for program, name, *arguments in found:
        programs[program].commands[name].make_context(name, arguments)  # raises for what it does not know
    read = vars(mlflow.environment_variables).keys() | {
        each.envvar for each in mlflow.cli.cli.commands["server"].params
    }
    assert set(COMPOSE["services"]["mlflow"]["environment"]) <= read
