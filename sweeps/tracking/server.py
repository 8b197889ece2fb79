"""A tracking server: whether it answers at all, how promptly, and what is said if it does not."""

import socket
import ssl
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import urlopen

from kd_core.config.errors import KdSweepsError, ServerError

ANSWER_S = 4.0  # a server that says nothing for so long is taken for silent
PROMPT_S = 0.5
_REFUSALS = {
    401: "refuses the user or the password; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    403: "forbids this; name its host among its --allowed-hosts, or let the user edit the experiment",
}
_PATIENCE_S = {"sqlite": 90.0}  # a file may be busy, or be created; servers have ANSWER_S


def check_answers(tracking_uri: str) -> None:
    """Raise TimeoutError or ConnectionError, soon and in one sentence, if an http(s) server does not answer at all."""
    if not tracking_uri.startswith(("http://", "https://")):
        return
    try:
        urlopen(f"{without_password(tracking_uri).rstrip('/')}/health", timeout=ANSWER_S).close()
    except HTTPError:
        return  # an answer, whatever it says
    except OSError as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, TimeoutError):
            raise TimeoutError(f"no answer within {ANSWER_S:g} s") from None
        if not isinstance(reason, ssl.SSLError):  # of certificates, MLflow has settings of its own
            raise ConnectionError(str(reason)) from None


def without_password(tracking_uri: str) -> str:
    """A URI without its user and password, to be shown."""
    parts = urlsplit(tracking_uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else tracking_uri


def is_taken(port: int) -> bool:
    """Whether some server of this machine has a port already."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def open_once_served(url: str) -> None:
    """Open a page in the browser as soon as its server answers, from another process: this one becomes the server."""
    code = "import sys; from sweeps.tracking.server import open_page; open_page(sys.argv[1])"
    subprocess.Popen([sys.executable, "-c", code, url], stdin=subprocess.DEVNULL, start_new_session=True)


def open_page(url: str, patience_s: float = 60) -> bool:
    """Wait until a page's server answers, and open the page in the browser; false if nothing answers or none opens."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            check_answers(url.partition("#")[0])
        except OSError:
            time.sleep(0.2)
        else:
            return webbrowser.open(url)
    return False


def refusal_of(error: Exception) -> str | None:
    """What is wrong with the user, the password or the host name, and what to do; None for every other error."""
    status = getattr(error, "get_http_status_code", None)  # of MLflow's errors
    return _REFUSALS.get(status()) if status else None


@contextmanager
def using_server(tracking_uri: str) -> Iterator[None]:
    """Raise ServerError for what goes wrong with MLflow in the block; its exit code is 2 if MLflow refuses the user."""
    try:
        yield
    except KdSweepsError:
        raise
    except Exception as error:  # MLflow's, or those of whatever keeps its artifacts
        refusal = refusal_of(error)
        problem = refusal or f"does not answer: {(str(error).splitlines() or [''])[0]}"
        raise ServerError(f"MLflow at {without_password(tracking_uri)} {problem}", 2 if refusal else 1) from error


class Patience:
    """How long to wait for a server: seconds beyond PROMPT_S are lost, and prompt answers make up for some of them."""

    def __init__(self, tracking_uri: str) -> None:
        self._patience_s = _PATIENCE_S.get(tracking_uri.partition(":")[0], ANSWER_S)
        self._lost_s = 0.0
        self._asked_at: float | None = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The time from a question to its answer."""
        self._asked_at = time.monotonic()
        try:
            yield
        finally:
            lost_s = min(self._lost_now(), 2 * self._patience_s)
            self._asked_at = None  # first, so that no other thread counts this answer twice
            self._lost_s = lost_s

    @property
    def is_exhausted(self) -> bool:
        """Whether more time was lost, on the last answers and the one that is awaited, than anybody should wait."""
        return self._lost_now() > self._patience_s

    def _lost_now(self) -> float:
        asked_at = self._asked_at
        return max(0.0, self._lost_s + time.monotonic() - asked_at - PROMPT_S) if asked_at else self._lost_s


class TimedClient:
    """An MLflow client whose every call is timed."""

    def __init__(self, client: Any, patience: Patience) -> None:
        self._client, self._patience = client, patience

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            """The method of the client, timed."""
            with self._patience.waiting():
                return method(*arguments, **options)

        return timed
