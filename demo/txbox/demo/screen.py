"""What people see of the demonstration while it runs, and at its end."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from txbox.demo.verdict import Verdict, percentile

__all__ = ["Screen", "make_console"]


def make_console() -> Console:
    """Return a console that, in a file or a CI's log, does not break lines as if it were a narrow terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


class Screen:
    """Events line by line, with a figure or two beside each: readable on a terminal and in a CI's log alike."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or make_console()
        self._began = datetime.now(UTC)

    def event(self, text: str, *, style: str = "") -> None:
        """Print what has just happened."""
        seconds = (datetime.now(UTC) - self._began).total_seconds()
        self._console.print(f"[dim]{seconds:6.1f}s[/dim]  [{style or 'default'}]{text}[/]")

    def verdict(self, verdict: Verdict, kills: int | None, unexpected: Sequence[str]) -> None:
        """Print the table that the demonstration was made for; `kills` is None where others killed, uncounted."""
        table = Table(title="verdict", title_justify="left", box=None, show_header=False, padding=(0, 2))
        table.add_column()
        table.add_column(justify="right")
        table.add_column(style="dim")
        for name, value, note in _rows(verdict, kills):
            table.add_row(name, value, note)
        self._console.print()
        self._console.print(table)
        for line in unexpected:
            self._console.print(f"[bold red]unexpected:[/] {line}")
        good = verdict.passed and not unexpected
        self._console.print("[bold green]PASSED[/]" if good else "[bold red]FAILED[/]")


def _rows(verdict: Verdict, kills: int | None) -> list[tuple[str, str, str]]:
    def must_be_zero(value: int) -> str:
        return f"[bold {'red' if value else 'green'}]{value:,}[/]"

    same = verdict.ordered == verdict.charged == verdict.owed
    recoveries, dead = verdict.recoveries, verdict.dead
    rows = [
        ("orders committed", f"{verdict.orders:,}", "a fifth of all that were tried was rolled back"),
        ("messages on the wire", f"{verdict.messages:,}", ""),
        ("duplicates on the wire", f"{verdict.duplicates:,}", "allowed: consumers know them by their id"),
        ("lost", must_be_zero(verdict.lost), "orders without a message or a charge"),
        ("ghosts", must_be_zero(verdict.ghosts), "messages or charges without an order"),
        ("out of order", must_be_zero(verdict.misordered), "within a customer"),
        ("double effects", must_be_zero(verdict.double_effects), "orders charged more than once"),
        ("held", f"{verdict.held:,}", "payments that failed, and what came behind them in its customer"),
        ("released", f"{verdict.released:,}", "of these, orders that were charged after all"),
        (
            "dead",
            f"[bold {'green' if dead == verdict.planned_dead else 'red'}]{dead:,}[/]",
            f"{verdict.planned_dead} as planned; then a person came: {verdict.still_held:,} left",
        ),
        (
            "money",
            f"[bold {'green' if same else 'red'}]{'conserved' if same else 'NOT conserved'}[/]",
            f"ordered {verdict.ordered:,} · charged {verdict.charged:,} · owed {verdict.owed:,}",
        ),
    ]
    if kills is None:
        return rows
    p50, p99 = percentile(recoveries, 0.5), percentile(recoveries, 0.99)
    return [
        ("processes killed", f"{kills:,}", "with SIGKILL, while orders were placed"),
        *rows,
        (
            "recovery",
            f"p50 {p50:.1f} s",
            f"p99 {p99:.1f} s from a kill to the first charge for an order placed after it",
        ),
    ]
