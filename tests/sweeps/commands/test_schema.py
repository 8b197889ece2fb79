"""What `kdsweep schema` prints."""

import json

from sweeps.config.schema import spec_schema


def test_schema_prints_the_schema_of_a_spec_and_nothing_else(kdsweep):
    done = kdsweep("schema")
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == spec_schema()
    assert "λ" in done.stdout
