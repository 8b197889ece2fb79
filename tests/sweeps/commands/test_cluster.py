"""What `kdsweep submit` refuses, in one sentence each and with exit code 2, before anything is sent; and the status."""

import json

import pytest

from tests.sweeps.cluster.conftest import free_port


def test_the_exit_code_of_a_submitted_sweep_is_passed_on(guarded, kdsweep_there, tiny, tmp_path):
    place = ["--address", guarded.address, "--storage", tmp_path / "runs"]
    refused = kdsweep_there("submit", tiny, *place, "--set", "resources.cpu=4", "--follow")
    assert refused.returncode == 2
    said = "resources.cpu: 4: no node of the Ray cluster has more than 1 CPUs"
    assert said in refused.stderr

    told = kdsweep_there("status", "tiny", "--address", guarded.address, "--json")
    assert told.returncode == 0, told.stderr
    assert "no records of tiny are seen there from this machine" in told.stderr
    job = json.loads(told.stdout)["job"]
    assert (job["status"], job["storage"]) == ("FAILED", str(tmp_path / "runs"))
    assert said in told.stderr
    unknown = kdsweep_there("status", "nothing", "--address", guarded.address)
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "knows no job of this sweep" in unknown.stderr


@pytest.mark.parametrize(
    ("command", "token_given", "said"),
    [
        ("submit", "", "asks for a token, and there is none here"),
        ("status", "wrong-token-0123456789012345678901", "refuses the token"),
    ],
)
def test_no_token_and_a_wrong_one_are_one_sentence_and_submit_nothing(
    guarded, kdsweep_there, tiny, tmp_path, command, token_given, said
):
    place, before = ["--address", guarded.address, "--storage", tmp_path / "runs"], guarded.jobs()
    refused = kdsweep_there(command, tiny if command == "submit" else "tiny", *place, token=token_given)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert f"kdsweep: --address: {guarded.address}: {said}" in refused.stderr
    assert not (tmp_path / "runs").exists()
    assert guarded.jobs() == before


@pytest.mark.parametrize("command", ["submit", "status", "stop"])
def test_an_address_where_nobody_answers_is_one_sentence(kdsweep, tiny, tmp_path, command):
    address = f"http://127.0.0.1:{free_port()}"
    refused = kdsweep(command, tiny if command == "submit" else "tiny", "--address", address)
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert f"--address: {address}: no job server answers there; start the cluster" in refused.stderr


def test_what_another_machine_may_not_see_or_anybody_may_enter_is_refused(start_nodes, kdsweep_there, tiny, tmp_path):
    """The address is not loopback, though it leads to this machine."""
    nodes = start_nodes("disabled", host="0.0.0.0")
    address = f"http://0.0.0.0:{nodes.dashboard}"
    place = ["--address", address, "--storage", tmp_path / "runs"]
    (tmp_path / "data").mkdir()
    data = ["--set", f"data={{source: folder, path: {tmp_path / 'data'}, image_size: 8}}"]
    unseen = kdsweep_there("submit", tiny, *place, *data)
    assert (unseen.returncode, unseen.stderr.count("\n")) == (2, 1)
    assert f"data.path: {tmp_path / 'data'}: the cluster may not see it; move it below a folder" in unseen.stderr
    entered = kdsweep_there("submit", tiny, *place, *data, "--shared", tmp_path)
    assert (entered.returncode, entered.stderr.count("\n")) == (2, 1)
    assert "asks for no token" in entered.stderr
    assert "--insecure" in entered.stderr
    password = kdsweep_there("submit", tiny, *place, "--insecure", "--tracking-uri", "http://me:word@host")
    assert (password.returncode, password.stderr.count("\n")) == (2, 1)
    assert "holds a password" in password.stderr
    assert "word@" not in password.stderr
    assert nodes.jobs() == []
    assert not (tmp_path / "runs").exists()
