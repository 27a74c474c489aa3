"""What a push is answered and what a run finds: one suite for the practice receiver and for Skyvern itself.

The practice half needs nothing; the other half needs a real Skyvern. Where Skyvern reads a long text it asks a language model: here
that is a pattern that takes the first six digits, which is what the practice receiver does, and which can be made to find nothing
or to be down.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.peers.practice import PracticePeer, running_practice
from tests.peers.receiver import Found, Receiver

PUSH = "/v1/credentials/totp"
NOTHING = Found(value=None, kind=None)
FIELDS = {
    "totp_identifier",
    "task_id",
    "workflow_id",
    "workflow_run_id",
    "source",
    "content",
    "expired_at",
    "type",
    "totp_code_id",
    "code",
    "organization_id",
    "created_at",
    "modified_at",
    "otp_type",
}


@pytest.fixture(scope="module")
def practice() -> Iterator[PracticePeer]:
    """A practice receiver on a real socket."""
    with running_practice() as running:
        yield running


@pytest.fixture(params=["practice", pytest.param("skyvern", marks=pytest.mark.e2e)])
def receiver(request: pytest.FixtureRequest) -> Receiver:
    """Each of the two, behaving."""
    running: Receiver = request.getfixturevalue(request.param)
    running.language_model("reads")
    return running


@pytest.fixture
def client(receiver: Receiver) -> Iterator[httpx.Client]:
    """Talks to the receiver with its key."""
    headers = {"x-api-key": receiver.api_key}
    with httpx.Client(base_url=receiver.base_url, headers=headers, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def identifier() -> str:
    """One that nobody has used before."""
    return f"ann.{secrets.token_hex(4)}@example.com"


def push(client: httpx.Client, identifier: str, content: str, **more: object) -> dict[str, Any]:
    """Push one content that is taken, and give the row."""
    answer = client.post(PUSH, json={"totp_identifier": identifier, "content": content, **more})
    assert answer.status_code == 200, answer.text
    row = answer.json()
    assert isinstance(row, dict)
    return row


def places(answer: httpx.Response) -> list[tuple[str, list[str | int]]]:
    """Kind and place of every mistake that a 422 tells, and that it repeats nothing of what was sent."""
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert all(set(one) == {"loc", "msg", "type"} for one in detail)
    return [(one["type"], one["loc"]) for one in detail]


@pytest.mark.parametrize("content", ["1", "482913", "R7K-2PQ", "0123456789", "€€€€€€€€€€", "１２３４５６"])
def test_up_to_ten_characters_are_the_code(receiver: Receiver, client: httpx.Client, identifier: str, content: str) -> None:
    """Ten characters, not octets, are stored and found as they were sent, whether or not a model is there."""
    receiver.language_model("is down")
    row = push(client, identifier, content)
    assert (row["code"], row["otp_type"]) == (content, "totp")
    assert receiver.resolve(identifier, kind="totp") == Found(value=content, kind="totp")


def test_blanks_and_control_characters_are_cut(client: httpx.Client, identifier: str) -> None:
    """Blanks around a code do not count and are not stored with it; control characters are taken out."""
    assert push(client, identifier, "  482913 \n")["code"] == "482913"
    assert push(client, identifier, " \t0123456789\n ")["code"] == "0123456789"
    assert push(client, identifier, "48\x0029\x0113")["code"] == "482913"


def test_eleven_characters_are_read(receiver: Receiver, client: httpx.Client, identifier: str) -> None:
    """One character more is a text: the code is what the model finds in it."""
    row = push(client, identifier, "482913, Ann")
    assert (row["code"], row["otp_type"], row["content"]) == ("482913", "totp", "482913, Ann")
    assert receiver.resolve(identifier).value == "482913"


def test_a_text_without_a_code_is_raw_pending(receiver: Receiver, client: httpx.Client, identifier: str) -> None:
    """200, but with an empty code and a status that says so; nothing is found, and nothing is listed."""
    receiver.language_model("finds nothing")
    row = push(client, identifier, "Welcome to the harbour, Ann.")
    assert (row["code"], row["otp_type"], row["status"]) == ("", None, "raw_pending")
    assert set(row) == {*FIELDS, "status"}
    assert receiver.resolve(identifier) == NOTHING
    assert client.get(PUSH, params={"totp_identifier": identifier}).json() == []


def test_a_long_text_without_a_code_is_refused(receiver: Receiver, client: httpx.Client, identifier: str) -> None:
    """65,536 characters are kept without a code, one more is a 400."""
    receiver.language_model("finds nothing")
    assert push(client, identifier, "x" * 65_536)["status"] == "raw_pending"
    answer = client.post(PUSH, json={"totp_identifier": identifier, "content": "x" * 65_537})
    assert (answer.status_code, answer.json()) == (400, {"detail": "Failed to parse otp login"})


def test_without_a_model_a_text_is_a_502(receiver: Receiver, client: httpx.Client, identifier: str) -> None:
    """Where the model cannot be asked, a text is put off and not kept; a code and a bare link need none."""
    receiver.language_model("is down")
    answer = client.post(PUSH, json={"totp_identifier": identifier, "content": "Your code is 482913"})
    assert answer.status_code == 502
    assert set(answer.json()) == {"detail"}
    assert receiver.resolve(identifier) == NOTHING
    assert push(client, identifier, "https://tern.example/in?t=1")["otp_type"] == "magic_link"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("https://tern.example/in?t=a&amp;next=b", "https://tern.example/in?t=a&next=b"),
        ("https://tern.example/in?t=a&#38;next=b&#x26;c=d", "https://tern.example/in?t=a&next=b&c=d"),
        ("https://tern.example/in?t=a&copy=1", "https://tern.example/in?t=a&copy=1"),
        ("https://tern.example/in?t=a.", "https://tern.example/in?t=a"),
        ("  HTTPS://tern.example/in?t=a!  ", "HTTPS://tern.example/in?t=a"),
        ("http://a.b", "http://a.b"),
    ],
)
def test_a_bare_link_is_a_magic_link(receiver: Receiver, client: httpx.Client, identifier: str, content: str, code: str) -> None:
    """A text that is one link is stored without a model, with its ampersands decoded and its last punctuation cut."""
    receiver.language_model("is down")
    row = push(client, identifier, content)
    assert (row["code"], row["otp_type"], row["content"]) == (code, "magic_link", content)
    assert receiver.resolve(identifier, kind="magic_link") == Found(value=code, kind="magic_link")


@pytest.mark.parametrize("content", ["<https://tern.example/in>", "open https://tern.example/in", "(https://tern.example/in)"])
def test_a_link_with_something_around_it_is_a_text(
    receiver: Receiver, client: httpx.Client, identifier: str, content: str
) -> None:
    """Only a bare link is taken without a model."""
    receiver.language_model("is down")
    assert client.post(PUSH, json={"totp_identifier": identifier, "content": content}).status_code == 502


def test_a_newer_link_hides_an_older_code(receiver: Receiver, client: httpx.Client, identifier: str) -> None:
    """Where a code is wanted and the newest row is a link, the code is found only if a model can read the link again."""
    push(client, identifier, "482913")
    push(client, identifier, "https://tern.example/in?t=secret")
    assert receiver.resolve(identifier).kind == "magic_link"
    assert receiver.resolve(identifier, kind="totp").value == "482913"
    receiver.language_model("is down")
    fresh = f"bo.{identifier}"
    push(client, fresh, "482913")
    push(client, fresh, "https://tern.example/in?t=secret")
    assert receiver.resolve(fresh, kind="totp") == NOTHING


@pytest.mark.parametrize(
    ("pushed", "asked", "is_found"),
    [
        ("Ann.{}@Example.COM", "ann.{}@example.com", True),
        ("  ann.{}@example.com ", "ann.{}@example.com", True),
        ("ann.{}@example.com", " ANN.{}@EXAMPLE.COM ", True),
        ("ann.{}+acme@example.com", "ann.{}@example.com", False),
        ("Ann <ann.{}@example.com>", "ann.{}@example.com", False),
        ("ÄNN.{}@example.com", "änn.{}@example.com", False),
        ("user {}", "User {}", False),
        ("user {}", "user {}", True),
    ],
)
def test_identifiers_are_folded(receiver: Receiver, client: httpx.Client, pushed: str, asked: str, is_found: bool) -> None:
    """Mail addresses are trimmed and case does not count; every other identifier must be the same to the letter."""
    tag = secrets.token_hex(4)
    push(client, pushed.format(tag), "482913")
    assert receiver.resolve(asked.format(tag)).value == ("482913" if is_found else None)
    listed = client.get(PUSH, params={"totp_identifier": asked.format(tag)}).json()
    assert len(listed) == int(is_found)


@pytest.mark.parametrize(
    ("asked", "is_found"), [("+{}", True), ("+{} ", True), ("{}", False), ("+1 ({}) {}-{}", True), ("1-{}-{}-{}", True)]
)
def test_phone_numbers_are_found_in_other_spellings(receiver: Receiver, client: httpx.Client, asked: str, is_found: bool) -> None:
    """A number that was pushed in international form is found with blanks and brackets, not without its country."""
    number = f"1{secrets.randbelow(8 * 10**9) + 2 * 10**9}"
    push(client, f"+{number}", "482913")
    groups = (number[1:4], number[4:7], number[7:])
    spelled = asked.format(*groups) if asked.count("{}") == 3 else asked.format(number[1:] if asked == "{}" else number)
    assert (receiver.resolve(spelled).value == "482913") is is_found


def test_without_a_sound_key_nothing_is_taken(receiver: Receiver, identifier: str) -> None:
    """403 without a key and with a wrong one, for pushes, lists and credentials; a sound key in another header does not count."""
    body = {"totp_identifier": identifier, "content": "482913"}
    key = receiver.api_key
    with httpx.Client(base_url=receiver.base_url, trust_env=False, timeout=30) as client:
        for headers, detail in (
            ({}, "Invalid credentials"),
            ({"x-api-key": ""}, "Invalid credentials"),
            ({"x-api-key": "garbage"}, "Could not validate credentials"),
            ({"x-api-key": f"Bearer {key}"}, "Could not validate credentials"),
            ({"x-api-key": f'"{key}"'}, "Could not validate credentials"),
            ({"x-api-key": f"{key}x"}, "Could not validate credentials"),
        ):
            for answer in (
                client.post(PUSH, json=body, headers=headers),
                client.get(PUSH, headers=headers),
                client.get("/v1/credentials", headers=headers),
            ):
                assert (answer.status_code, answer.json()) == (403, {"detail": detail})
        assert client.post(PUSH, json=body, headers={"api-key": key}).status_code == 403
    assert receiver.resolve(identifier) == NOTHING


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"content": 482913}, [("string_type", ["body", "content"])]),
        ({"content": None}, [("string_type", ["body", "content"])]),
        ({"totp_identifier": 7}, [("string_type", ["body", "totp_identifier"])]),
        ({"source": 7}, [("string_type", ["body", "source"])]),
        ({"workflow_run_id": 7}, [("string_type", ["body", "workflow_run_id"])]),
        ({"type": "sms"}, [("enum", ["body", "type"])]),
        ({"expired_at": "tomorrow"}, [("datetime_from_date_parsing", ["body", "expired_at"])]),
        ({"expired_at": ""}, [("datetime_from_date_parsing", ["body", "expired_at"])]),
        ({"expired_at": "Tue, 1 Jan 2030 00:00:00 +0000"}, [("datetime_from_date_parsing", ["body", "expired_at"])]),
        ({"expired_at": True}, [("datetime_type", ["body", "expired_at"])]),
        ({"content": 1, "source": 2}, [("string_type", ["body", "source"]), ("string_type", ["body", "content"])]),
    ],
)
def test_a_wrong_field_is_a_422(
    client: httpx.Client, identifier: str, change: dict[str, object], expected: list[tuple[str, list[str | int]]]
) -> None:
    """Each wrong field is named, and no value is repeated."""
    body = {"totp_identifier": identifier, "content": "482913", **change}
    assert places(client.post(PUSH, json=body)) == expected


def test_missing_fields_are_a_422(client: httpx.Client) -> None:
    """Each missing field is named, in order."""
    assert places(client.post(PUSH, json={})) == [
        ("missing", ["body", "totp_identifier"]),
        ("missing", ["body", "content"]),
    ]
    assert places(client.post(PUSH, json={"content": "1"})) == [("missing", ["body", "totp_identifier"])]


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"", JSON, [("missing", ["body"])]),
        (b"null", JSON, [("missing", ["body"])]),
        (b"[1]", JSON, [("model_attributes_type", ["body"])]),
        (b'"482913"', JSON, [("model_attributes_type", ["body"])]),
        (b"{482913", JSON, [("json_invalid", ["body", 1])]),
        (b'{"totp_identifier":"a","content":"482913"}', {}, [("model_attributes_type", ["body"])]),
        (b'{"totp_identifier":"a","content":"482913"}', {"Content-Type": "text/plain"}, [("model_attributes_type", ["body"])]),
        (b"content=482913", {"Content-Type": "application/x-www-form-urlencoded"}, [("model_attributes_type", ["body"])]),
    ],
)
def test_a_body_that_is_no_json_object_is_a_422(
    client: httpx.Client, body: bytes, headers: dict[str, str], expected: list[tuple[str, list[str | int]]]
) -> None:
    """What is no object, or does not say that it is JSON, is told from what is broken; nothing of it is repeated."""
    answer = client.post(PUSH, content=body, headers=headers)
    assert places(answer) == expected
    assert "482913" not in answer.text


def test_octets_that_are_no_text_are_a_400(client: httpx.Client) -> None:
    """A body that is not UTF-8, or nested without end, cannot be read at all."""
    assert client.post(PUSH, content=b"[" * 100_000, headers=JSON).status_code == 400
    answer = client.post(PUSH, content=b'{"content":"\xff"}', headers=JSON)
    assert (answer.status_code, answer.json()) == (400, {"detail": "There was an error parsing the body"})


def test_a_broken_body_is_told_before_a_wrong_key(client: httpx.Client, identifier: str) -> None:
    """Reading the body comes before the key, the key before the fields."""
    wrong = {**JSON, "x-api-key": "garbage"}
    assert client.post(PUSH, content=b"{bad", headers=wrong).status_code == 422
    assert client.post(PUSH, json={"content": 5}, headers={"x-api-key": "garbage"}).status_code == 403


@pytest.mark.parametrize(
    ("ids", "detail"),
    [
        ({"workflow_run_id": "wr_nope"}, "Invalid workflow run id: wr_nope"),
        ({"workflow_id": "w_nope"}, "Invalid workflow id: w_nope"),
        ({"task_id": "tsk_nope"}, "Invalid task id: tsk_nope"),
        ({"workflow_id": "w_nope", "task_id": "tsk_nope", "workflow_run_id": "wr_nope"}, "Invalid task id: tsk_nope"),
    ],
)
def test_an_unknown_run_is_a_400(
    receiver: Receiver, client: httpx.Client, identifier: str, ids: dict[str, str], detail: str
) -> None:
    """A code for a run, workflow or task that does not exist is refused, and not kept."""
    answer = client.post(PUSH, json={"totp_identifier": identifier, "content": "482913", **ids})
    assert (answer.status_code, answer.json()) == (400, {"detail": detail})
    assert receiver.resolve(identifier) == NOTHING


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_run_is_none(client: httpx.Client, identifier: str, empty: str | None) -> None:
    """An id that is empty or null is as if it were left out."""
    assert push(client, identifier, "482913", workflow_run_id=empty, task_id=empty)["workflow_run_id"] is None


def test_a_code_for_a_run_is_seen_by_that_run(receiver: Receiver, client: httpx.Client, identifier: str) -> None:
    """Its own run and whoever asks without a run see it; another run sees only what is for everybody."""
    mine, other = receiver.make_run(), receiver.make_run()
    push(client, identifier, "111111")
    row = push(client, identifier, "222222", workflow_run_id=mine)
    assert row["workflow_run_id"] == mine
    assert receiver.resolve(identifier, workflow_run_id=mine).value == "222222"
    assert receiver.resolve(identifier, workflow_run_id=other).value == "111111"
    assert receiver.resolve(identifier).value == "222222"
    push(client, identifier, "333333")
    assert receiver.resolve(identifier, workflow_run_id=mine).value == "333333"


def test_a_list_can_be_of_one_run(receiver: Receiver, client: httpx.Client, identifier: str) -> None:
    """Without a run the list holds everything, with one only what is for it; an unknown run has nothing."""
    run = receiver.make_run()
    push(client, identifier, "111111")
    push(client, identifier, "222222", workflow_run_id=run)
    query = {"totp_identifier": identifier}
    assert [row["code"] for row in client.get(PUSH, params=query).json()] == ["222222", "111111"]
    assert [row["code"] for row in client.get(PUSH, params={**query, "workflow_run_id": run}).json()] == ["222222"]
    assert client.get(PUSH, params={**query, "workflow_run_id": "wr_nope"}).json() == []


def test_a_list_is_newest_first_and_bounded(receiver: Receiver, client: httpx.Client, identifier: str) -> None:
    """Newest first, 50 unless said otherwise, codes in clear, old ones too; of one kind where one is named."""
    for number in range(60):
        push(client, identifier, f"{number:06d}")
    push(client, identifier, "https://tern.example/in?t=1")
    query = {"totp_identifier": identifier}
    rows = client.get(PUSH, params=query).json()
    assert [row["code"] for row in rows] == ["https://tern.example/in?t=1", *(f"{59 - number:06d}" for number in range(49))]
    assert set(rows[0]) == FIELDS
    assert [row["code"] for row in client.get(PUSH, params={**query, "limit": 2, "otp_type": "totp"}).json()] == [
        "000059",
        "000058",
    ]
    assert len(client.get(f"{PUSH}/", params={**query, "limit": 200}).json()) == 61
    receiver.age(identifier, timedelta(days=1))
    assert len(client.get(PUSH, params={**query, "limit": 200}).json()) == 61


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": "0"}, [("greater_than_equal", ["query", "limit"])]),
        ({"limit": "201"}, [("less_than_equal", ["query", "limit"])]),
        ({"limit": "x"}, [("int_parsing", ["query", "limit"])]),
        ({"otp_type": "sms"}, [("enum", ["query", "otp_type"])]),
    ],
)
def test_a_list_refuses_a_wrong_query(
    client: httpx.Client, query: dict[str, str], expected: list[tuple[str, list[str | int]]]
) -> None:
    """A limit outside of 1 to 200 and an unknown kind are named."""
    assert places(client.get(PUSH, params=query)) == expected


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2090-01-01T00:00:00Z", "2090-01-01T00:00:00"),
        ("2090-01-01T00:00:00+05:30", "2089-12-31T18:30:00"),
        ("2090-01-01T00:00:00", "2090-01-01T00:00:00"),
        ("2090-01-01 00:00", "2090-01-01T00:00:00"),
        ("2090-01-01", "2090-01-01T00:00:00"),
        (3786912000, "2090-01-01T00:00:00"),
        ("3786912000", "2090-01-01T00:00:00"),
        (3786912000000, "2090-01-01T00:00:00"),
        (None, None),
    ],
)
def test_an_expiry_is_kept_as_naive_utc(
    receiver: Receiver, client: httpx.Client, identifier: str, given: object, stored: str | None
) -> None:
    """Every spelling of a moment to come is the same moment in UTC, and the code lives."""
    assert push(client, identifier, "482913", expired_at=given)["expired_at"] == stored
    assert receiver.resolve(identifier).value == "482913"


def test_an_expiry_in_the_past_hides_the_code(receiver: Receiver, client: httpx.Client, identifier: str) -> None:
    """It is taken, and never used: the older one, which still lives, is."""
    push(client, identifier, "111111")
    past = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
    assert push(client, identifier, "222222", expired_at=past)["code"] == "222222"
    assert receiver.resolve(identifier).value == "111111"


def test_a_code_lives_for_ten_minutes(receiver: Receiver, client: httpx.Client, identifier: str) -> None:
    """Found after nine and a half minutes, gone after ten and a half, whatever its expiry says."""
    push(client, identifier, "482913", expired_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    receiver.age(identifier, timedelta(minutes=9, seconds=30))
    assert receiver.resolve(identifier).value == "482913"
    receiver.age(identifier, timedelta(minutes=1))
    assert receiver.resolve(identifier) == NOTHING


def test_the_newest_wins(receiver: Receiver, client: httpx.Client, identifier: str) -> None:
    """The code that was taken in last is the one that is used, even if it is an old one that is pushed again."""
    ids = [push(client, identifier, code)["totp_code_id"] for code in ("111111", "222222", "111111")]
    assert len(set(ids)) == 3
    assert receiver.resolve(identifier).value == "111111"
    rows = client.get(PUSH, params={"totp_identifier": identifier}).json()
    assert [row["totp_code_id"] for row in rows] == ids[::-1]
    assert all(newer["created_at"] > older["created_at"] for newer, older in itertools.pairwise(rows))


def test_an_answer_has_the_fields_that_are_relied_upon(client: httpx.Client, identifier: str) -> None:
    """A row says what was sent and what became of it; what it does not know it ignores; its times are naive UTC."""
    row = push(client, identifier, "482913", source="email", message_id="ignored")
    assert set(row) == FIELDS
    assert (row["totp_identifier"], row["content"], row["source"]) == (identifier, "482913", "email")
    created = datetime.fromisoformat(row["created_at"])
    assert created.tzinfo is None
    assert abs(datetime.now(UTC).replace(tzinfo=None) - created) < timedelta(minutes=1)


def test_an_empty_code_is_taken(receiver: Receiver, client: httpx.Client, identifier: str) -> None:
    """200 and used as it is: an empty content must never be pushed."""
    assert push(client, identifier, " ")["code"] == ""
    assert receiver.resolve(identifier) == Found(value="", kind="totp")


@pytest.mark.parametrize("path", ["/v1/credentials/totp", "/v1/credentials/totp/", "/api/v1/totp", "/api/v1/totp/"])
def test_every_spelling_of_the_path_takes_a_push(receiver: Receiver, client: httpx.Client, identifier: str, path: str) -> None:
    """Four paths, none of them a redirect."""
    answer = client.post(path, json={"totp_identifier": identifier, "content": "482913"})
    assert answer.status_code == 200
    assert receiver.resolve(identifier).value == "482913"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/v1/totp", 404), ("PUT", PUSH, 405), ("GET", "/api/v1/totp", 405)]
)
def test_other_paths_and_methods_do_not(client: httpx.Client, method: str, path: str, status: int) -> None:
    """A wrong address is a 404 or a 405."""
    assert client.request(method, path, json={}).status_code == status


def test_credentials_can_be_listed(client: httpx.Client) -> None:
    """A list, from which the identifiers that are expected can be learned."""
    assert isinstance(client.get("/v1/credentials").json(), list)
