"""What must be caught about held messages of consumers."""

from tests.mutants.table import Mutant

__all__ = ["CONSUMER"]

_CHOOSING = "consumer/txbox/consumer/choosing.sql"
_MENDING = "consumer/txbox/consumer/mending.py"
_EDITING = "consumer/txbox/consumer/editing.py"
_LETTERS = "consumer/txbox/consumer/dead_letters.py"
_MENDED = "tests/integration/consumer/test_mending.py"
_CHOSEN = "tests/integration/consumer/test_choosing.py"
_EDITED = "tests/integration/consumer/test_editing.py"
_COPIED = "tests/unit/consumer/test_dead_letters.py"

CONSUMER = (
    Mutant("people wait for handlers", _CHOOSING, "FOR UPDATE OF h SKIP LOCKED", "FOR UPDATE OF h", _MENDED),
    Mutant("people change what a handler runs", _CHOOSING, "FOR UPDATE OF h SKIP LOCKED", "", f"{_MENDED} -k tried"),
    Mutant(
        "a retry pressed twice is two",
        _CHOOSING,
        "coalesce(h.state = 'dead' OR h.due_at > clock_timestamp(), false)",
        "h.state = 'dead' OR h.due_at IS NOT NULL",
        _MENDED,
    ),
    Mutant(
        "a follower is retried before its head",
        _CHOOSING,
        "coalesce(h.state = 'dead' OR h.due_at > clock_timestamp(), false)",
        "h.state = 'dead' OR h.due_at > clock_timestamp() OR h.due_at IS NULL",
        _MENDED,
    ),
    Mutant(
        "a retry goes on counting attempts",
        "consumer/txbox/consumer/mending.sql",
        "reason = 'failed', attempts = 0,",
        "reason = 'failed',",
        _MENDED,
    ),
    Mutant(
        "a retry of many chooses all that follow",
        _MENDING,
        "followers = what is Mended.DISCARD or choice.ids is not None",
        "followers = True",
        _MENDED,
    ),
    Mutant(
        "a discard of many takes those that wait",
        _MENDING,
        "if choice.ids is None and choice.state is None:",
        "if False:",
        _MENDED,
    ),
    Mutant(
        "what was chosen once is changed whatever it has become",
        _MENDING,
        "choosing.lock(choice.of(consumer, tuple(ids)))",
        "choosing.lock(Choice(consumer=consumer, ids=tuple(ids)))",
        _MENDED,
    ),
    Mutant("a dry run of people is none", _MENDING, "if wanted and not dry_run:", "if wanted:", _MENDED),
    Mutant(
        "keys too long for the index are blocked by none",
        _CHOOSING,
        "substring(later.key FROM 1 FOR 1000) = substring(h.key FROM 1 FOR 1000)",
        "later.key = h.key",
        _CHOSEN,
    ),
    Mutant(
        "those behind a dead message are counted without end",
        "consumer/txbox/consumer/report.sql",
        "LIMIT %(most_behind)s",
        "LIMIT %(most_behind)s * 1000",
        _CHOSEN,
    ),
    Mutant("an edit makes another message", _EDITING, "if received.id != message:", "if False:", _EDITED),
    Mutant("an edit makes no message", _EDITING, "if not isinstance(received, Received):", "if False:", _EDITED),
    Mutant(
        "an edited message has no id",
        _EDITING,
        "if not any(name == ID for name, _ in headers):",
        "if False:",
        _EDITED,
    ),
    Mutant(
        "an edit of what is being tried",
        _EDITING,
        "if not choosing.lock(Choice(ids=(message,), consumer=holder)):",
        "if False:",
        _EDITED,
    ),
    Mutant(
        "numbers of a dead letter are the wrong way round",
        _LETTERS,
        "record.offset.to_bytes(8, signed=True)",
        'record.offset.to_bytes(8, "little", signed=True)',
        "tests/integration/consumer/test_dead_letters.py",
    ),
    Mutant(
        "a dead letter has another id each time",
        _LETTERS,
        'id=uuid.uuid5(_COPIES, f"{death.consumer}/{death.message_id}")',
        "id=uuid.uuid4()",
        _COPIED,
    ),
    Mutant(
        "a dead letter too large for Kafka", _LETTERS, "_MOST: Final = 900_000", "_MOST: Final = 9_000_000", _COPIED
    ),
    Mutant("headers of a dead letter are lost", _LETTERS, "    if not exact:\n", "    if False:\n", _COPIED),
    Mutant(
        "a dead letter goes where it came from",
        _LETTERS,
        "if topic_of(template, topic, consumer) in made:",
        "if False:",
        _COPIED,
    ),
    Mutant(
        "producers steer terminals",
        "cli/txbox/cli/output.py",
        "return plain(str(value))",
        "return str(value)",
        "tests/integration/cli/test_held.py",
    ),
    Mutant(
        "no rate holds",
        "cli/txbox/cli/held.py",
        "return max(0.0, changed / rate - elapsed)",
        "return 0.0",
        "tests/unit/cli/test_held.py",
    ),
    Mutant(
        "a handler that does not end keeps its process for ever",
        "cli/txbox/cli/consume.py",
        ", interrupt_after=config.drain_timeout",
        "",
        "tests/integration/consumer/test_processes.py -k interrupted",
    ),
)
