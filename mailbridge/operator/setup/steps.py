"""The steps of each way that mail can come, as a table, and what they come to: a pure function of what was answered and what is seen.

A step is done, asks something, waits for something outside, or has failed and says what fixes it. The first one that is not done is
the current one; those after it are shown as later, unless they are done already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from mailbridge.operator.gmail import link
from mailbridge.operator.setup.answers import WAYS
from mailbridge.operator.setup.plan import CLOUD, Facts, Level, Plan, Question, Seen, Step, domain_of, identifier_of
from mailbridge.operator.setup.posting import Maker, makers
from mailbridge.operator.setup.progress import Progress
from mailbridge.operator.setup.records import wanted
from mailbridge.operator.shapes import ProviderShape

PRACTICE = "practice"
"""The answer that no Skyvern is wanted now."""

FORWARDING = "https://mail.google.com/mail/u/0/#settings/fwdandpop"
FILTERS = "https://mail.google.com/mail/u/0/#settings/filters"
BESIDE = "proton"
"""The preset whose server is a program on this machine, with a certificate of its own that only a file can name."""

RESTART = "restart the daemon: Ctrl-C and `mailbridge serve` (or `make run`) in its terminal, or `systemctl restart mailbridge`"
"""What is left where the running daemon may not open the listener itself."""


def planned(progress: Progress, facts: Facts) -> Plan:
    """The steps as they stand. Pure."""
    found: list[Step] = []
    is_open = False
    for make in _makers(progress):
        step = make(progress, facts)
        if is_open and step.level is not Level.DONE:
            step = Step(name=step.name, title=step.title, level=Level.LATER)
        is_open = is_open or step.level is not Level.DONE
        found.append(step)
    return Plan(steps=tuple(found))


def _makers(progress: Progress) -> Sequence[Maker]:
    """What makes the steps of the way that was chosen; which they are over HTTP, the service decides."""
    way = progress.answers.get("way", "")
    if way != "http":
        return STEPS.get(way, (_skyvern, _way))
    return (
        _skyvern,
        _way,
        *makers(progress, whom=_whom, address=_address),
        *((_mail, _run) if "service" in progress.answers else ()),
    )


def _skyvern(progress: Progress, facts: Facts) -> Step:
    step = Step(name="skyvern", title="Skyvern", level=Level.DONE)
    if facts.has_key:
        if facts.skyvern is None or facts.skyvern.is_good:
            return replace(
                step, text=facts.skyvern.text if facts.skyvern else progress.seen.get("skyvern", "the key is in force")
            )
        return replace(step, level=Level.FAILED, text=facts.skyvern.text, hint=facts.skyvern.hint, question=_key(progress, facts))
    if progress.answers.get("skyvern") == PRACTICE:
        return replace(step, text="none for now: codes go to the practice receiver, and nothing leaves this machine")
    return replace(step, level=Level.ASK, text=f"{base_url(progress, facts)}, no key yet", question=_key(progress, facts))


def base_url(progress: Progress, facts: Facts) -> str:
    """The Skyvern that a key is asked for: the one that was named, one that answers near by, else its cloud."""
    named = progress.answers.get("skyvern", "")
    return named if named not in ("", PRACTICE) else facts.found or CLOUD


def _key(progress: Progress, facts: Facts) -> Question:
    url = base_url(progress, facts)
    where = "Skyvern's cloud: Settings, API keys" if url == CLOUD else url
    text = f"Skyvern's API key ({where}; or the address of another Skyvern; Enter: only practise)"
    return Question(name="key", text=text, is_secret=True, default="")


def _way(progress: Progress, _: Facts) -> Step:
    step = Step(name="way", title="how mail comes", level=Level.DONE, text=WAYS.get(progress.answers.get("way", ""), ""))
    if progress.answers.get("way") in WAYS:
        return step
    question = Question(name="way", text="How will the mails come here?", choices=tuple(WAYS.items()))
    return replace(step, level=Level.ASK, question=question)


def _whom(progress: Progress, _: Facts) -> Step:
    step = Step(name="for", title="for whom", level=Level.DONE)
    answers = progress.answers
    if "for" not in answers:
        text = "Whose codes? (the mail address that the run waits for: Skyvern's totp_identifier)"
        return replace(step, level=Level.ASK, question=Question(name="for", text=text))
    if "sites" not in answers:
        return replace(step, level=Level.ASK, text=answers["for"], question=_sites())
    return replace(step, text=f"{answers['for']}, {_senders(progress)}")


def _sites() -> Question:
    return Question(name="sites", text="From which sites? (such as github.com slack.com; Enter: any)", default="")


def _senders(progress: Progress) -> str:
    named = progress.answers.get("sites", "")
    return f"from {', '.join(named.split())}" if named else "from any sender"


def _mailbox(progress: Progress, facts: Facts) -> Step:
    step = Step(name="mailbox", title="mailbox", level=Level.ASK)
    answers, found = progress.answers, facts.way.mailbox
    address = answers.get("username", "")
    if not address:
        return replace(step, question=Question(name="username", text="The mailbox's address"))
    if found is not None and found.is_good:
        return replace(step, level=Level.DONE, text=found.text)
    if found is not None:
        return replace(step, level=Level.WAIT, text=found.text, hint=found.hint)
    provider = facts.provider if "host" not in answers else None
    if provider is None and "host" not in answers:
        guess = f"imap.{address.rpartition('@')[2]}"
        text = f"Its IMAP server (host or host:port; Enter: {guess})"
        return replace(step, text=address, question=Question(name="host", text=text, default=guess))
    hint = _without_setup(address, provider) if provider is not None else ""
    if hint:
        other = Question(name="username", text="The mailbox's address (another one)")
        return replace(step, level=Level.FAILED, text=address, hint=hint, question=other)
    kind = provider.hint if provider is not None else "the account's password, or an app password where there is one"
    return replace(step, text=address, question=Question(name="password", text=f"Its password: {kind}", is_secret=True))


def _without_setup(address: str, provider: ProviderShape) -> str:
    """What adds a mailbox that wants more than a password; "" for one that does not."""
    if provider.preset == BESIDE:
        return f"{provider.name} is read through a program on this machine: docs/imap.md has the lines for the configuration"
    if not provider.takes_password:
        command = f"`mailbridge imap add {address} --oauth --client-id ID`"
        return f"{provider.name} takes no password: {command} asks for your permission (docs/imap.md says what ID is)"
    return ""


def _domain(progress: Progress, facts: Facts) -> Step:
    step = Step(name="domain", title="domain", level=Level.DONE, text=domain_of(progress, facts))
    if step.text:
        return step
    if len(facts.domains) > 1:
        text = f"The domain of the address ({', '.join(facts.domains)})"
        return replace(step, level=Level.ASK, question=Question(name="domain", text=text, default=facts.domains[0]))
    text = "The domain whose mail comes to this machine (such as bridge.example.com)"
    return replace(step, level=Level.ASK, question=Question(name="domain", text=text))


def _listener(progress: Progress, facts: Facts) -> Step:
    step = Step(name="listener", title="listener", level=Level.DONE)
    open_ones = [one for one in facts.way.listeners if is_world(one)]
    if open_ones:
        return replace(step, text=f"{', '.join(open_ones)}{_by_file(progress)}")
    text = f'[smtp]\nlisten = ["0.0.0.0:25"]\nhostname = "{domain_of(progress, facts)}"\n'
    return _unconfigured(step, progress, text, "nobody but this machine reaches the SMTP listener")


def _lmtp(progress: Progress, facts: Facts) -> Step:
    step = Step(name="listener", title="listener", level=Level.DONE)
    if facts.way.lmtp:
        return replace(step, text=f"LMTP on {facts.way.lmtp[0]}{_by_file(progress)}")
    return _unconfigured(step, progress, '[smtp]\nlmtp = ["127.0.0.1:2424"]\n', "no LMTP listener is configured")


def _by_file(progress: Progress) -> str:
    """Names the file that was written for a listener, where one was."""
    return f", by {progress.answers['file']}" if "file" in progress.answers else ""


def _unconfigured(step: Step, progress: Progress, text: str, why: str) -> Step:
    """A setting that only a file holds: the client writes one where there is none, and has the daemon read it. A daemon that may
    not listen there (port 25 needs the right to it) has to be restarted by somebody who may."""
    step = replace(step, level=Level.WAIT, text=why, file=text)
    if "file" in progress.answers:
        return replace(step, text=f"{why} yet; {progress.answers['file']} has the lines for it", hint=RESTART)
    hint = f"put these lines into the configuration, then `mailbridge reload`; where that cannot listen there, {RESTART}"
    return replace(step, hint=hint, lines=tuple(text.splitlines()), wants="file")


def _address(progress: Progress, facts: Facts) -> Step:
    step = Step(name="address", title="address", level=Level.DONE, text=facts.way.rcpt)
    if facts.way.rcpt:
        return step
    return replace(step, level=Level.WAIT, text=f"none for {identifier_of(progress)} yet", act="address")


def _records(progress: Progress, facts: Facts) -> Step:
    step = Step(name="dns", title="DNS", level=Level.DONE)
    found = _proven(progress, facts, "dns", facts.way.records)
    if found is not None and found.is_good:
        return replace(step, text=found.text)
    domain = domain_of(progress, facts)
    records = wanted(domain, facts.way.addresses)
    lines = ["as lines of a zone file:", *(f"  {one.zone()}" for one in records)]
    apex = facts.way.apex or domain
    lines += [f"or in the panel of {apex}:", *(f"  {one.panel(apex)}" for one in records)]
    lines += ["the MX is needed only where the name has another one: mail for a name without any goes to its address"]
    text = found.text if found is not None else f"{domain} is not looked up yet"
    return replace(
        step,
        level=Level.WAIT,
        text=text,
        hint="publish the address, and the MX where it is needed; they are looked up until they are there",
        lines=tuple(lines),
    )


def _port(progress: Progress, facts: Facts) -> Step:
    step = Step(name="port-25", title="port 25", level=Level.DONE)
    found = _proven(progress, facts, "port-25", facts.way.port)
    if found is not None and found.is_good:
        return replace(step, text=found.text)
    text = found.text if found is not None else "not asked yet"
    return replace(step, level=Level.WAIT, text=text, hint=found.hint if found is not None else "")


def _proven(progress: Progress, facts: Facts, name: str, found: Seen | None) -> Seen | None:
    """What was seen before, or what a mail that came by this way proves, else what a check found."""
    if name in progress.seen:
        return Seen(is_good=True, text=progress.seen[name])
    if facts.mail is not None or facts.way.asks is not None:
        return Seen(is_good=True, text="mail comes in by it")
    return found


def _forwarding(progress: Progress, facts: Facts) -> Step:
    step = Step(name="forwarding", title="Gmail's yes", level=Level.DONE, text=progress.seen.get("forwarding", ""))
    if step.text or facts.mail is not None:
        return replace(step, text=step.text or "mail comes in")
    if facts.way.asks is None:
        return replace(
            step,
            level=Level.WAIT,
            text="waiting for Gmail's question",
            hint=f"{FORWARDING} , Add a forwarding address, paste it and Next, Proceed",
            lines=(f"the address to add: {facts.way.rcpt}",),
        )
    number, account = facts.way.asks
    if account.casefold() == identifier_of(progress).casefold() or progress.answers.get("allow") == f"yes:{number}":
        return replace(step, level=Level.WAIT, text=f"{account} asks", act="confirm")
    if progress.answers.get("allow") == f"no:{number}":
        return replace(
            step, level=Level.WAIT, text=f"{account or 'somebody'} asked, and was refused; waiting for another question"
        )
    text = f"Gmail asks whether {account or 'an account that it does not name'} may forward here. Is it yours? (yes or no)"
    return replace(step, level=Level.ASK, text=f"{account} asks", question=Question(name="allow", text=text))


def _filter(progress: Progress, facts: Facts) -> Step:
    step = Step(name="filter", title="filter", level=Level.DONE)
    if facts.mail is not None:
        return replace(step, text="mail comes in")
    if link(progress.answers.get("sites", "").split()):
        return replace(step, text=f"{_senders(progress)}, by the link below")
    if "filter" in progress.answers:
        return replace(step, text=f"{progress.answers['filter']} is for {FILTERS}")
    return replace(step, level=Level.WAIT, text="the file is not written yet", wants="filter")


def _transport(progress: Progress, facts: Facts) -> Step:
    step = Step(name="transport", title="mail server", level=Level.DONE)
    if facts.mail is not None:
        return replace(step, text="it hands mail on")
    domain, where = domain_of(progress, facts), facts.way.lmtp[0] if facts.way.lmtp else "127.0.0.1:2424"
    place = f"lmtp:{where}" if where.startswith("unix:") else f"lmtp:inet:{where}"
    lines = (f"relay_domains = {domain}", f"transport_maps = inline:{{ {{ {domain} = {place} }} }}")
    hint = "lines for Postfix (/etc/postfix/main.cf, then `postfix reload`); README, Behind another mail server, has the rest"
    return replace(step, text=f"mail for {domain} goes to {where}", hint=hint, lines=lines)


def _test(progress: Progress, facts: Facts) -> Step:
    step = Step(name="mail", title="first mail", level=Level.DONE, text=facts.mail.text if facts.mail is not None else "")
    if "mail" in progress.seen:
        return replace(step, text=progress.seen["mail"])
    if facts.mail is not None and facts.mail.is_good:
        return step
    if "test" in progress.answers:
        return replace(step, level=Level.FAILED, text=step.text or "the test mail did not come", hint="mailbridge doctor")
    return replace(step, level=Level.WAIT, text="a test mail is sent", wants="test")


def _mail(progress: Progress, facts: Facts) -> Step:
    step = Step(name="mail", title="first mail", level=Level.WAIT)
    if "mail" in progress.seen:
        return replace(step, level=Level.DONE, text=progress.seen["mail"])
    if facts.mail is None:
        hint = "sign in somewhere and have a code sent"
        if progress.answers.get("way") == "gmail":
            hint = f"{_to_filter(progress)}; then {hint}"
        return replace(step, text=f"waiting for a code for {identifier_of(progress)}", hint=hint)
    if facts.mail.is_good:
        return replace(step, level=Level.DONE, text=facts.mail.text)
    return replace(step, text=facts.mail.text, hint=facts.mail.hint)


def _to_filter(progress: Progress) -> str:
    """What to open and click in Gmail, so that it forwards: a form that is filled in where senders are named, else the file."""
    form = link(progress.answers.get("sites", "").split())
    if form:
        return f"{form} , Create filter, Forward it to, choose the address, Create filter"
    name = progress.answers.get("filter", "the filter file")
    return f"{FILTERS} , Import filters, {name}, Open file, Create filters"


def _run(progress: Progress, facts: Facts) -> Step:
    name = identifier_of(progress)
    step = Step(name="run", title="Skyvern's run", level=Level.LATER)
    if "mail" not in progress.seen and not (facts.mail is not None and facts.mail.is_good):
        return step
    step = replace(step, level=Level.DONE, text=f'give the run totp_identifier "{name}"')
    if not facts.has_key:
        return step
    quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("'", "'\\''")
    body = f'{{"prompt": "Sign in …", "url": "https://…", "totp_identifier": "{quoted}"}}'
    url = facts.url.rstrip("/")
    lines = (f"curl {url}/v1/run/tasks -H \"x-api-key: $SKYVERN_API_KEY\" -H 'Content-Type: application/json' -d '{body}'",)
    return replace(step, lines=lines)


def is_world(listener: str) -> bool:
    """Whether others than this machine can reach a listener."""
    host = listener.rpartition(":")[0].strip("[]")
    return not listener.startswith(("unix:", "/")) and host != "localhost" and not host.startswith("127.") and host != "::1"


STEPS: Mapping[str, Sequence[Maker]] = MappingProxyType(
    {
        "mailbox": (_skyvern, _way, _mailbox, _mail, _run),
        "gmail": (_skyvern, _way, _whom, _domain, _listener, _address, _records, _port, _forwarding, _filter, _mail, _run),
        "lmtp": (_skyvern, _way, _whom, _domain, _lmtp, _address, _transport, _mail, _run),
        "try": (_skyvern, _way, _test, _run),
    }
)
"""The steps of each way, in their order."""
