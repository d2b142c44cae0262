"""Which statements would end a transaction, wherever they stand in a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbox.consumer.guard import refusal

REFUSED = {
    "COMMIT": "COMMIT",
    "commit;": "COMMIT",
    "Commit Work And Chain": "COMMIT",
    "COMMIT PREPARED 'x'": "COMMIT",
    "END": "END",
    "END TRANSACTION": "END",
    "ABORT": "ABORT",
    "ROLLBACK": "ROLLBACK",
    "ROLLBACK WORK": "ROLLBACK",
    "ROLLBACK TRANSACTION AND NO CHAIN": "ROLLBACK",
    "ROLLBACK PREPARED 'to'": "ROLLBACK",
    "PREPARE TRANSACTION 'x'": "PREPARE TRANSACTION",
    "prepare/**/transaction 'x'": "PREPARE TRANSACTION",
    "DISCARD ALL": "DISCARD",
    "DISCARD TEMP": "DISCARD",
}
ALLOWED = [
    "",
    ";",
    "SELECT 1",
    "ROLLBACK TO s",
    "rollback work to savepoint s",
    "ROLLBACK TRANSACTION TO s",
    "SAVEPOINT commit",
    "RELEASE s",
    "PREPARE p AS SELECT 1",
    "SELECT 'a;COMMIT'",
    "SELECT E'\\';COMMIT'",
    'SELECT 1 AS ";COMMIT"',
    "SELECT $$;COMMIT$$, $a$;COMMIT$$;END$a$",
    "-- ;COMMIT\nSELECT 1",
    "/* /* ;COMMIT */ ;COMMIT */ SELECT 1",
    "DO $$ BEGIN NULL; END $$",
    "SELECT CASE WHEN true THEN 1 END",
    "INSERT INTO t VALUES (1); UPDATE t SET commit = 1",
    "SELECT commit FROM discard",
    "committed",
    "end_of_day",
]

#: texts that hide what is in them, or look as if they did
PREFIXES = st.sampled_from(
    [
        "SELECT 1;",
        "SELECT 'it''s; -- /*';",
        "SELECT E'\\'; $$';",
        'SELECT "a"";";',
        "SELECT $$ ' ; $$;",
        "SELECT $t$ $$ ; $t$;",
        "-- ' $$ /*\n",
        "/* ' -- \n */",
        "/* /* */ ; */",
        ";",
        " \n\t",
        "SELECT 1 -- ;\n;",
        "SELECT a$b$c;",
    ]
)
HIDING = st.sampled_from(["'{}'", '"{}"', "$${}$$", "$x${}$x$", "/*{}*/", "--{}\n", "E'\\'{}'"])


@pytest.mark.parametrize(("query", "found"), REFUSED.items())
def test_what_ends_the_transaction_is_found(query: str, found: str) -> None:
    assert refusal(query) == found


@pytest.mark.parametrize("query", ALLOWED)
def test_what_does_not_is_let_through(query: str) -> None:
    assert refusal(query) is None


@given(st.lists(PREFIXES, max_size=6), st.sampled_from(sorted(REFUSED.items())))
def test_it_is_found_behind_anything(prefixes: list[str], refused: tuple[str, str]) -> None:
    query, found = refused
    assert refusal("".join(prefixes) + query) == found


@given(
    st.lists(
        st.tuples(
            PREFIXES,
            HIDING,
            st.sampled_from(
                sorted(
                    set(REFUSED)
                    - {
                        "COMMIT PREPARED 'x'",
                        "ROLLBACK PREPARED 'to'",
                        "PREPARE TRANSACTION 'x'",
                        "prepare/**/transaction 'x'",
                    }
                )
            ),
        ),
        max_size=5,
    )
)
def test_inside_literals_and_comments_it_is_not(parts: list[tuple[str, str, str]]) -> None:
    query = ";".join(prefix + " SELECT " + hiding.format(hidden) for prefix, hiding, hidden in parts)
    assert refusal(query) is None


@given(st.text())
def test_no_text_is_too_odd_to_be_looked_at(query: str) -> None:
    refusal(query)
