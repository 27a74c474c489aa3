"""What only PostgreSQL has: servers and databases that are refused, transactions that fail for another one's sake, late commits."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mailbridge import log_events
from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import State
from mailbridge.core.queue import TRANSITIONS
from mailbridge.ingress.tls import self_signed
from mailbridge.store import StoreError, StoreOutdated, StoreUnavailable
from tests.conftest import ROOT
from tests.loop import looped
from tests.peers import postgres as peer
from tests.peers.postgres import Postgres, running_postgres
from tests.store.contract import GRACE
from tests.store.mails import arrival, draft

pytestmark = pytest.mark.e2e

SKYVERN = "CREATE TABLE {} (id text)"


async def opened(url: str, folder: Path, **options: Any) -> Any:
    """A replica on a database."""
    from mailbridge.store.postgres import open_postgres  # only where there is a server

    return await open_postgres(
        StoreSettings(url=url, busy_timeout=options.pop("patience", timedelta(seconds=5))),
        RetentionSettings(),
        key_path=options.pop("key", folder / "shared.key"),
        clock=options.pop("clock", SteadyClock()),
        grace=GRACE,
        **options,
    )


def refused(url: str, folder: Path, **options: Any) -> str:
    """Why a database is not opened."""
    with pytest.raises(StoreError) as caught:
        asyncio.run(opened(url, folder, **options))
    return str(caught.value)


def test_nobody_there(tmp_path: Path) -> None:
    """A port on which nobody listens: the message names server and database, and neither user nor options."""
    told = refused("postgresql://ann@127.0.0.1:1/codes?application_name=x", tmp_path)
    assert told.startswith("postgresql://127.0.0.1:1/codes: the server cannot be reached")


def test_a_database_that_is_not_there(server: Postgres, tmp_path: Path) -> None:
    """It says what makes it."""
    assert "no such database; make it: CREATE DATABASE" in refused(server.url("nowhere"), tmp_path)


def test_a_user_who_is_not_let_in(server: Postgres, tmp_path: Path) -> None:
    """It names the keys of the configuration."""
    assert "refuses this user or password" in refused(server.url(user="nobody_here"), tmp_path)


def test_a_role_without_rights(server: Postgres, name: str, tmp_path: Path) -> None:
    """It says which right is missing to whom, in one line."""
    server.ask("DROP ROLE IF EXISTS poor", "CREATE ROLE poor LOGIN", "REVOKE ALL ON SCHEMA public FROM PUBLIC", database=name)
    assert "the role may not do what mailbridge needs" in refused(server.url(name, "poor"), tmp_path)


def test_a_role_that_owns_its_database_is_enough(server: Postgres, name: str, tmp_path: Path) -> None:
    """No superuser, nothing of other databases."""

    async def use() -> None:
        store = await opened(server.url(name, "modest"), tmp_path)
        assert (await store.put(arrival(draft(), at=SteadyClock().now()))).claims
        await store.close()

    server.ask("DROP ROLE IF EXISTS modest", "CREATE ROLE modest LOGIN", f'ALTER DATABASE "{name}" OWNER TO modest')
    server.ask("ALTER SCHEMA public OWNER TO modest", database=name)
    asyncio.run(use())
    server.ask(f'DROP DATABASE "{name}" WITH (FORCE)', "DROP ROLE modest")


def test_commits_that_do_not_wait_for_the_disk(server: Postgres, name: str, tmp_path: Path) -> None:
    """What says yes before it is on disk is refused."""
    server.ask(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    assert "synchronous_commit = off" in refused(server.url(name), tmp_path)


def test_a_database_that_takes_no_changes(server: Postgres, name: str, tmp_path: Path) -> None:
    """As a standby: nothing is tried on it."""
    server.ask(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    assert "takes changes" in refused(server.url(name), tmp_path)


def test_the_database_of_skyvern(server: Postgres, name: str, tmp_path: Path) -> None:
    """Its start-up check would not know our tables."""
    server.ask(*(SKYVERN.format(table) for table in ("alembic_version", "totp_codes", "workflow_runs")), database=name)
    assert "Skyvern's own database" in refused(server.url(name), tmp_path)
    assert server.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database=name) == [(3,)]


def test_a_database_of_something_else(server: Postgres, name: str, tmp_path: Path) -> None:
    """Nothing is added to it."""
    server.ask("CREATE TABLE orders (id int)", database=name)
    assert "a database of something else" in refused(server.url(name), tmp_path)


def test_another_key(server: Postgres, name: str, tmp_path: Path) -> None:
    """A replica that was not given the key of the first one does not start."""

    async def make() -> None:
        await (await opened(server.url(name), tmp_path)).close()

    asyncio.run(make())
    other = tmp_path / "other.key"
    other.write_bytes(b"k" * 32)
    other.chmod(0o600)
    assert "another key file" in refused(server.url(name), tmp_path, key=other)
    assert "is missing" in refused(server.url(name), tmp_path, key=tmp_path / "none.key")


def test_schemas_of_other_releases(server: Postgres, name: str, tmp_path: Path) -> None:
    """One release runs on the next one's schema where that says so, not beyond; a visitor makes nothing."""

    async def make(**options: Any) -> None:
        await (await opened(server.url(name), tmp_path, **options)).close()

    with pytest.raises(StoreOutdated):
        asyncio.run(make(is_visitor=True))
    asyncio.run(make())
    server.ask("UPDATE meta SET value = '99' WHERE key = 'version'", database=name)
    asyncio.run(make())
    server.ask("UPDATE meta SET value = '99' WHERE key = 'runs from'", database=name)
    assert "written by a newer mailbridge (schema 99" in refused(server.url(name), tmp_path)


def test_a_database_that_was_restored_in_part(server: Postgres, name: str, tmp_path: Path) -> None:
    """A start names the tables that are missing, and makes none of them."""

    async def make() -> None:
        await (await opened(server.url(name), tmp_path)).close()

    asyncio.run(make())
    server.ask("DROP TABLE inbox, told", database=name)
    assert "a table is missing (inbox, told)" in refused(server.url(name), tmp_path)


def test_a_role_without_a_schema(server: Postgres, name: str, tmp_path: Path) -> None:
    """Whose search_path leads nowhere: it says what is to be made."""
    server.ask("DROP ROLE IF EXISTS lost", "CREATE ROLE lost LOGIN SUPERUSER", "ALTER ROLE lost SET search_path = nowhere")
    assert "the role may not do what mailbridge needs" in refused(server.url(name, "lost"), tmp_path)
    server.ask("DROP ROLE lost")


ONE_ROLE = re.compile(r"```sql\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("number", [0, 1])
def test_the_role_of_the_documentation_is_enough(server: Postgres, name: str, tmp_path: Path, number: int) -> None:
    """The statements of docs/replicas.md, by themselves: a database of its own, or a schema in one that holds other things. The role can do
    what mailbridge needs, and can neither make databases nor read what is not its own."""
    text = ONE_ROLE.findall((ROOT / "docs" / "replicas.md").read_text(encoding="utf-8"))[number]
    role, database = f"role_{number}", f"database_{number}"
    lines = [line for line in text.splitlines() if line and not line.startswith("--")]
    statements = [one.replace("company", name).replace("bridge", role) for one in "\n".join(lines).split(";") if one.strip()]
    if number == 0:
        statements = [one.replace(f"DATABASE {role}", f"DATABASE {database}") for one in statements]
    else:
        database = name
        server.ask(
            "CREATE SCHEMA theirs", "CREATE TABLE theirs.orders (id int)", "INSERT INTO theirs.orders VALUES (1)", database=name
        )
    for statement in statements:
        server.ask(statement, database=name)

    async def use() -> None:
        store = await opened(server.url(database, role), tmp_path)
        assert (await store.put(arrival(draft(), at=SteadyClock().now()))).claims
        assert set(await store.leases.share(["box"])) == {"box"}
        await store.sweep()
        for wrong in ("CREATE DATABASE more", "CREATE ROLE more", "SELECT * FROM pg_authid", "SELECT * FROM theirs.orders"):
            with pytest.raises(StoreUnavailable):
                await store.database.rows(wrong)
        await store.close()

    asyncio.run(use())
    if number == 0:
        server.ask(f"DROP DATABASE {database} WITH (FORCE)", f"DROP ROLE {role}")


def test_two_that_start_at_once_make_it_once(server: Postgres, name: str, tmp_path: Path) -> None:
    """The second one finds what the first has made."""

    async def both() -> None:
        (tmp_path / "shared.key").write_bytes(b"s" * 32)
        (tmp_path / "shared.key").chmod(0o600)
        stores = await asyncio.gather(*(opened(server.url(name), tmp_path) for _ in range(3)))
        assert len({store.replicas.number for store in stores}) == 3
        for store in stores:
            await store.close()

    asyncio.run(both())


@pytest.mark.parametrize("code", ["40001", "40P01"], ids=["serialization failure", "deadlock"])
def test_a_transaction_that_had_to_give_way_is_tried_again(server: Postgres, name: str, tmp_path: Path, code: str) -> None:
    """The mail is stored once, and its code claimed once."""

    async def use() -> None:
        store = await opened(server.url(name), tmp_path)
        await server.asked(
            "CREATE SEQUENCE tries",
            "CREATE FUNCTION give_way() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('tries') < 3 THEN"
            f" RAISE EXCEPTION 'give way' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$",
            "CREATE TRIGGER give_way BEFORE INSERT ON delivery FOR EACH ROW EXECUTE FUNCTION give_way()",
            database=name,
        )
        receipt = await store.put(arrival(draft(), at=SteadyClock().now()))
        assert len(receipt.claims) == 1
        assert store.trouble is None
        assert len(await store.mails.page()) == 1
        await store.close()

    asyncio.run(use())


def test_a_queue_that_another_session_holds_is_no_trouble_of_the_store(server: Postgres, name: str, tmp_path: Path) -> None:
    """A mail for it is deferred. The store is asked and finds at once that it can write, while the lock is still held."""

    @looped
    async def use() -> None:
        import asyncpg  # only where there is a server

        store = await opened(server.url(name), tmp_path, patience=timedelta(milliseconds=50))
        await store.put(arrival(draft(), at=SteadyClock().now(), fingerprint="first"))
        holder = await asyncpg.connect(server.url(name))
        await holder.execute("BEGIN; SELECT FROM queue FOR UPDATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.put(arrival(draft(), at=SteadyClock().now(), fingerprint="second"))
        assert store.trouble == "locked"
        await store.probe()
        assert store.trouble is None
        await holder.close()
        await store.put(arrival(draft(), at=SteadyClock().now(), fingerprint="second"))
        await store.close()

    use()


def test_no_reader_passes_an_open_transaction(server: Postgres, name: str, tmp_path: Path) -> None:
    """A line whose number was drawn early and committed late is not missed, and those behind it wait."""

    @looped
    async def use() -> None:
        import asyncpg  # only where there is a server

        store = await opened(server.url(name), tmp_path)
        other = await asyncpg.connect(server.url(name))
        await store.put(arrival(draft(), at=SteadyClock().now()))
        seen = await store.journal.newest()
        late = other.transaction()
        await late.start()
        await other.execute("INSERT INTO journal (at, event, mail_id) VALUES (1, 'late', 0)")
        await store.put(arrival(draft(identifier="bob@example.com"), at=SteadyClock().now(), fingerprint="another"))
        assert await store.journal.after(seen) == ()
        assert await store.journal.newest() == seen
        with store.journal.bell() as bell:
            bell.clear()
            await late.commit()
            assert await bell.wait(10)
        lines = await store.journal.after(seen)
        assert [line.event for line in lines][:2] == ["late", "stored"]
        assert [line.id for line in lines] == sorted(line.id for line in lines)
        await other.close()
        await store.close()

    use()


def test_a_clock_that_is_wrong_counts_for_nothing(
    server: Postgres, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine whose clock is wrong gives the same deadline as one whose clock is right, and says so once."""

    async def use() -> None:
        wrong = SteadyClock(wall=lambda: 0)
        first = await opened(server.url(name), tmp_path, clock=wrong)
        right = SteadyClock()
        second = await opened(server.url(name), tmp_path, clock=right)
        assert abs(wrong.now() - right.now()) < timedelta(seconds=5)
        assert wrong.skew < -timedelta(days=365) and abs(right.skew) < timedelta(seconds=5)
        told = [one.getMessage() for one in caplog.records if getattr(one, "event", "") == log_events.CLOCK_SKEWED]
        assert len(told) == 1 and "behind the database server's" in told[0]
        await first.close()
        await second.close()

    asyncio.run(use())


def test_the_database_guards_the_machine(server: Postgres, name: str, tmp_path: Path) -> None:
    """Its trigger allows what the table of the core allows, and nothing else."""

    async def make() -> None:
        await (await opened(server.url(name), tmp_path)).close()

    asyncio.run(make())
    ((trigger,),) = server.ask(
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'delivery_transition'", database=name
    )
    found = set(re.findall(r"'(\w+>\w+)'", trigger))
    assert found == {f"{old}>{new}" for (old, _), new in TRANSITIONS.items() if old is not new}
    assert all(State(one) for pair in found for one in pair.split(">"))


def test_replicas_come_and_go(server: Postgres, name: str, tmp_path: Path) -> None:
    """Each has a row while it runs; one that is killed keeps it until its time is over, and what it claimed is then in doubt."""

    async def use() -> None:
        first, second = await opened(server.url(name), tmp_path), await opened(server.url(name), tmp_path)
        receipt = await first.put(arrival(draft(), at=SteadyClock().now()))
        await first.replicas.stop()
        first.database.terminate()
        await second.replicas.beat()
        assert (await second.outbox.one(receipt.claims[0].delivery.id)).state is State.IN_FLIGHT
        await server.asked("UPDATE replica SET alive_until = now_micros() - 1 WHERE id = 1", database=name)
        await second.replicas.beat()
        one = await second.outbox.one(receipt.claims[0].delivery.id)
        assert (one.state, one.is_doubtful) == (State.PENDING, True)
        await second.close()
        assert await server.asked("SELECT id FROM replica", database=name) == [(1,)]

    asyncio.run(use())


def test_a_claim_that_nobody_has_is_given_back(server: Postgres, name: str, tmp_path: Path) -> None:
    """As after a commit whose answer was lost: the next but one heartbeat finds it, and leaves those that somebody has."""

    async def use() -> None:
        store = await opened(server.url(name), tmp_path)
        kept = await store.put(arrival(draft(), at=SteadyClock().now()))
        lost = await store.put(arrival(draft(identifier="bob@example.com"), at=SteadyClock().now(), fingerprint="another"))
        number = lost.claims[0].delivery.id
        await server.asked(f"UPDATE delivery SET token = token + 1 WHERE id = {number}", database=name)
        await store.replicas.beat()
        await store.replicas.beat()
        states = {one.id: one.state for one in await store.outbox.deliveries()}
        assert states == {kept.claims[0].delivery.id: State.IN_FLIGHT, number: State.PENDING}
        (again,) = (await store.outbox.claim(limit=10)).claims
        assert (again.delivery.id, again.delivery.attempts) == (number, 0)
        await store.close()

    asyncio.run(use())


def test_a_queue_that_is_locked_for_long_keeps_no_other_one_waiting(server: Postgres, name: str, tmp_path: Path) -> None:
    """A process that stands still in the middle of a transaction has one queue; of the others what is due goes, and what is left over by
    replicas that are gone is taken over."""

    @looped
    async def use() -> None:
        import asyncpg  # only where there is a server

        store = await opened(server.url(name), tmp_path, patience=timedelta(milliseconds=100))
        await store.replicas.stop()
        for who in ("ann", "bob", "eve"):
            await store.put(arrival(draft(identifier=f"{who}@example.com"), at=SteadyClock().now(), fingerprint=who))
        await server.asked("UPDATE delivery SET owner = 999", database=name)
        other = await asyncpg.connect(server.url(name))
        late = other.transaction()
        await late.start()
        await other.execute("SELECT lock_queues(ARRAY['skyvern'], ARRAY['ann@example.com'])")
        with pytest.raises(StoreUnavailable):
            await store.replicas.beat()
        states = {one.draft.identifier[:3]: one.state for one in await store.outbox.deliveries()}
        assert states == {"ann": State.IN_FLIGHT, "bob": State.PENDING, "eve": State.PENDING}
        await server.asked(
            "UPDATE delivery SET state = 'pending', owner = NULL WHERE state = 'in_flight'",
            "UPDATE delivery SET due_at = id, blocked_until = NULL",
            database=name,
        )
        due = await store.outbox.claim(limit=10)
        assert sorted(claim.delivery.draft.identifier[:3] for claim in due.claims) == ["bob", "eve"]
        await late.rollback()
        due = await store.outbox.claim(limit=10)
        assert [claim.delivery.draft.identifier[:3] for claim in due.claims] == ["ann"]
        await other.close()
        await store.close()

    use()


def test_a_server_is_known_by_its_certificate(tmp_path: Path) -> None:
    """With ``sslmode=verify-full`` a server is talked to that the CA knows under the name of the URL, and no other one."""
    if not peer.found():
        pytest.skip(peer.MEND)
    pair = self_signed(tmp_path / "own", "localhost")
    other = self_signed(tmp_path / "other", "localhost")

    async def use(url: str) -> str:
        store = await opened(url, tmp_path)
        ((version,),) = await store.database.rows("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        await store.close()
        return str(version)

    with running_postgres(tls=pair) as server:
        url = f"postgresql://postgres@localhost:{server.port}/postgres?sslmode=verify-full&sslrootcert="
        assert asyncio.run(use(f"{url}{pair.cert}")).startswith("TLSv1.")
        assert "no encrypted connection" in refused(f"{url}{other.cert}", tmp_path)
        by_number = url.replace("localhost", "127.0.0.1")
        assert "no encrypted connection" in refused(f"{by_number}{pair.cert}", tmp_path)
