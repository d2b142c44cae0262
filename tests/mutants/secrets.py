"""What must be caught about what nobody may see, and about trust."""

from tests.mutants.table import Mutant

__all__ = ["SECRETS"]

_CANARIES = "tests/integration/security/test_canaries.py"
_SETTINGS = "tests/unit/cli/test_settings.py"
_KAFKA = "tests/integration/security/test_kafka.py"
_POSTGRES = "tests/integration/security/test_postgres.py"

SECRETS = (
    Mutant(
        "an exception's text is logged for those who want to know more",
        "consumer/txbox/consumer/loop.py",
        '_log.debug("the error", extra={"exception": traceback_of(error)})',
        '_log.debug("the error", exc_info=error)',
        _CANARIES,
    ),
    Mutant(
        "an error's text is kept with the message",
        "consumer/txbox/consumer/outcomes.py",
        "    return type(error).__name__ + where",
        '    return f"{error!r}{where}"',
        _CANARIES,
    ),
    Mutant(
        "a part of a password is taken for a host, and told",
        "daemon/txbox/daemon/postgres.py",
        'if "@" in str(found.get("host", "")) or not all',
        "if not all",
        _SETTINGS,
    ),
    Mutant(
        "a URL that cannot be read is shown",
        "cli/txbox/cli/config.py",
        "            return _MASKED",
        "            return value",
        _SETTINGS,
    ),
    Mutant(
        "only the first password of a URL is masked",
        "cli/txbox/cli/config.py",
        'if "password" in name}',
        'if name == "password"}',
        _SETTINGS,
    ),
    Mutant(
        "a password's file is read once",
        "daemon/txbox/daemon/postgres.py",
        "url = self.url if self.url_file is None else",
        "url = self.url if self.url_file is None or self.url else",
        "tests/unit/daemon/test_secrets.py",
    ),
    Mutant(
        "a client that brokers do not trust is kept",
        "relay/txbox/relay/publisher.py",
        "            if distrusts(self._trouble):",
        "            if False:",
        f"{_KAFKA} -k ours",
    ),
    Mutant(
        "why a certificate is not trusted is not asked",
        "daemon/txbox/daemon/trust.py",
        '    if server and "certificate verify failed" in text:',
        "    if False:",
        f"{_POSTGRES} -k expired",
    ),
)
