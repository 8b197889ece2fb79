"""The program `kdsweep`, also `python -m sweeps`: a signal ends it in order even while its modules are imported."""

from sweeps.terminal.interrupt import leaving_at_signals


def main() -> None:
    """Run the command line."""
    with leaving_at_signals():
        from sweeps.cli import main as command_line

        command_line()


if __name__ == "__main__":
    main()
