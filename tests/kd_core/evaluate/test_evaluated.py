from kd_core.evaluate.evaluated import Job
from kd_core.store.records import Store
from tests.products import MACHINE


def test_a_job_is_done_once_its_product_is_finished(tmp_path):
    job = Job(Store.at(tmp_path).outputs("0123456789abcdef"), {"outputs": 1})
    assert not job.done
    job.record.write(job.identity, {}, {}, MACHINE)
    assert job.done
