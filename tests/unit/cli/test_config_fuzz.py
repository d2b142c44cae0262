"""Whatever stands in a file or in the environment: a value, or one line that says what is wrong; never a traceback."""

import tempfile
from pathlib import Path

from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from txbox.cli.main import txbox
from txbox.cli.settings import SETTINGS

anything = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
sections = [*sorted({key.partition(".")[0] for key in SETTINGS}), "nonsense"]
names = [*sorted({key.partition(".")[2] for key in SETTINGS}), "client", "batsh", "client.sasl.password"]
odd = ['""', "1", "-1", "1.5", "true", "[]", "{}", "nan", "1979-05-27", '"5s"', '"off"', '"5 apples"', "[1, {a = 2}]"]
quoted = st.text(st.characters(exclude_characters='"\\', exclude_categories=["Cc", "Cs"])).map('"{}"'.format)
lines = st.builds("{} = {}".format, st.sampled_from(names), st.sampled_from(odd) | quoted)
tables = st.builds(
    lambda name, own: "\n".join((f"[{name}]", *own)), st.sampled_from(sections), st.lists(lines, max_size=4)
)
files = st.binary() | st.lists(tables).map(lambda parts: "\n".join(parts).encode())
variables = st.builds(
    "{}{}".format, st.sampled_from([s.envvars[0] for s in SETTINGS.values()]), st.sampled_from(["", "_FILE"])
)


def shown(content: bytes, env: dict[str, str]) -> None:
    """`txbox config show` ends well, or as a mistake of the user's."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "txbox.toml"
        file.write_bytes(content)
        done = CliRunner().invoke(txbox, ["--config", str(file), "config", "show", "--origin"], env=env)
    assert isinstance(done.exception, SystemExit | None), (content, env, done.exception)
    assert done.exit_code in (0, 2)


@given(files)
@settings(max_examples=60)
def test_a_file_with_anything_in_it(content: bytes):
    shown(content, {})


@given(st.dictionaries(variables, anything))
@settings(max_examples=60)
def test_an_environment_with_anything_in_it(env: dict[str, str]):
    shown(b"", env)


@given(anything)
@settings(max_examples=60)
def test_a_database_that_is_anything(url: str):
    shown(b"", {"DATABASE_URL": url})
