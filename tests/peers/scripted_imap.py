"""An IMAP server in a thread that behaves, except where a test tells it not to."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType

CAPABILITIES = "IMAP4rev1 IDLE ID MOVE UIDPLUS AUTH=PLAIN"

Hook = Callable[["Session", str, str], bool]
"""Gets the session, the tag and the arguments of a command; True: it has answered."""


@dataclass
class StoredMail:
    """One mail of the mailbox."""

    uid: int
    content: bytes
    at: datetime
    flags: set[str] = field(default_factory=set)


class ScriptedImap:
    """One mailbox, any number of sessions. ``hooks`` replace the answer to a command; ``log`` holds what clients sent. ``folders``
    have mails of their own; every other name is the mailbox's. ``is_deaf``: IDLE tells nothing; ``is_blind``: a session shows the mails
    that were there when it opened the folder, whatever it is asked, but for STATUS; ``greeting_after`` in seconds."""

    def __init__(self, *, capabilities: str = CAPABILITIES, tls: ssl.SSLContext | None = None) -> None:
        self.capabilities = capabilities
        self.password = "pw"
        self.tokens: set[str] = set()
        self.mails: list[StoredMail] = []
        self.validity = 1_000
        self.uid_next = 1
        self.is_deaf = False
        self.is_blind = False
        self.greeting_after = 0.0
        self.greeting = b"* OK ready\r\n"
        self.hooks: dict[str, Hook] = {}
        self.log: list[str] = []
        self.sessions: list[Session] = []
        self.logins: list[float] = []
        self.moved: dict[str, list[int]] = {}
        self.folders: dict[str, list[StoredMail]] = {}
        self._tls = tls
        self._lock = threading.RLock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> ScriptedImap:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.close()
        self.hang_up()

    def deliver(self, content: bytes, *, at: datetime | None = None, is_announced: bool = True) -> int:
        """Put a mail into the mailbox and tell the sessions that idle; its UID."""
        with self._lock:
            uid = self.uid_next
            self.uid_next += 1
            self.mails.append(StoredMail(uid=uid, content=content, at=at or datetime.now(UTC)))
            count = len(self.mails)
        if is_announced and not self.is_deaf:
            self.push(f"* {count} EXISTS\r\n".encode())
        return uid

    def push(self, octets: bytes) -> None:
        """Send octets to every session that idles."""
        for session in list(self.sessions):
            if session.idle_tag is not None:
                session.send(octets)

    def hang_up(self, *, with_reset: bool = False) -> None:
        """End every session: FIN, or RST."""
        for session in list(self.sessions):
            session.close(with_reset=with_reset)

    @property
    def idling(self) -> int:
        """How many sessions idle."""
        return sum(session.idle_tag is not None for session in self.sessions)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            session = Session(self, connection)
        except OSError:
            connection.close()
            return
        self.sessions.append(session)
        with contextlib.suppress(OSError, ValueError):
            session.run()
        session.idle_tag = None
        with contextlib.suppress(ValueError):
            self.sessions.remove(session)
        session.end()


class Session:
    """One client's dialogue."""

    def __init__(self, server: ScriptedImap, connection: socket.socket) -> None:
        self.server = server
        self.connection = connection
        self.connection.settimeout(0.02)
        self._inbox = bytearray()
        self._ending = ""
        self.idle_tag: str | None = None
        self.seen = 0
        self.box = server.mails
        self._lock = threading.Lock()

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        with self._lock, contextlib.suppress(OSError):
            self._send_all(octets)

    def _send_all(self, octets: bytes) -> None:
        view = memoryview(octets)
        while view:
            try:
                view = view[self.connection.send(view[:262_144]) :]
            except TimeoutError:
                if self._ending:
                    return

    def close(self, *, with_reset: bool = False) -> None:
        """End the connection; the thread that reads does it."""
        self._ending = "RST" if with_reset else "FIN"

    @property
    def is_ending(self) -> bool:
        """Whether it is told to end."""
        return bool(self._ending)

    def line(self) -> bytes:
        """The next line of the client, b"" at the end."""
        while b"\n" not in self._inbox:
            if self._ending:
                return b""
            try:
                octets = self.connection.recv(65_536)
            except TimeoutError:
                continue
            if not octets:
                return b""
            self._inbox += octets
        line, _, rest = bytes(self._inbox).partition(b"\n")
        self._inbox = bytearray(rest)
        return line + b"\n"

    def octets(self, size: int) -> bytes:
        """So many octets of the client."""
        while len(self._inbox) < size and not self._ending:
            with contextlib.suppress(TimeoutError):
                self._inbox += self.connection.recv(65_536)
        octets, self._inbox = bytes(self._inbox[:size]), self._inbox[size:]
        return octets

    def settle(self) -> None:
        """Wait until what the client sent together is all here."""
        time.sleep(0.05)
        with contextlib.suppress(TimeoutError):
            self._inbox += self.connection.recv(65_536)

    def drop_inbox(self) -> None:
        """Forget what the client has sent and was not read yet."""
        self._inbox.clear()

    def end(self) -> None:
        """Close as was asked for."""
        with contextlib.suppress(OSError):
            if self._ending == "RST":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def ok(self, tag: str, text: str = "done") -> None:
        """Complete a command."""
        self.send(f"{tag} OK {text}\r\n".encode())

    def run(self) -> None:
        """Answer until the client leaves."""
        time.sleep(self.server.greeting_after)
        self.send(self.server.greeting)
        while line := self.line():
            words = line.decode("latin-1").rstrip("\r\n")
            self.server.log.append(words)
            if words.upper() == "DONE":
                tag, self.idle_tag = self.idle_tag or "", None
                if not self._hooked("DONE", tag, ""):
                    self.ok(tag, "idle is over")
                continue
            tag, _, rest = words.partition(" ")
            name, _, arguments = rest.partition(" ")
            name = name.upper()
            if name == "UID":
                name, _, arguments = arguments.partition(" ")
                name = f"UID {name.upper()}"
            if self._hooked(name, tag, arguments):
                continue
            answer = getattr(self, "_on_" + name.lower().replace(" ", "_"), None)
            if answer is None:
                self.send(f"{tag} BAD unknown command\r\n".encode())
            elif answer(tag, arguments) is False:
                return

    def _hooked(self, name: str, tag: str, arguments: str) -> bool:
        hook = self.server.hooks.get(name)
        return hook is not None and hook(self, tag, arguments)

    def _on_capability(self, tag: str, _: str) -> None:
        self.send(f"* CAPABILITY {self.server.capabilities}\r\n".encode())
        self.ok(tag)

    def _on_login(self, tag: str, arguments: str) -> None:
        self._login(tag, is_right=arguments.endswith((f'"{self.server.password}"', self.server.password)))

    def _on_authenticate(self, tag: str, mechanism: str) -> None:
        self.send(b"+ \r\n")
        answer = base64.b64decode(self.line()).decode()
        if mechanism.upper() == "PLAIN":
            self._login(tag, is_right=answer.split("\0")[-1] == self.server.password)
            return
        token = re.search(r"auth=Bearer ([^\x01]+)", answer)
        if token is not None and token[1] in self.server.tokens:
            self._login(tag, is_right=True)
            return
        self.send(b"+ eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJtYWlsIn0=\r\n")
        self.server.log.append(f"reply {self.line()!r}")
        self._login(tag, is_right=False)

    def _login(self, tag: str, *, is_right: bool) -> None:
        self.server.logins.append(time.monotonic())
        if is_right:
            self.ok(tag, "logged in")
        else:
            self.send(f"{tag} NO [AUTHENTICATIONFAILED] wrong\r\n".encode())

    def _on_id(self, tag: str, _: str) -> None:
        self.send(b"* ID NIL\r\n")
        self.ok(tag)

    def _on_examine(self, tag: str, name: str) -> None:
        server = self.server
        self.box = server.folders.get(name.strip('"'), server.mails)
        if server.is_blind:
            self.box = list(self.box)
        self.seen = len(self.box)
        self.send(
            f"* {self.seen} EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY {server.validity}] ok\r\n"
            f"* OK [UIDNEXT {server.uid_next}] ok\r\n{tag} OK [READ-ONLY] done\r\n".encode()
        )

    _on_select = _on_examine

    def _on_status(self, tag: str, arguments: str) -> None:
        mails = self.server.folders.get(arguments.partition(" ")[0].strip('"'), self.server.mails)
        self.send(f'* STATUS "x" (MESSAGES {len(mails)} UIDNEXT {self.server.uid_next})\r\n'.encode())
        self.ok(tag)

    def _on_noop(self, tag: str, _: str) -> None:
        self._tell_exists()
        self.ok(tag)

    def _tell_exists(self) -> None:
        if len(self.box) != self.seen:
            self.seen = len(self.box)
            self.send(f"* {self.seen} EXISTS\r\n".encode())

    def _on_idle(self, tag: str, _: str) -> None:
        self.idle_tag = tag
        self.send(b"+ idling\r\n")
        if not self.server.is_deaf:
            self._tell_exists()

    def _on_uid_search(self, tag: str, criteria: str) -> None:
        if criteria.startswith("SINCE") and "SUBJECT" not in criteria:
            self.send(f"* SEARCH {' '.join(str(mail.uid) for mail in self.box)}\r\n".encode())
            self.ok(tag)
            return
        if criteria == "DELETED":
            uids = " ".join(str(mail.uid) for mail in self.box if r"\Deleted" in mail.flags)
            self.send(f"* SEARCH {uids}\r\n".encode())
            self.ok(tag)
            return
        subject = re.search(r'SUBJECT "([^"]*)"', criteria)
        if subject is not None:
            found = [mail.uid for mail in self.box if subject[1].lower().encode() in mail.content.split(b"\r\n\r\n")[0].lower()]
        else:
            wanted = self.spans_of(criteria.removeprefix("UID "))
            found = [mail.uid for mail in self.box if any(low <= mail.uid <= high for low, high in wanted)]
        uids = " ".join(map(str, found))
        self.send(f"* SEARCH {uids}\r\n".encode())
        self.ok(tag)

    def spans_of(self, told: str) -> list[tuple[int, int]]:
        """A set of UIDs as spans; ``*`` is the last one (RFC 3501 9)."""
        last = max((mail.uid for mail in self.box), default=0)
        spans = [part.replace("*", str(last)).partition(":")[::2] for part in told.split(",")]
        both = [(int(low), int(high or low)) for low, high in spans]
        return [(min(one), max(one)) for one in both]

    def _on_fetch(self, tag: str, arguments: str) -> None:
        span, _, items = arguments.partition(" ")
        low, _, high = span.partition(":")
        uids = [mail.uid for mail in self.box[int(low) - 1 : int(high)]]
        if uids:
            self.tell_mails(f"{uids[0]}:{uids[-1]} {items}")
        self.ok(tag)

    def _on_uid_fetch(self, tag: str, arguments: str) -> None:
        self.tell_mails(arguments)
        self.ok(tag)

    def tell_mails(self, arguments: str) -> None:
        """The FETCH responses for the arguments of a UID FETCH."""
        span, _, items = arguments.partition(" ")
        spans = self.spans_of(span)
        part = re.search(r"<(\d+)\.(\d+)>", items)
        for number, mail in enumerate(list(self.box), 1):
            if any(low <= mail.uid <= high for low, high in spans):
                told = f"* {number} FETCH (UID {mail.uid}"
                if "INTERNALDATE" in items:
                    told += f' INTERNALDATE "{mail.at.strftime("%d-%b-%Y %H:%M:%S +0000")}" RFC822.SIZE {len(mail.content)}'
                if part is None:
                    self.send(told.encode() + b")\r\n")
                    continue
                start, size = int(part[1]), int(part[2])
                body = mail.content[start : start + size]
                self.send(told.encode() + f" BODY[]<{start}> {{{len(body)}}}\r\n".encode() + body + b")\r\n")

    def _on_notify(self, tag: str, _: str) -> None:
        self.ok(tag)

    def _on_uid_store(self, tag: str, arguments: str) -> None:
        uids, _, flags = arguments.partition(" ")
        for mail in self.box:
            if str(mail.uid) in uids.split(","):
                mail.flags |= set(re.findall(r"[\\$\w]+", flags.partition("(")[2]))
        self.ok(tag)

    def _on_uid_expunge(self, tag: str, arguments: str) -> None:
        server = self.server
        for number in range(len(self.box), 0, -1):
            mail = self.box[number - 1]
            if str(mail.uid) in arguments.split(",") and r"\Deleted" in mail.flags:
                del self.box[number - 1]
                for session in server.sessions:
                    if session.box is self.box and (session is self or session.idle_tag is not None):
                        session.send(f"* {number} EXPUNGE\r\n".encode())
                        session.seen -= 1
        self.ok(tag)

    def _on_expunge(self, tag: str, _: str) -> None:
        self._on_uid_expunge(tag, ",".join(str(mail.uid) for mail in self.box))

    def _on_list(self, tag: str, _: str) -> None:
        for name in ("INBOX", *self.server.folders):
            special = f"\\{name}" if name in ("Junk", "Sent", "Trash") else ""
            self.send(f'* LIST ({special}) "/" "{name}"\r\n'.encode())
        self.ok(tag)

    def _on_append(self, tag: str, arguments: str) -> None:
        size = int(arguments.rpartition("{")[2].rstrip("}"))
        self.send(b"+ go on\r\n")
        content = self.octets(size)
        self.line()
        self.server.deliver(content)
        self.ok(tag)

    def _on_uid_move(self, tag: str, arguments: str) -> None:
        uids, _, folder = arguments.partition(" ")
        self.server.moved.setdefault(folder.strip('"'), []).extend(int(uid) for uid in uids.split(","))
        self.ok(tag)

    def _on_logout(self, tag: str, _: str) -> bool:
        self.send(b"* BYE bye\r\n")
        self.ok(tag)
        return False
