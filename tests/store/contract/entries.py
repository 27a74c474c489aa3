"""A store's contract: what people add, its secrets, and tokens."""

from __future__ import annotations

import pytest

from mailbridge.core.secret import Secret
from tests.loop import looped
from tests.store.contract import SECOND, Contract, Place


class EntriesContract(Contract):
    """Entries are data: there at once, for every process, with who added them and when, and secrets only for who asks."""

    @looped
    async def test_an_entry_is_there_for_the_next_process(self, place: Place) -> None:
        """With its settings as they were given, who and when, and the names of its secrets, which are had one by one."""
        store = await place.open()
        settings = {"host": "imap.example", "folders": ["INBOX", "Codes"], "renew": 55, "canary": None, "tls": True}
        secrets = {"password": Secret("of the mailbox"), "oauth": Secret("of the provider")}
        assert await store.entries.put("imap", "box", settings, by="ann (page)", secrets=secrets)
        assert await store.entries.put("address", "otp@bridge.example", {}, by="ben")
        await place.kill(store)
        store = await place.open()
        box, address = await store.entries.entries()
        assert (box.kind, box.name, box.settings, box.added_by) == ("imap", "box", settings, "ann (page)")
        assert (box.secrets, box.added_at) == (("oauth", "password"), place.time.now())
        assert (address.settings, address.secrets) == ({}, ())
        found = await store.entries.secrets("imap", "box")
        assert {name: secret.reveal() for name, secret in found.items()} == {
            "password": "of the mailbox",
            "oauth": "of the provider",
        }
        assert await store.entries.secrets("address", "otp@bridge.example") == {}
        assert "of the mailbox" not in repr(box) + repr(found)
        await store.close()

    @looped
    async def test_an_entry_takes_the_place_of_one_of_its_name(self, place: Place) -> None:
        """Its settings and secrets are the new ones, also where it has none any more; a new one must not take a name."""
        store = await place.open()
        await store.entries.put("target", "org", {"url": "a"}, by="ann", secrets={"api_key": Secret("old")})
        await store.entries.put("address", "a@x.example", {}, by="ann")
        assert not await store.entries.put("target", "org", {"url": "b"}, by="ben", is_new=True)
        assert (await store.entries.entries("target"))[0].added_by == "ann"
        place.time.pass_by(SECOND)
        assert await store.entries.put("target", "org", {"url": "c"}, by="cid")
        assert [one.name for one in await store.entries.entries()] == ["org", "a@x.example"]
        (one,) = await store.entries.entries("target")
        assert (one.settings, one.secrets, one.added_by, one.added_at) == ({"url": "c"}, (), "cid", place.time.now())
        assert await store.entries.secrets("target", "org") == {}
        await store.close()

    @looped
    async def test_an_entry_is_forgotten(self, place: Place) -> None:
        """By kind and name, once; others stay."""
        store = await place.open()
        await store.entries.put("sender", "acme.example", {}, by="ann")
        await store.entries.put("address", "acme.example", {}, by="ann", secrets={"token": Secret("x")})
        assert await store.entries.remove("address", "acme.example")
        assert not await store.entries.remove("address", "acme.example")
        assert [one.kind for one in await store.entries.entries()] == ["sender"]
        assert await store.entries.secrets("address", "acme.example") == {}
        await store.close()

    @looped
    async def test_the_revision_grows_with_every_change(self, place: Place) -> None:
        """So that whoever keeps a copy knows when it is old, over a restart too; what changes nothing does not count."""
        store = await place.open()
        seen = [await store.entries.revision()]
        await store.entries.put("sender", "a", {}, by="ann")
        seen.append(await store.entries.revision())
        await store.entries.put("sender", "a", {"for": "b"}, by="ann")
        seen.append(await store.entries.revision())
        await store.entries.put("sender", "a", {}, by="ann", is_new=True)
        await store.entries.remove("sender", "b")
        assert await store.entries.revision() == seen[-1]
        await place.kill(store)
        store = await place.open()
        assert await store.entries.revision() == seen[-1]
        await store.entries.remove("sender", "a")
        seen.append(await store.entries.revision())
        assert seen == sorted(set(seen))
        await store.close()

    @looped
    async def test_what_is_no_data_is_refused(self, place: Place) -> None:
        """Settings that JSON cannot hold are a mistake of the caller's, and nothing is written."""
        store = await place.open()
        with pytest.raises(TypeError):
            await store.entries.put("imap", "box", {"password": Secret("x")}, by="ann")
        assert await store.entries.entries() == ()
        await store.close()

    @looped
    async def test_tokens_are_found_by_their_hash(self, place: Place) -> None:
        """While they live; each has a number that is never used again."""
        store = await place.open()
        one = await store.entries.add_token(b"1" * 32, name="ci", identifiers=("*@x.example",), expires_at=None)
        two = await store.entries.add_token(b"2" * 32, name="b", identifiers=("a",), expires_at=place.time.now() + SECOND)
        assert await store.entries.token(b"1" * 32) == one
        assert await store.entries.token(b"2" * 32) == two
        assert await store.entries.token(b"3" * 32) is None
        place.time.pass_by(SECOND)
        assert await store.entries.token(b"2" * 32) is None
        assert await store.entries.tokens() == (one, two)
        assert await store.entries.remove_token(two.id)
        assert not await store.entries.remove_token(two.id)
        third = await store.entries.add_token(b"3" * 32, name="c", identifiers=("*",), expires_at=None)
        assert third.id > two.id
        await store.close()
