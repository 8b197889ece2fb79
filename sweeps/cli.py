"""The command line, `kdsweep run | plan | status | submit | stop | report | promote | …`; only JSON goes to stdout."""

import sys
from typing import Any

import click

from kd_core.config.errors import KdSweepsError
from kd_core.store.files import FULL
from sweeps.commands.cluster import stop, submit
from sweeps.commands.confirm import confirm
from sweeps.commands.data import data, init
from sweeps.commands.evaluate import evaluate
from sweeps.commands.records import report, signal_group, verify
from sweeps.commands.run import plan, run, status
from sweeps.commands.schema import schema
from sweeps.commands.tracking import sync, ui
from sweeps.commands.weights import weights
from sweeps.promotion.promote import promote
from sweeps.terminal.interrupt import leaving_at_signals
from sweeps.terminal.options import log_to_stderr


class _Commands(click.Group):
    """A group that reports a user's mistake as one sentence with exit code 2, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and report a user's mistake."""
        try:
            return super().invoke(ctx)
        except KdSweepsError as error:
            problem, exit_code = str(error), error.exit_code
        except OSError as error:
            problem, exit_code = _problem(error, ctx.obj), 2
        click.echo(f"kdsweep: {problem}", err=True)
        sys.exit(exit_code)


def _problem(error: OSError, storage: str | None) -> str:
    """What an operating system's error says, where, and what to do."""
    if error.strerror is None:
        return str(error)
    where = error.filename or f"--storage: {storage}"
    remedy = "make room there" if error.errno in FULL else "see that it can be read and written"
    return f"{where}: {error.strerror}; {remedy}, or name another --storage, and give the same command again"


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Find the accuracy–calibration Pareto front of distilling a small classifier with mixup."""
    log_to_stderr()


_COMMANDS = (
    *(init, data, schema, plan, run, status, confirm, evaluate, report, verify, promote),
    *(submit, stop, sync, ui, signal_group, weights),
)
for command in _COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    with leaving_at_signals():
        main()
