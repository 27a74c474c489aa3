"""Every command that asks the operator, each with arguments that it takes, and a run of them all in one process."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from click.testing import CliRunner

from mailbridge.cli import cli
from mailbridge.cli.exits import Exit


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A command, and its exit code beside a daemon (``up``) and without one but with its database (``down``)."""

    words: str
    up: int = Exit.OK
    down: int = Exit.OK
    stdin: str = ""


MAIL = "From: a@shop.example\nTo: ann@example.com\nSubject: Your code\nMessage-ID: <row@shop.example>\n\nYour code is 482913\n"

ROWS = (
    Row(words="mail import --rcpt codes@mailbridge.localhost -", stdin=MAIL),
    Row(words="mail import --json --rcpt codes@mailbridge.localhost -", stdin=MAIL),
    Row(words="mail import --rcpt nobody@elsewhere.example -", stdin=MAIL, up=Exit.GENERAL, down=Exit.GENERAL),
    Row(words="mail list"),
    Row(words="mail list --json --for ann@example.com --since 1h"),
    Row(words="mail list --held --state dead --limit 5"),
    Row(words="mail show 1"),
    Row(words="mail show 1 --json --reveal"),
    Row(words="mail show 1 --raw"),
    Row(words="mail show 999", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="mail release 1", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="mail replay 1"),
    Row(words="mail replay 999", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="delivery list"),
    Row(words="delivery list --json --state dead --state expired"),
    Row(words="delivery show 1"),
    Row(words="delivery show 999", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="delivery retry 1", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="delivery retry --state dead"),
    Row(words="code list"),
    Row(words="code list --reveal --json"),
    Row(words="code latest --for ann@example.com"),
    Row(words="code latest --for nobody@example.com", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="code wait --for ann@example.com --timeout 1", down=Exit.UNAVAILABLE),
    Row(words="code wait --for nobody@example.com --timeout 0", up=Exit.NOT_FOUND, down=Exit.UNAVAILABLE),
    Row(words="code expect --for ann@example.com --seconds 1", down=Exit.UNAVAILABLE),
    Row(words="code waiting", down=Exit.UNAVAILABLE),
    Row(words="code given --json"),
    Row(words="address add --rcpt otp@shop.example --for ann@example.com"),
    Row(words="address add --rcpt otp@shop.example", up=Exit.GENERAL, down=Exit.GENERAL),
    Row(words="address add --rcpt nonsense", up=Exit.CONFIG, down=Exit.CONFIG),
    Row(words="address list"),
    Row(words="config show --json"),
    Row(words="config export"),
    Row(words="gmail filter --for ann@example.com"),
    Row(words="gmail confirm", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="address remove otp@shop.example"),
    Row(words="address remove otp@shop.example", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="token add --identifier ann@example.com"),
    Row(words="token add --role operator --name page --json"),
    Row(words="token list"),
    Row(words="token remove 1"),
    Row(words="token remove 999", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="login --role viewer", down=Exit.UNAVAILABLE),
    Row(words="login --json", down=Exit.UNAVAILABLE),
    Row(words="session list"),
    Row(words="session list --json"),
    Row(words="session remove 999", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="session password --remove", down=Exit.UNAVAILABLE),
    Row(words="totp add shop JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP --for ann@example.com"),
    Row(words="totp list"),
    Row(words="totp code shop"),
    Row(words="totp bind shop"),
    Row(words="totp remove shop"),
    Row(words="totp remove shop", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="skyvern url --for ann@example.com --hidden"),
    Row(words="target add org --for nobody@example.com --url http://127.0.0.1:9", stdin="a-key-of-nobody"),
    Row(words="target list"),
    Row(words="target test org", up=Exit.UNAVAILABLE, down=Exit.UNAVAILABLE),
    Row(words="target test nothing", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="target remove org"),
    Row(words="target add hook --for nobody@example.com --kind webhook --url https://127.0.0.1:9/x --allow-private"),
    Row(words="target test hook", up=Exit.UNAVAILABLE, down=Exit.UNAVAILABLE),
    Row(words="target remove hook"),
    Row(words="notify add desk --kind slack", up=Exit.CONFIG, down=Exit.CONFIG),
    Row(words="notify list"),
    Row(words="notify test nothing", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="notify remove nothing", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="imap add ann@example.com --server 127.0.0.1:1 --no-wait", stdin="pw", up=Exit.UNAVAILABLE, down=Exit.UNAVAILABLE),
    Row(words="imap add nonsense --server 127.0.0.1:1 --no-wait", stdin="pw", up=Exit.CONFIG, down=Exit.CONFIG),
    Row(words="imap list --json"),
    Row(words="imap test nothing", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="imap remove nothing", up=Exit.NOT_FOUND, down=Exit.NOT_FOUND),
    Row(words="why ann@example.com --json"),
    Row(words="imap status", down=Exit.UNAVAILABLE),
    Row(words="reload", down=Exit.UNAVAILABLE),
    Row(words="send-test --smtp 127.0.0.1:1 --for ann@example.com", up=Exit.UNAVAILABLE, down=Exit.UNAVAILABLE),
    Row(words="mail remove --for ann@example.com --yes --json"),
)


def answered(row: Row) -> tuple[int, str, str]:
    """Exit code, output and errors of a command in this process."""
    done = CliRunner().invoke(cli, row.words.split(), input=row.stdin)
    return done.exit_code, done.stdout, done.stderr


if __name__ == "__main__":
    sys.stdout.write(json.dumps([answered(row) for row in ROWS]))
