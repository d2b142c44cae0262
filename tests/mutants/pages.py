"""Mutants of what people read."""

from tests.mutants.table import Mutant

_PLAYED = "tests/acceptance/test_pages.py"
_READ = "tests/unit/test_pages.py"

PAGES = (
    Mutant(
        "the README's handler looks for what nobody sends",
        "README.md",
        'message.payload["total"]))',
        'message.payload["sum"]))',
        f"{_PLAYED} -k README",
    ),
    Mutant(
        "a page names an option that there is not",
        "docs/held.md",
        "txbox held retry --consumer billing --error KeyError --rate 10/s",
        "txbox held retry --consumer billing --error KeyError --speed 10/s",
        f"{_PLAYED} -k held.md",
    ),
    Mutant(
        "a page's SQL erases less than it says",
        "docs/personal-data.md",
        "WHERE what #>> '{chosen_by,key}' = 'customer-7';",
        "WHERE false;",
        f"{_PLAYED} -k personal",
    ),
    Mutant(
        "only the first held message of a person is skipped",
        "docs/personal-data.md",
        " WHERE aggregateid = 'customer-7';\n```\n\nWhat consumers hold",
        " WHERE aggregateid = 'customer-7' AND reason = 'refused';\n```\n\nWhat consumers hold",
        f"{_PLAYED} -k personal",
    ),
    Mutant(
        "an id is not forgotten before its message is published again",
        "docs/again.md",
        "    AND p.message_id = '0198f2c5",
        "    AND p.message_id <> '0198f2c5",
        f"{_PLAYED} -k again",
    ),
    Mutant(
        "a link leads to a heading that there is not",
        "docs/supported.md",
        "configuration.md#kafkaclient",
        "configuration.md#kafka-client",
        _READ,
    ),
    Mutant("a page is not in the navigation", "zensical.toml", '    { "Operating" = "operating.md" },\n', "", _READ),
    Mutant("a block says no language", "docs/kafka-errors.md", "```sh", "```", _READ),
)
