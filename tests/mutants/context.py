"""What must be caught about what messages carry on, and about spans."""

from tests.mutants.table import Mutant

__all__ = ["CONTEXT"]

_CONTEXT = "outbox/txbox/outbox/context.py"
_TRACING = "outbox/txbox/outbox/tracing.py"
_UNIT = "tests/unit/outbox/test_context.py"
_HANDLED = "tests/integration/consumer/test_context.py"
_SPANS = "tests/integration/test_tracing.py"

CONTEXT = (
    Mutant(
        "a context is everybody's",
        _CONTEXT,
        "        _carried.reset(self._token)",
        "        pass",
        _UNIT,
    ),
    Mutant(
        "a context goes over what a message brings",
        "outbox/txbox/outbox/message.py",
        "    joined = {**context, **own}",
        "    joined = {**own, **context}",
        _UNIT,
    ),
    Mutant(
        "a trace that is none goes on with others",
        _CONTEXT,
        "    if _is_fit(traceparent) and _TRACEPARENT.fullmatch(traceparent):",
        "    if _is_fit(traceparent):",
        _UNIT,
    ),
    Mutant(
        "OpenTelemetry is loaded for everybody",
        _CONTEXT,
        '    if "opentelemetry.trace" not in sys.modules:\n        return None\n',
        "",
        _UNIT,
    ),
    Mutant(
        "a handler's messages name no cause",
        "consumer/txbox/consumer/handling.py",
        "            with context_of(step.message, self._consumer):\n                step",
        "            if True:\n                step",
        _HANDLED,
    ),
    Mutant(
        "a span tells an exception's text",
        _TRACING,
        "record_exception=False",
        "record_exception=True",
        _SPANS,
    ),
    Mutant(
        "a handler's span is linked to nothing",
        _TRACING,
        "links = [Link(origin)] if origin.is_valid else []",
        "links = list[Link]()",
        _SPANS,
    ),
    Mutant(
        "the relay makes spans that nobody records",
        "relay/txbox/relay/traces.py",
        "[13579bdf]')",
        "[0-9a-f]')",
        _SPANS,
    ),
)
