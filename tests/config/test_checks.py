"""Settings that are well written and cannot work: each is said with its section and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbridge.config.load import load
from mailbridge.config.problems import ConfigError

CASES = {
    "store.url=sqlite://mailbridge.db": "[store] url: must be sqlite:///",
    "store.url=sqlite:///": "[store] url: must be sqlite:///",
    "store.url=mysql://db/x": "[store] url: must be sqlite:///path/to/mailbridge.db, with a fourth slash where the path is absolute, or",
    "store.url=postgresql://db": "[store] url: must be sqlite:///",
    "store.url=postgresql://ann@a,,b/x": "[store] url: must be sqlite:///",
    "store.url=postgresql://ann:secret@db/x": "[store] url: holds a password; put that into [store] password, or a file",
    "store.url=postgresql://ann@db/x?password=secret": "[store] url: holds a password",
    "store.url=postgresql://ann@db/x?sslmode=require&sslrootcert=ca.pem": "[store] url: sslrootcert checks nothing with this sslmode",
    "store.folder=elsewhere": "[store] folder: is for a postgresql:// url",
    "skyvern.base_url=api.skyvern.com": "[skyvern] base_url: must begin with https:// or http://",
    "skyvern.timeout=0s": "[skyvern] timeout: must be at least 100ms",
    "skyvern.senders=0": "[skyvern] senders: must be between 1 and 64",
    "rules.lifetime=0s": "[rules] lifetime: must be at least 1s",
    "parser.timeout=1ms": "[parser] timeout: must be at least 100ms",
    "parser.workers=0": "[parser] workers: must be between 1 and 16",
    "smtp.max_size=1": "[smtp] max_size: must be between 1024 and",
    "smtp.max_memory=2MiB": "[smtp] max_memory: must be at least max_size",
    "smtp.max_per_ip=0": "[smtp] max_per_ip: must be between 1 and",
    "smtp.idle_timeout=10ms": "[smtp] idle_timeout: must be at least 1s",
    "smtp.proxy_from=proxy.example": "[smtp] proxy_from: 'proxy.example' is not an IP address or network",
    "smtp.listen=mail.example:25": "[smtp] listen: must be host:port",
    "smtp.lmtp=unix:lmtp.sock": "[smtp] lmtp: must be host:port such as 127.0.0.1:2525, [::1]:2525 or unix:/run/x.sock",
    "http.listen=unix:/run/http.sock": "[http] listen: must be host:port such as 127.0.0.1:2525, [::1]:2525",
    "http.public_url=codes.example.com": "[http] public_url: must begin with https:// or http://",
    "ingest.sendgrid_key=MFkwEwYHKoZIzj0CAQYI": "[ingest] sendgrid_key: must be the public key of the security policy",
    "ingest.ses_topics=mail": "[ingest] ses_topics: 'mail' must be the ARN of a topic",
    "ingest.ses_topics=arn:aws:sns:eu-west-1:123456789012:": "[ingest] ses_topics: ",
    "pull.grace=2h": "[pull] grace: must be at most 1h",
    "domains.accept=bad domain": "[domains] accept: 'bad domain' is not a domain",
    "identity.own_domains=bad domain": "[identity] own_domains: 'bad domain' is not a domain",
}
TABLES = {
    "MAILBRIDGE_ADDRESS": (
        '[{rcpt = "a@b.example"}, {rcpt = "A@B.example"}, {rcpt = "nobody"}]',
        [
            "[[address]] rcpt: 'nobody' is not a mail address",
            "[[address]] rcpt: 'A@B.example' is listed twice; the first is at $MAILBRIDGE_ADDRESS ([[address]] number 1)",
        ],
    ),
    "MAILBRIDGE_TARGET": (
        '[{name = "skyvern", api_key = "k"}, {name = "b"}, {name = "c", api_key = "k", base_url = "x"}]',
        [
            "[[target]] name: 'skyvern' is the name of the main target, [skyvern]",
            "[[target]] api_key: target 'b' needs api_key or api_key_file",
            "[[target]] base_url: must begin with https:// or http://",
        ],
    ),
}


@pytest.mark.parametrize("setting", CASES)
def test_a_setting_that_cannot_work_is_refused(setting: str, tmp_path: Path) -> None:
    """One problem, named by section and key, with what would do."""
    name, _, value = setting.partition("=")
    with pytest.raises(ConfigError) as caught:
        load(None, environ={}, overrides={name: value}, cwd=tmp_path)
    (problem,) = caught.value.problems
    assert problem.where == f"--set {name}"
    assert problem.what.startswith(CASES[setting])


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_contradict_themselves_are_refused(name: str, tmp_path: Path) -> None:
    """Addresses twice or none, targets of one name, without a key, without a URL: all at once."""
    value, wanted = TABLES[name]
    with pytest.raises(ConfigError) as caught:
        load(None, environ={name: value}, cwd=tmp_path)
    assert [problem.what for problem in caught.value.problems] == wanted
    assert all(problem.where.startswith(f"${name} ([[") for problem in caught.value.problems)


@pytest.mark.parametrize(
    "setting",
    [
        "store.url=sqlite:////var/lib/x/mailbridge.db",
        "store.url=sqlite:///state/x.db",
        "smtp.lmtp=unix:/run/x.sock",
        "smtp.listen=",
    ],
)
def test_what_can_work_is_taken(setting: str, tmp_path: Path) -> None:
    """Absolute and relative databases, a socket for LMTP, and no SMTP listener at all."""
    name, _, value = setting.partition("=")
    load(None, environ={}, overrides={name: value}, cwd=tmp_path)
