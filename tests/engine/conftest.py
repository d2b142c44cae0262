"""The stack, up for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.engine.stack import NoEngine, Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    try:
        stack = Stack()
    except NoEngine as error:
        pytest.skip(str(error))
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
