"""What people type and write wrong, some two hundred kinds: one line that says what is wrong and what mends it, and the exit code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailbridge.cli.exits import Exit
from mailbridge.cli.secret import unread
from mailbridge.config.values import secret_file
from tests.cli.running import Run

USAGE, NOT_FOUND, AWAY, CONFIG = Exit.USAGE, Exit.NOT_FOUND, Exit.UNAVAILABLE, Exit.CONFIG
LONG_NUMBER = "99999999999999999999999"


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A command line, its exit code, and what the one line says."""

    words: tuple[str, ...]
    code: int
    hint: str


def _typed(code: int, hint: str, *lines: str) -> list[Typed]:
    """Command lines that end the same; blanks part the words, ``_`` is a blank inside one, ``EMPTY`` an empty word."""
    found = []
    for line in lines:
        words = tuple("" if word == "EMPTY" else word.replace("_", " ") for word in line.split())
        found.append(Typed(words=words, code=code, hint=hint))
    return found


TYPED = [
    # words that are no commands
    *_typed(USAGE, "did you mean mail?", "mial list", "mails list", "Mail list", "maill"),
    *_typed(USAGE, "did you mean list?", "mail lst", "mail lits", "delivery lsit", "code listt", "token lis", "address lst"),
    *_typed(USAGE, "did you mean show?", "mail shwo 1", "delivery sho 1", "config shw"),
    *_typed(USAGE, "did you mean serve?", "server", "sevre", "srve"),
    *_typed(USAGE, "did you mean doctor?", "docter", "doktor"),
    *_typed(USAGE, "did you mean check-config?", "check_config".replace("_", "-cnf-"), "checkconfig", "check-conf"),
    *_typed(USAGE, "there are serve, setup, demo", "xyzzy", "42", "確認"),
    *_typed(USAGE, "mail what? there are import, list", "mail", "--json mail"),
    *_typed(USAGE, "what? there are ", "delivery", "token", "config", "rule"),
    # options that there are not
    *_typed(USAGE, "'--limit'", "mail list --limt 3", "mail list --limits 3", "delivery list --lmit 3"),
    *_typed(USAGE, "'--json'", "mail list --jsn", "mail list --jason", "doctor --jso"),
    *_typed(USAGE, "'--held'", "mail list --hold", "mail list --heldd"),
    *_typed(USAGE, "see `mailbridge mail list --help`", "mail list --wat", "mail list -x", "mail list --=", "mail list extra"),
    *_typed(USAGE, "requires an argument", "mail list --for", "code wait --for", "check-config --config", "extract x --now"),
    *_typed(USAGE, "Missing argument 'NUMBER'", "mail show", "mail release", "mail replay", "delivery show", "token remove"),
    *_typed(USAGE, "Missing option '--for'", "code wait", "code latest", "mail remove --yes", "skyvern url", "code expect"),
    *_typed(USAGE, "Missing argument", "rule try generic", "rule try", "mail import", "extract", "why", "totp add", "imap test"),
    *_typed(USAGE, "Missing option '--from'", "rule new"),
    *_typed(USAGE, "unexpected extra argument", "doctor now", "version 2", "mail show 1 2", "check-config mailbridge.toml"),
    # numbers
    *_typed(USAGE, "is not a number", "mail show 12a", "mail show 1.5", "mail show ١", "delivery show x", "mail show 1_0"),
    *_typed(USAGE, "is not a number", "token remove one", "delivery retry 1 two", "gmail confirm x", "mail show EMPTY"),
    *_typed(NOT_FOUND, "there is no mail", f"mail show {LONG_NUMBER}", "mail show 0", f"mail release {LONG_NUMBER}"),
    *_typed(NOT_FOUND, "there is no mail", f"mail replay {LONG_NUMBER}", "mail show -- -1"),
    *_typed(NOT_FOUND, "there is no", f"delivery show {LONG_NUMBER}", f"token remove {LONG_NUMBER}", "token remove 0"),
    *_typed(NOT_FOUND, "there is no", f"delivery retry {LONG_NUMBER}", "delivery retry 0", "delivery show 0"),
    *_typed(USAGE, "'--limit'", "mail list --limit 0", f"mail list --limit {LONG_NUMBER}", "mail list --limit x"),
    *_typed(USAGE, "'--limit'", "code list --limit 2000", "delivery list --limit -3", "code given --limit 1e3"),
    *_typed(USAGE, "'--mail'", f"delivery list --mail {LONG_NUMBER}", "delivery list --mail 0"),
    *_typed(USAGE, "'--timeout'", "code wait --for x --timeout nan", "code wait --for x --timeout inf"),
    *_typed(
        USAGE, "'--timeout'", "code wait --for x --timeout -1", "code wait --for x --timeout soon", "send-test --timeout nan"
    ),
    *_typed(USAGE, "'--seconds'", "code expect --for x --seconds 601", "code expect --for x --seconds nan"),
    *_typed(USAGE, "'x' is not a number of seconds", "healthcheck --wait=x"),
    *_typed(USAGE, "'--wait'", "healthcheck --wait=1e9", "healthcheck --wait=nan"),
    # moments
    *_typed(USAGE, "a duration such as 15m (ago)", "mail list --since yesterday", "mail list --since 2026-13-45"),
    *_typed(USAGE, "a duration such as 15m (ago)", "why x --since EMPTY", "mail list --since 0001-01-01T00:00:00+14:00"),
    *_typed(USAGE, "a duration such as 15m (ago)", f"mail list --since {LONG_NUMBER}d", "delivery list --since 15_minutes"),
    *_typed(USAGE, "a duration such as 30d", "token add --identifier x --expires soon", "token add --identifier x --expires 1x"),
    *_typed(USAGE, "has passed", "token add --identifier x --expires 2020-01-01", "token add --identifier x --expires 0s"),
    *_typed(USAGE, "is not an ISO 8601 time", "extract - --now later", "extract - --now 9999-12-31T23:59:59-14:00"),
    # choices
    *_typed(USAGE, "is not one of", "mail list --state ded", "delivery list --state DEAD!", "send-test --via pigeon"),
    *_typed(USAGE, "'SHELL'", "completion tcsh"),
    *_typed(USAGE, "is not one of", "code wait --for x --kind sms", "token add --role boss"),
    # settings on the command line
    *_typed(
        USAGE, "write section.key=value", "--set smtp serve", "--set listen=x serve", "mail list --set =", "--set x.y doctor"
    ),
    *_typed(CONFIG, "did you mean smtp?", "--set smpt.listen=x mail list", "mail list --set stmp.listen=x"),
    *_typed(CONFIG, "did you mean listen?", "--set smtp.lisen=x mail list"),
    Typed(words=("--set", "skyvern.api_key=x", "mail", "list"), code=CONFIG, hint="use --set skyvern.api_key_file=PATH"),
    *_typed(CONFIG, "must be host:port", "--set smtp.listen=25 mail list", "--set smtp.listen=mail.example:25 mail list"),
    # files
    *_typed(
        CONFIG, "no such file", "--config nowhere.toml mail list", "mail --config nowhere.toml list", "mail list --config a/b/c"
    ),
    *_typed(CONFIG, "is a folder", "--config . mail list", "check-config --config empty"),
    *_typed(CONFIG, "File name too long", f"mail list --config {'x' * 5000}"),
    *_typed(NOT_FOUND, "no such file", "extract nowhere.eml"),
    *_typed(NOT_FOUND, "No such file", "rule try generic nowhere.eml", "rule new --from nowhere.eml"),
    *_typed(NOT_FOUND, "there is no rule 'nonsense'", "rule try nonsense mail.eml"),
    *_typed(USAGE, "does not exist", "totp add x --qr nowhere.png", "code wait --for x --token-file nowhere"),
    *_typed(NOT_FOUND, "none is configured; `mailbridge imap add ADDRESS` adds one", "imap test nobody"),
    *_typed(USAGE, "the secret is missing: Base32 such as", "totp add x EMPTY"),
    # what does not fit together
    *_typed(USAGE, "leave out --domain", "address add --rcpt a@b.example --domain b.example"),
    *_typed(USAGE, "leave out --for", "gmail filter --forward-to a@b.example --for x"),
    *_typed(USAGE, "give SECRET or --qr, not both", "totp add x JBSWY3DPEHPK3PXP --qr mail.eml"),
    *_typed(USAGE, "leave out --json", "mail show 1 --raw --json"),
    *_typed(USAGE, "name deliveries by their numbers", "delivery retry"),
    *_typed(USAGE, "names whose codes it may read", "token add", "token add --role agent --name x"),
    *_typed(USAGE, "an identifier is empty", "token add --identifier EMPTY", "token add --identifier _"),
    *_typed(USAGE, "--yes does it", "mail remove --for x"),
    *_typed(USAGE, "name the domain", "address add --domain not_a_domain", "address new --domain @"),
    *_typed(USAGE, "is not a mail address", "gmail filter --forward-to nobody", "gmail filter --forward-to a@@b"),
    *_typed(USAGE, "is not a HOST:PORT", "send-test --smtp localhost --yes", "send-test --smtp 127.0.0.1:² --yes"),
    *_typed(USAGE, "a token is needed", "code waiting --url http://127.0.0.1:1"),
    # text that cannot be meant
    *_typed(USAGE, "must be a text of at most 1000 characters", f"why {'x' * 5000}", f"mail list --for {'x' * 5000}"),
    *_typed(USAGE, "must not be empty", "why EMPTY", "why _", "code latest --for _", "mail remove --yes --for _"),
    *_typed(USAGE, "is not UTF-8 text", "why \udcff", "mail list --for \udcff"),
    *_typed(USAGE, "a NUL", "why a\0b", "mail list --config \0"),
    # nobody there
    *_typed(AWAY, "there is no database", "mail list", "delivery list", "code list", "token list", "why ann@corp.example"),
    *_typed(AWAY, "no daemon is running", "reload", "top", "imap status", "code waiting", "doctor", "send-test"),
    *_typed(AWAY, "no daemon is running", "code wait --for +49_170_1234567 --timeout 0", "code expect --for Ann_Müller"),
]


@pytest.mark.parametrize("typed", TYPED, ids=lambda one: " ".join(one.words)[:60].encode("unicode_escape").decode())
def test_what_is_typed_wrong_is_told_in_one_line(typed: Typed, run: Run, here: Path) -> None:
    """What is wrong, the hint, the exit code; with `--json` the same as one object."""
    (here / "empty").mkdir()
    (here / "mail.eml").write_text("Subject: hello\n\nYour code is 123456\n")
    done = run(*typed.words)
    assert (done.code, done.out) == (typed.code, ""), done.err
    (line,) = done.err.splitlines()
    assert typed.hint in line
    assert line.startswith("mailbridge: ") or "--json" in typed.words
    if {"--json", "--", "completion", "check-config"} & set(typed.words):
        return
    (row,) = [json.loads(one) for one in run("--json", *typed.words).err.splitlines()]
    assert typed.hint in row["error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A configuration, and what each line that is printed of it says."""

    text: str
    hints: tuple[str, ...]


def _written(text: str, *hints: str) -> Written:
    return Written(text=text, hints=hints)


ADDRESS = '[[address]]\nrcpt = "a@b.example"\n'
IMAP = '[[imap]]\nusername = "ann@b.example"\npreset = "gmail"\npassword = "x"\n'
TARGET = '[[target]]\nname = "other"\napi_key = "k"\n'

WRITTEN = [
    _written("smtp", "not TOML"),
    _written("[smtp]\nlisten = [", "not TOML"),
    _written("[smtp]\n[smtp]\n", "not TOML"),
    _written("[smtp]\nlisten = 127.0.0.1:25\n", "not TOML"),
    _written("[smpt]\n", ":1: smpt: unknown section; did you mean smtp?"),
    _written("[[smtp]]\n", ":1: smtp must be a section: [smtp]"),
    _written("[address]\n", ":1: address must be a list of tables: [[address]]"),
    _written('address = "x"\n', ":1: address must be a list of tables"),
    _written("[smtp]\nlisten = []\n", "nothing can ever come in"),
    _written("[domains]\naccept = []\n", "nothing can ever come in"),
    _written('[smtp]\nlisten = "127.0.0.1:2525"\n', ":2: [smtp] listen: must be"),
    _written('[smtp]\nlisten = ["127.0.0.1"]\n', ":2: [smtp] listen: must be host:port"),
    _written('[smtp]\nlisten = [\n  "127.0.0.1:0",\n  "x",\n]\n', ":4: [smtp] listen: must be host:port"),
    _written('[smtp]\nlisten = ["127.0.0.1:99999"]\n', "must be host:port"),
    _written('[smtp]\nlisten = ["127.0.0.1:²"]\n', "must be host:port"),
    _written('[smtp]\nlisten = [""]\n', "an entry is empty; leave it out"),
    _written('[smtp]\nlisten = ["127.0.0.1:2526", "127.0.0.1:2526"]\n', "is used twice"),
    _written('[smtp]\nlisten = ["192.0.2.77:2525"]\n', "this machine has no such address"),
    _written('[smtp]\nlmtp = ["unix:relative.sock"]\n', "must be host:port"),
    _written('[smtp]\nlmtp = ["unix:/nowhere/at/all/lmtp.sock"]\n', "/nowhere/at/all: no such folder"),
    _written('[smtp]\nhostname = "two words"\n', ":2: [smtp] hostname: 'two words' is not a host name"),
    _written('[smtp]\nhostname = "brücke.example"\n', "is not a host name such as bridge.example.com"),
    _written('[smtp]\nhostname = "-x.example"\n', "is not a host name"),
    _written('[smtp]\nhostname = "a..b"\n', "is not a host name"),
    _written(f'[smtp]\nhostname = "{"a." * 200}example"\n', "is not a host name"),
    _written('[smtp]\nhostname = " "\n', "is empty"),
    _written('[smtp]\nhostname = "a\\nb"\n', "must be one line of text"),
    _written("[smtp]\nhostname = 5\n", ":2: [smtp] hostname: must be"),
    _written("[smtp]\nmax_size = 1\n", "must be between 1024 and"),
    _written('[smtp]\nmax_size = "huge"\n', "must be a size such as 25MiB"),
    _written(f"[smtp]\nmax_recipients = {LONG_NUMBER}\n", ":2: [smtp] max_recipients: must be"),
    _written("[smtp]\nmax_recipients = -1\n", "must be between 1 and 10000"),
    _written("[smtp]\nmax_recipients = true\n", "must be a whole number"),
    _written("[smtp]\nmax_recipients = 1.5\n", "must be a whole number"),
    _written('[smtp]\nidle_timeout = "1 minute"\n', "must be a duration such as 10m"),
    _written('[smtp]\nidle_timeout = "1ms"\n', "must be at least 1s"),
    _written("[smtp]\nidle_timeout = -5\n", "must be a duration between 0 and 10 years"),
    _written("[smtp]\nidle_timeout = nan\n", "must be a duration between 0 and 10 years"),
    _written('[smtp]\nlisten = "0.0.0.0:25"\n', 'must be a list, in brackets, such as ["…"]'),
    _written("[smtp]\nlisten = [25]\n", "must be a text, in quotes"),
    _written('[smtp]\ntls = "yes"\n', "must be true or false, without quotes"),
    _written('[smtp]\ntls_cert = "c.pem"\n', "a certificate needs its key"),
    _written('[smtp]\ntls_cert = "c.pem"\ntls_key = "c.key"\n', "c.pem"),
    _written('[smtp]\nproxy_from = ["10.0.0.0/99"]\n', "is not an IP address or network"),
    _written('[domains]\naccept = ["two words"]\n', "'two words' is not a domain"),
    _written('[domains]\naccept = ["ann@corp.example"]\n', "is not a domain"),
    _written('[domains]\naccept = [""]\n', ":2: [domains] accept: an entry is empty"),
    _written('[domains]\naccept = [\n  "a.example",\n  "b c",\n]\n', ":4: [domains] accept: 'b c' is not a domain"),
    _written("[domains]\naccept = [5]\n", ":2: [domains] accept: must be"),
    _written(f'[identity]\nknown = ["{"x" * 5000}"]\n', "is too long: at most 1000 characters, not 5000"),
    _written('[identity]\nknown = [" "]\n', "an entry is empty"),
    _written('[identity]\nknown = ["a\\nb"]\n', "must be one line of text"),
    _written('[identity]\nown_domains = ["x y"]\n', "is not a domain"),
    _written("[[address]]\n", ":1: [[address]] needs rcpt"),
    _written('[[address]]\nrcpt = "nobody"\n', ":1: [[address]] rcpt: 'nobody' is not a mail address"),
    _written(f'{ADDRESS}\n[[address]]\nrcpt = "nobody"\n', ":4: [[address]] rcpt: 'nobody' is not a mail address"),
    _written(f"{ADDRESS}\n{ADDRESS}", ":4: [[address]] rcpt: 'a@b.example' is listed twice"),
    _written('[[address]]\nrcpt = "ä@b.example"\n', "is not a mail address"),
    _written(f'[[address]]\nrcpt = "{"a" * 5000}@b.example"\n', "is too long"),
    _written(f'{ADDRESS}identifier = "{"x" * 5000}"\n', "identifier: is too long: at most 1000 characters, not 5000"),
    _written(f'{ADDRESS}identifier = ""\n', "[[address]] identifier: is empty; leave it out"),
    _written(f'{ADDRESS}identifier = "a\\u0007b"\n', "must be one line of text"),
    _written(f'{ADDRESS}identifer = "x"\n', "did you mean identifier?"),
    _written(f"{ADDRESS}accept_from = []\n", "accept_from: is empty"),
    _written(f'{ADDRESS}accept_from = [""]\n', "an entry is empty"),
    _written(f'{ADDRESS}trust = "dkmi"\n', "must be one of dkim, arc, forwarder, token, none"),
    _written(f'{ADDRESS}trust = ["dkim", "x"]\n', "must be one of dkim, arc, forwarder, token, none"),
    _written(f"{ADDRESS}trust = []\n", "must name a proof"),
    _written(f'{ADDRESS}trust = ["none", "dkim"]\n', '"none" asks for nothing'),
    _written('[trust]\ndefault = "all"\n', "must be one of dkim, arc, forwarder, token, none"),
    _written("[trust]\nsenders = []\n", "nothing would ever be pushed"),
    _written('[trust]\nsigners = ["acme.com"]\n', "must be like acme.com=mailer.example"),
    _written('[trust]\naccounts = ["ann"]\n', "is not a mail address, nor a pattern"),
    _written('[trust]\nforwarders = ["google com"]\n', "is not a domain"),
    _written('[trust]\nnameservers = ["dns.example"]\n', "must be an IP address"),
    _written('[trust]\nlink_hosts = ["https://x/"]\n', "is not a host"),
    _written('[trust]\ndns_timeout = "1ms"\n', "must be at least 100ms"),
    _written('[rules]\nfallback = "push"\n', "must be one of hold, push-body"),
    _written('[rules]\nambiguous = "guess"\n', "must be one of hold, push-best"),
    _written('[rules]\npaths = ["nowhere.toml"]\n', "nowhere.toml: cannot be read"),
    _written('[rules]\npaths = [""]\n', "an entry is empty"),
    _written("[rules]\nlifetime = 0\n", "must be at least 1s"),
    _written('[skyvern]\nbase_url = "api.skyvern.com"\n', "must begin with https:// or http://"),
    _written('[skyvern]\nbase_url = "https://"\n', "base_url"),
    _written('[skyvern]\napi_key = ""\n', "is empty"),
    _written('[skyvern]\napi_key = "two words"\n', "must be the bare key"),
    _written('[skyvern]\napi_key_file = "nowhere"\n', "cannot be read: No such file"),
    _written('[skyvern]\ncredentials_file = "nowhere"\n', "cannot be read: No such file"),
    _written("[skyvern]\nsenders = 0\n", "must be between 1 and 64"),
    _written("[[target]]\n", "needs name"),
    _written('[[target]]\nname = "x"\n', "needs api_key or api_key_file"),
    _written(f'{TARGET}kind = "zapier"\n', "must be one of skyvern"),
    _written(f"{TARGET}{TARGET}", "is listed twice"),
    _written('[[target]]\nname = "skyvern"\napi_key = "k"\n', "is the name of the main target"),
    _written('[http]\nlisten = "8025"\n', "must be host:port"),
    _written('[http]\ntoken = "short"\n', "must have at least 8 characters"),
    _written('[http]\npublic_url = "x"\n', "must begin with https:// or http://"),
    _written('[pull]\ngrace = "2h"\n', "must be at most 1h"),
    _written('[store]\nurl = "postgres://x"\n', "must be sqlite:///path"),
    _written('[store]\nurl = "sqlite:////dev/null/x.db"\n', "is no folder"),
    _written('[store]\nkey_file = "mail.eml"\nurl = "sqlite:///x.db"\n', "can be read by others"),
    _written("[parser]\nworkers = 99\n", "must be between 1 and 16"),
    _written('[log]\nlevel = "loud"\n', ":2: [log] level: must be one of debug, info, warning, error"),
    _written('[log]\nlevel = ["info"]\n', "must be one of debug, info, warning, error"),
    _written(f"{IMAP}folders = []\n", "must be between 1 and 20 folders"),
    _written(f'{IMAP}preset = "gmial"\n'.replace('preset = "gmail"\n', ""), "must be one of gmail, outlook"),
    _written(f'{IMAP}after = "burn"\n', "must be nothing, seen, delete"),
    _written(f"{IMAP}port = 70000\n", "must be between 1 and 65535"),
    _written('[[imap]]\nusername = "ann"\nhost = "h"\npassword = "x"\n', "is not a mail address"),
    _written('[[imap]]\nusername = "a@b.example"\nhost = "h"\n', "needs either password"),
    # every mistake in one go
    _written("[smtp]\nlisen = []\nhostname = 'a b'\n[log]\nlevel = 'x'\n", "lisen", "hostname", "level"),
    _written(f'{ADDRESS}identifer = "x"\n{ADDRESS}', "did you mean identifier?", "is listed twice"),
    _written("[rules]\npaths = ['nowhere.toml']\n[smtp]\nhostname = 'a b'\n", "hostname", "nowhere.toml"),
    _written("[smtp]\nlisten = []\n[log]\nlevel = 'x'\n", "level", "nothing can ever come in"),
    _written(f"{TARGET}senders = 0\nbase_url = 'x'\n", "senders", "base_url: must begin"),
]


@pytest.mark.parametrize("written", WRITTEN, ids=lambda one: one.text[:60].encode("unicode_escape").decode())
def test_what_is_written_wrong_is_told_with_its_place(written: Written, run: Run, here: Path) -> None:
    """A line for each mistake and no more, exit 78; a byte order mark before it changes nothing."""
    (here / "mail.eml").write_text("x" * 32)
    for mark in ("", "\ufeff"):
        (here / "mailbridge.toml").write_text(mark + written.text, encoding="utf-8")
        done = run("check-config", "--config", "mailbridge.toml")
        assert (done.code, done.out) == (Exit.CONFIG, ""), done.err
        lines = done.err.splitlines()
        assert all(any(hint in line for line in lines) for hint in written.hints), done.err
        assert len(lines) == len(written.hints), done.err
        assert all(line.startswith("mailbridge: ") and len(line) < 600 for line in lines)


def test_there_are_two_hundred_kinds() -> None:
    """Nothing stands twice."""
    assert len({one.words for one in TYPED}) == len(TYPED)
    assert len({one.text for one in WRITTEN}) == len(WRITTEN)
    assert len(TYPED) + len(WRITTEN) >= 200


def test_a_file_with_a_secret_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """By its name and why, and without the number that the system gives the fault."""
    with pytest.raises(OSError) as caught:
        secret_file(tmp_path / "nowhere", is_mode_checked=True)
    assert unread(caught.value) == f"{tmp_path}/nowhere: No such file or directory"
    (tmp_path / "empty").touch(mode=0o600)
    with pytest.raises(ValueError, match="is empty") as refused:
        secret_file(tmp_path / "empty", is_mode_checked=True)
    assert unread(refused.value) == f"{tmp_path}/empty is empty"
