"""What `kdsweep plan` and `status` print; `run` is run by nearly every other test here."""

import json


def test_plan_writes_nothing_and_tells_what_would_run(kdsweep, tiny, tmp_path):
    done = kdsweep("plan", tiny, "--storage", tmp_path / "runs", "--json")
    plan = json.loads(done.stdout)
    assert [trial["status"] for trial in plan["trials"]] == ["pending"] * 3
    assert (plan["cost"]["teacher_passes"], plan["cost"]["live_teacher_passes"]) == (2, 4)
    assert plan["signals"][0]["mode"] == "stored"
    assert not (tmp_path / "runs").exists()
    assert "TFLOP" in kdsweep("plan", tiny).stderr


def test_the_status_of_a_finished_sweep(kdsweep, tiny_store):
    command = ["status", "tiny", "--storage", tiny_store.root]
    status = json.loads(kdsweep(*command, "--json").stdout)
    assert {kind: [row["status"] for row in rows] for kind, rows in status.items() if kind != "sweep"} == {
        "teachers": ["finished"],
        "signals": ["finished"],
        "trials": ["finished"] * 3,
    }
    assert "2/2" in kdsweep(*command).stderr
