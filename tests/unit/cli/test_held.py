"""How fast people's commands go."""

import click
import pytest

from txbox.cli.held import Rate, pause


@pytest.mark.parametrize(("text", "rate"), [("10/s", 10.0), ("30/m", 0.5), ("0.5/s", 0.5), (" 7/s ", 7.0)])
def test_a_rate_is_messages_a_second(text: str, rate: float) -> None:
    assert Rate().convert(text, None, None) == rate


@pytest.mark.parametrize("text", ["10", "0/s", "-1/s", "10/d", "fast", ""])
def test_a_bad_rate_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 10/s"):
        Rate().convert(text, None, None)


@pytest.mark.parametrize(
    ("changed", "rate", "elapsed", "seconds"),
    [(0, 10, 0.0, 0.0), (10, 10, 0.2, 0.8), (10, 10, 3.0, 0.0), (1, 0.5, 0, 2)],
)
def test_so_many_a_second_on_the_whole(changed: int, rate: float, elapsed: float, seconds: float) -> None:
    assert pause(changed, rate, elapsed) == pytest.approx(seconds)
