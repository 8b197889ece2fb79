"""A server that does not answer is found out soon, and one that answers late is not waited for."""

import socket
import sys
import time

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode

from kd_core.config.errors import ServerError
from sweeps.tracking.server import (
    Patience,
    TimedClient,
    check_answers,
    is_taken,
    open_page,
    using_server,
    without_password,
)
from tests.sweeps.tracking.support import Proxy


@pytest.fixture
def silent():
    """A server that accepts connections and says nothing."""
    proxy = Proxy("http://127.0.0.1:9")
    proxy.silent = True
    yield proxy
    proxy.close()


def test_a_silent_server_is_found_out_within_5_s(silent):
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer within 4 s"):
        check_answers(silent.url)
    assert time.monotonic() - began < 5


def test_a_dead_server_is_found_out_at_once():
    with pytest.raises(ConnectionError, match="refused"):
        check_answers("http://127.0.0.1:9")


def test_any_answer_is_one_and_what_is_no_server_is_not_asked(server):
    check_answers(server)
    check_answers(f"{server}/not/there")
    check_answers(server.replace("//", "//user:secret@"))
    check_answers("sqlite:////nowhere/mlflow.db")


def test_a_pace_is_hopeless_once_too_much_time_was_lost():
    patience = Patience("http://localhost")
    with patience.waiting():
        time.sleep(0.6)
    assert not patience.is_exhausted
    patience._lost_s = 3.9  # as if slow answers had come
    with patience.waiting():
        time.sleep(0.65)
        assert patience.is_exhausted
    assert patience.is_exhausted
    with patience.waiting():
        pass
    assert not patience.is_exhausted  # a prompt answer makes up for some of it
    assert not Patience("sqlite:///mlflow.db").is_exhausted


def test_a_paced_client_answers_as_the_client_and_raises_what_it_raises():
    paced = TimedClient([3, 1, 2], Patience("http://localhost"))
    assert paced.index(2) == 2
    with pytest.raises(ValueError, match="not in list"):
        paced.index(5)


def test_passwords_are_not_shown():
    assert without_password("https://me:secret@host:80/x") == "https://host:80/x"
    assert without_password("sqlite:////a@b/mlflow.db") == "sqlite:////a@b/mlflow.db"


def test_no_answer_ends_with_one_sentence_and_no_password():
    with pytest.raises(ServerError) as ended, using_server("http://user:secret@host"):
        raise ConnectionError("refused\nby everybody")
    assert (str(ended.value), ended.value.exit_code) == ("MLflow at http://host does not answer: refused", 1)


@pytest.mark.parametrize(
    ("reason", "remedy"), [("UNAUTHENTICATED", "MLFLOW_TRACKING_PASSWORD"), ("PERMISSION_DENIED", "--allowed-hosts")]
)
def test_a_refusal_is_told_with_its_remedy_and_ends_with_2(reason, remedy):
    with pytest.raises(ServerError, match=remedy) as ended, using_server("http://host"):
        raise MlflowException("no", ErrorCode.Value(reason))
    assert ended.value.exit_code == 2


def test_a_port_is_taken_while_a_server_listens(silent):
    port = int(silent.url.rpartition(":")[2])
    assert is_taken(port)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert not is_taken(free.getsockname()[1])


def test_a_page_is_opened_once_its_server_answers(server, tmp_path, monkeypatch):
    opened = tmp_path / "opened"
    browser = f'{sys.executable} -c \'import sys; open("{opened}", "w").write(sys.argv[1])\' %s'
    monkeypatch.setenv("BROWSER", browser)
    assert not open_page("http://127.0.0.1:9", patience_s=0.1)
    assert not opened.exists()
    assert open_page(f"{server}/#/experiments/1")
    assert opened.read_text() == f"{server}/#/experiments/1"
