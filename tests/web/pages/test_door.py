"""Who gets in to the page: links, cookies, hosts, origins, forms, roles and the age of a login."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mailbridge.operator.asks import Nothing
from mailbridge.operator.sessions import NewPassword
from mailbridge.web.pages.entrance import PATHS
from tests.web.desk import Desk, at_desk
from tests.web.pages.visitor import Visitor

SECRET = "482913"
OPEN = {"login", "login.enter", "static"}


def test_nothing_is_shown_before_a_login(tmp_path: Path) -> None:
    """Every path but the login and the files of the page itself leads there, or is refused."""

    async def scene(desk: Desk) -> None:
        await desk.mail(SECRET)
        visitor = Visitor(desk)
        for name, method, path in PATHS:
            if name not in OPEN:
                answer = await visitor.client.request(method, path.replace("{id:int}", "1"), headers={"Origin": visitor.origin})
                assert answer.status_code in (303, 401), (name, answer.status_code)
                assert "ann@corp.com" not in answer.text

    at_desk(tmp_path, scene)


def test_a_link_logs_in_once(tmp_path: Path) -> None:
    """The second use of a link, and any other text, is refused like a wrong password."""

    async def scene(desk: Desk) -> None:
        first, second = Visitor(desk), Visitor(desk)
        token = await first.token()
        assert (await first.enter(token)).status_code == 303
        assert (await first.get("/")).status_code == 200
        again = await second.enter(token)
        other = await second.enter("mbt_aaaaaaaaaaaaaaaaaaaaaaaa")
        assert (again.status_code, other.status_code) == (403, 403)
        assert second.cookie == ""

    at_desk(tmp_path, scene)


def test_a_link_is_over_after_five_minutes(tmp_path: Path) -> None:
    """One that lies about logs nobody in."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        token = await visitor.token()
        await desk.store.writer.do(lambda connection: connection.execute("UPDATE invitation SET expires_at = 1"))
        assert (await visitor.enter(token)).status_code == 403

    at_desk(tmp_path, scene)


def test_only_hashes_are_kept(tmp_path: Path) -> None:
    """Neither the token of a link nor the text of a cookie is in the database."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        token = await visitor.token()
        assert token.encode() not in (tmp_path / "mailbridge.db").read_bytes() + (tmp_path / "mailbridge.db-wal").read_bytes()
        await visitor.enter(token)
        assert visitor.cookie.encode() not in (tmp_path / "mailbridge.db-wal").read_bytes()

    at_desk(tmp_path, scene)


def test_the_cookie_on_this_machine(tmp_path: Path) -> None:
    """It is for no script and for no other site; browsers do not tell ports apart, so its name does."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        cookie = (await visitor.log_in()).headers["set-cookie"]
        assert cookie.startswith(f"mailbridge-{desk.client.base_url.port}=")
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert "Secure" not in cookie

    at_desk(tmp_path, scene)


def test_the_cookie_behind_a_proxy(tmp_path: Path) -> None:
    """Over https it is bound to the host, and sent over https alone."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        answer = await visitor.enter(await visitor.token(), Host="codes.example.com", Origin="https://codes.example.com")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/bridge/"
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-mailbridge=")
        assert "Secure" in cookie
        assert "Path=/;" in cookie
        assert "Domain" not in cookie

    at_desk(tmp_path, scene, public_url="https://codes.example.com/bridge")


def test_a_page_under_a_path(tmp_path: Path) -> None:
    """Whether the proxy takes the path off or not, links and files lead back under it."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        for path in ("/login", "/bridge/login"):
            answer = await visitor.get(path, Host="codes.example.com")
            assert answer.status_code == 200
            links = re.findall(r'(?:href|src|action)="(/[^"]*)"', answer.text)
            assert links
            assert all(one.startswith("/bridge/") for one in links), links
        made = await visitor.token()
        assert made

    at_desk(tmp_path, scene, public_url="https://codes.example.com/bridge")


def test_plain_http_from_elsewhere_logs_nobody_in(tmp_path: Path) -> None:
    """A password or a cookie would go over the wire in clear."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        shown = await visitor.get("/login", Host="codes.example.com")
        assert "<form" not in shown.text
        answer = await visitor.enter(await visitor.token(), Host="codes.example.com", Origin="http://codes.example.com")
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers

    at_desk(tmp_path, scene, public_url="http://codes.example.com")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "codes.example.com.evil.example",
        "10.0.0.1",
        "",
        "[::2]",
    ],
)
def test_a_name_that_is_none_of_ours_gets_nothing(tmp_path: Path, host: str) -> None:
    """A stranger's name that leads to this machine (DNS rebinding) sees no page, logged in or not."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        cookie = "; ".join(f"{name}={value}" for name, value in visitor.client.cookies.items())
        answer = await visitor.get("/", Host=host, Cookie=cookie)
        assert answer.status_code in (400, 421)
        assert "<html" not in answer.text

    at_desk(tmp_path, scene, public_url="https://codes.example.com")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:{port}", "LOCALHOST:{port}", "[::1]:{port}", "127.0.0.2"])
def test_names_of_this_machine_are_ours(tmp_path: Path, host: str) -> None:
    """A forwarded port has another number; the name counts."""

    async def scene(desk: Desk) -> None:
        answer = await Visitor(desk).get("/login", Host=host.format(port=desk.client.base_url.port))
        assert answer.status_code == 200

    at_desk(tmp_path, scene)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null", "Sec-Fetch-Site": "same-site"},
        {"Origin": "https://127.0.0.1"},
        {},
    ],
)
def test_a_form_of_somebody_elses_does_nothing(tmp_path: Path, headers: dict[str, str]) -> None:
    """Even with the right token, a POST that another origin sent is refused; logins too."""

    async def scene(desk: Desk) -> None:
        await desk.mail(SECRET)
        visitor = Visitor(desk)
        await visitor.log_in()
        data = {"csrf": await visitor.csrf(), "identifier": "ann@corp.com", "mail": "1"}
        for path in ("/codes/reveal", "/logout", "/mail/1/reveal"):
            answer = await visitor.client.post(path, data=data, headers=headers)
            assert answer.status_code == 403, path
            assert SECRET not in answer.text
        assert (await visitor.get("/")).status_code == 200
        token = await visitor.token()
        assert (await visitor.client.post("/login", data={"token": token}, headers=headers)).status_code == 403

    at_desk(tmp_path, scene)


def test_a_form_of_the_page_itself_is_taken_without_an_origin(tmp_path: Path) -> None:
    """Under no-referrer a browser writes ``Origin: null`` for a form, and says that it is of the same origin."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
        answer = await visitor.client.post("/logout", data={"csrf": await visitor.csrf()}, headers=headers)
        assert answer.status_code == 303

    at_desk(tmp_path, scene)


@pytest.mark.parametrize("token", ["", "0" * 64, "no-hex", "\u00e9" * 64])
def test_a_form_without_its_token_does_nothing(tmp_path: Path, token: str) -> None:
    """Nor with that of another session."""

    async def scene(desk: Desk) -> None:
        await desk.mail(SECRET)
        visitor, other = Visitor(desk), Visitor(desk)
        await visitor.log_in()
        await other.log_in()
        for one in (token, await other.csrf()):
            data = {"csrf": one, "identifier": "ann@corp.com", "mail": "1"}
            answer = await visitor.client.post("/codes/reveal", data=data, headers={"Origin": visitor.origin})
            assert answer.status_code == 403
            assert SECRET not in answer.text

    at_desk(tmp_path, scene)


def test_a_session_ends_at_once(tmp_path: Path) -> None:
    """Logged out, removed by an operator, or over: the cookie is worth nothing any more."""

    async def scene(desk: Desk) -> None:
        visitor, other, third = Visitor(desk), Visitor(desk), Visitor(desk)
        for one in (visitor, other, third):
            await one.log_in()
        cookie = visitor.cookie
        await visitor.post("/logout")
        assert (await visitor.get("/", Cookie=f"mailbridge-{desk.client.base_url.port}={cookie}")).status_code == 303
        found = await desk.operator.sessions.find(Nothing())
        numbers = [one.id for one in found.sessions]  # type: ignore[union-attr]
        assert len(numbers) == 2
        await third.post("/sessions/remove", id=str(numbers[1]))
        assert (await other.get("/")).status_code == 303
        await desk.store.writer.do(lambda connection: connection.execute("UPDATE session SET expires_at = 1"))
        assert (await third.get("/")).status_code == 303

    at_desk(tmp_path, scene)


def test_a_viewer_sees_no_code_and_changes_nothing(tmp_path: Path) -> None:
    """Its pages have no such button, and what it sends anyway is refused."""

    async def scene(desk: Desk) -> None:
        await desk.mail(SECRET)
        visitor = Visitor(desk)
        await visitor.log_in("viewer")
        csrf = re.search(r'name="csrf" value="([0-9a-f]{64})"', (await visitor.get("/")).text)
        assert csrf is not None
        for name, method, path in PATHS:
            path = path.replace("{id:int}", "1")
            if name == "again":
                continue  # nothing is kept: it leads to the first page
            if method == "POST" and name not in OPEN | {"logout"}:
                data = {
                    "csrf": csrf[1],
                    "identifier": "ann@corp.com",
                    "mail": "1",
                    "id": "1",
                    "name": "x",
                    "secret": "JBSWY3DPEHPK3PXP",
                }
                data |= {"username": "a", "password": "b", "host": "h"}
                answer = await visitor.client.post(path, data=data, headers={"Origin": visitor.origin})
                assert answer.status_code == 403, (name, answer.status_code)
                assert SECRET not in answer.text
            elif name not in OPEN | {"feed", "logout"}:
                page = await visitor.get(path)
                assert page.status_code in (200, 404), (name, page.status_code)
                assert SECRET not in page.text
                assert (
                    re.findall(r'<form method="post" action="([^"]*)"', page.text) in (["/logout"], []) or name == "delivery.list"
                )

    at_desk(tmp_path, scene)


def test_a_code_in_clear_needs_a_young_login(tmp_path: Path) -> None:
    """After ten minutes one logs in once more; looking goes on."""

    async def scene(desk: Desk) -> None:
        await desk.mail(SECRET)
        visitor = Visitor(desk)
        await visitor.log_in()
        assert SECRET in (await visitor.post("/codes/reveal", identifier="ann@corp.com", mail="1")).text
        await visitor.age(9.9)
        assert SECRET in (await visitor.post("/mail/1/reveal", part=True)).text
        await visitor.age(0.2)
        for path in (
            "/codes/reveal",
            "/mail/1/reveal",
            "/mail/1/raw",
            "/authenticators/add",
            "/mailboxes/remove",
            "/mail/1/confirm",
        ):
            answer = await visitor.post(
                path, identifier="ann@corp.com", mail="1", name="x", secret="JBSWY3DPEHPK3PXP", part=path.endswith("reveal")
            )
            assert answer.status_code == 403, path
            assert SECRET not in answer.text
            assert "mailbridge login" in answer.text
        assert (await visitor.get("/mail/1")).status_code == 200
        await visitor.log_in()
        assert SECRET in (await visitor.post("/codes/reveal", identifier="ann@corp.com", mail="1")).text

    at_desk(tmp_path, scene)


def test_a_password_where_one_is_set(tmp_path: Path) -> None:
    """Argon2id checks it; without one, and with a wrong one, nobody gets in by it. A new one ends the logins of the old one."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)

        async def enter(password: str) -> int:
            answer = await visitor.client.post("/login", data={"password": password}, headers={"Origin": visitor.origin})
            return answer.status_code

        assert await enter("") == 403
        assert await enter("a horse and a battery") == 403
        await desk.operator.sessions.set_password(NewPassword(password="a horse and a battery"))
        kept = await desk.store.sessions.password()
        assert kept is not None
        assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert await enter("a horse and a batter") == 403
        assert await enter("a horse and a battery") == 303
        assert (await visitor.get("/")).status_code == 200
        await desk.operator.sessions.set_password(NewPassword(password=""))
        assert (await visitor.get("/")).status_code == 303
        assert await enter("a horse and a battery") == 403

    at_desk(tmp_path, scene)


def test_many_logins_are_told_to_wait(tmp_path: Path) -> None:
    """After ten at once a client comes back later, with the right token too."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        statuses = [(await visitor.enter(f"mbt_{number:024}")).status_code for number in range(10)]
        assert statuses == [403] * 10
        answer = await visitor.enter(await visitor.token())
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0

    at_desk(tmp_path, scene)


def test_every_answer_forbids_what_it_does_not_need(tmp_path: Path) -> None:
    """No script but its own, no style but its own, no frame, no cache, no referrer; also where something went wrong."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        answers = [await visitor.get("/"), await visitor.get("/login")]
        await visitor.log_in()
        answers += [await visitor.get(path) for path in ("/", "/mail/999", "/mail?since=nonsense", "/mail")]
        nonces = set()
        for answer in answers:
            policy = answer.headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            nonces.add(policy.partition("'nonce-")[2].partition("'")[0])
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(nonces) == len(answers)

    at_desk(tmp_path, scene)
