"""What a measurement is, and how it is shown."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

__all__ = ["Figure", "alternate", "show"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the report."""

    what: str
    value: float
    unit: str
    #: what it should be, e.g. ">= 0.5"; empty where it only explains another
    goal: str = ""
    #: how it came about
    detail: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if not self.goal:
            return None
        sign, bound = self.goal.split()
        return self.value >= float(bound) if sign == ">=" else self.value <= float(bound)


def alternate(
    ours: Callable[[], float], limit: Callable[[], float], *, times: int = 3
) -> tuple[float, list[float], list[float]]:
    """Measure two things in turn; return the median of their ratios, and both series.

    In turn, and pair by pair: the machine's speed changes while it measures, and both halves of a pair feel it alike.
    """
    pairs = [(ours(), limit()) for _ in range(times)]
    mine, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return statistics.median(a / b for a, b in pairs), mine, theirs


def show(figures: Sequence[Figure], versions: dict[str, str], path: Path) -> None:
    """Print the figures as a table, and write them as JSON."""
    table = Table(box=None, title="bench", title_justify="left", padding=(0, 2))
    for name, justify in (("what", "left"), ("value", "right"), ("unit", "left"), ("goal", "left"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for figure in figures:
        verdict = {True: "met", False: "[red]missed[/]", None: ""}[figure.met]
        table.add_row(figure.what, f"{figure.value:,.3g}", figure.unit, figure.goal, verdict)
        for name, value in figure.detail.items():
            table.add_row(f"  [dim]{name}[/]", f"[dim]{value:,.0f}[/]")
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=120)).print(table)
    path.write_text(json.dumps({"versions": versions, "figures": [asdict(figure) for figure in figures]}, indent=2))
    print(f"{', '.join(f'{name} {version}' for name, version in versions.items())}; as JSON in {path}")
