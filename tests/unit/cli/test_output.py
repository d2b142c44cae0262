"""How values are shown to people."""

from datetime import UTC, datetime, timedelta, timezone

import click
import pytest
from click.testing import CliRunner

from txbox.cli.options import State
from txbox.cli.output import duration, show, show_line


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (59.4, "59.4 s"),
        (60, "1 min 0 s"),
        (3599.9, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (10 * 86_400 + 7200, "10 d 2 h"),
    ],
)
def test_a_duration_is_told_in_two_units(seconds: float, shown: str):
    assert duration(seconds) == shown


def printed(output: str, print_: click.Command) -> str:
    return CliRunner().invoke(print_, obj=State(output=output)).stdout


@click.command()
def one() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678, timezone(timedelta(hours=2)))
    show([{"at": at, "oldest": timedelta(seconds=83), "name": "a\x1b[2J"}])


def test_a_table_has_times_in_utc_and_ages_and_steers_no_terminal():
    assert printed("table", one).splitlines()[1].split("  ") == ["2026-01-02 01:04:05Z", "1 min 23 s", "a\\x1b[2J"]


@click.command()
def line() -> None:
    show_line({"seq": 7, "at": datetime(2026, 1, 2, tzinfo=UTC)}, "7 \x1b[2J", color="green")


def test_a_line_is_text_for_people_and_an_object_for_programs():
    assert printed("table", line) == "7 \\x1b[2J\n", "no color without a terminal"
    assert printed("json", line) == '{"seq":7,"at":"2026-01-02T00:00:00+00:00"}\n'
