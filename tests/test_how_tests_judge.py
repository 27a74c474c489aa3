"""No test judges by the clock on the wall, waits by sleeping, or reaches into private names: read from the tests' own code."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
FOLDERS_THAT_MEASURE = (
    "bench",
    "mutation",
    "extraction/train.py",
    "fuzz/fuzz.py",
    "fuzz/fuzz_parse.py",
    "fuzz/fuzz_smtp.py",
    "fuzz/grow.py",
)
"""Commands that print figures, and no tests."""

CLOCKS = frozenset({"time", "monotonic", "perf_counter", "process_time", "thread_time"})
SLEEPS = frozenset({"time.sleep", "asyncio.sleep"})

SLOW_PEER = "a peer that is slow, which is what is tested"
PASSES = "time itself must pass, and more of it does no harm"
NOTHING = "in this time nothing must happen; on a busy machine less of it does"
LASTS = "a fault lasts so long, while codes come in"
MAY_SLEEP = {
    "dispatch/test_sender_pool.py::test_all_help_while_it_takes_its_time": NOTHING,
    "dispatch/test_sender_pool.py::test_no_claim_is_left_lying": "claims come at any time",
    "dispatch/test_strangers.py::Receiver.take": SLOW_PEER,
    "dispatch/test_strangers.py::test_a_stranger_is_never_the_newest_while_a_known_code_lives": "what was given up on may come late",
    "ingress/imap/test_odd_servers.py::test_a_slow_server_is_waited_for": SLOW_PEER,
    "ingress/imap/troubles.py::_slowly": SLOW_PEER,
    "peers/hooks.py::Hooks._fate": SLOW_PEER,
    "peers/scripted_imap.py::Session.run": SLOW_PEER,
    "peers/scripted_imap.py::Session.settle": SLOW_PEER,
    "test_contacts.py::test_a_run_without_a_page_makes_nobody_known": NOTHING,
    "dispatch/test_dispatcher.py::test_coming_mail_prepares_the_targets": PASSES,
    "dispatch/test_dispatcher.py::test_nothing_is_sent_after_a_long_question": SLOW_PEER,
    "dispatch/test_serving.py::test_targets_that_change_all_the_time_lose_and_double_nothing": "changes that come at any time",
    "ingress/contract/__init__.py::IngressContract.test_nothing_is_acknowledged_before_it_is_stored": NOTHING,
    "ingress/contract/__init__.py::IngressContract.test_a_mail_larger_than_all_memory_is_not_brought_whole": NOTHING,
    "ingress/contract/__init__.py::IngressContract.test_after_its_end_it_brings_nothing": NOTHING,
    "ingress/contract/killed.py::main": "a process that waits to be killed",
    "sinks/contract/__init__.py::SinkContract.test_an_attempt_that_is_cut_short_sends_nothing_later": NOTHING,
    "e2e/boxes.py::deliver": "mails that come one after another",
    "e2e/boxes.py::sixty_codes_survive": LASTS,
    "e2e/test_cyrus.py::_farewells": LASTS,
    "e2e/test_cyrus.py::_kills": LASTS,
    "e2e/test_cyrus.py::_power_cut": LASTS,
    "e2e/test_cyrus.py::test_a_mailbox_that_is_made_anew_brings_nothing_again": PASSES,
    "e2e/test_others.py::_validity": PASSES,
    "e2e/test_others.py::put": "mails that come one after another",
    "e2e/test_others.py::test_a_mailbox_that_is_made_anew_brings_nothing_again": PASSES,
    "e2e/test_others.py::test_a_server_that_renumbers_is_opened_otherwise": PASSES,
    "e2e/test_others.py::test_killed_sessions_lose_and_double_nothing": LASTS,
    "e2e/test_dovecot.py::_kick": LASTS,
    "e2e/test_dovecot.py::_kill_sessions": LASTS,
    "e2e/test_dovecot.py::_power_cut": LASTS,
    "e2e/test_dovecot.py::_frozen": LASTS,
    "e2e/test_dovecot.py::_wrong_password": LASTS,
    "e2e/test_dovecot.py::test_a_code_is_here_as_soon_as_the_server_tells": "mails that come one after another",
    "e2e/test_imap_crash.py::test_kill_nine_loses_nothing": "killed at any time",
    "e2e/test_kill.py::kill_at_random": "killed at any time",
    "e2e/test_kill.py::test_nothing_is_lost_and_order_holds": LASTS,
    "e2e/test_network.py::test_a_black_hole_swallows_no_code": LASTS,
    "e2e/test_outage.py::test_what_expired_while_the_daemon_was_down": PASSES,
    "e2e/test_waiting_load.py::send_at_rate": "mails that come at a rate",
    "ingress/imap/test_oauth.py::test_a_withdrawn_permission_is_asked_for_once": "the file's time must be another",
    "ingress/imap/test_watching.py::test_a_server_that_hangs_up_after_each_login_is_not_stormed": NOTHING,
    "ingress/imap/test_watching.py::test_while_somebody_waits_the_server_is_asked_often": NOTHING,
    "ingress/imap/test_watching.py::test_a_server_that_stumbles_gets_one_command_at_a_time": SLOW_PEER,
    "ingress/imap/test_wire.py::_pieces": SLOW_PEER,
    "ingress/imap/test_wire.py::test_last_words_are_heard": PASSES,
    "ingress/test_guard.py::test_idle_time_is_short_again_after_a_long_data": PASSES,
    "ingress/test_guard.py::test_our_own_slowness_is_not_the_clients": PASSES,
    "ingress/test_room.py::test_who_brings_nothing_makes_room_for_who_comes": PASSES,
    "ingress/test_room.py::test_a_mail_on_its_way_makes_room_only_when_it_takes_long": PASSES,
    "intake/targets.py::build": SLOW_PEER,
    "intake/targets.py::_do": SLOW_PEER,
    "intake/test_gate_rules.py::Slow.txt": SLOW_PEER,
    "intake/test_pool.py::test_a_daemon_that_was_stopped_does_not_blame_its_worker": PASSES,
    "net/test_outgoing.py::test_faults_have_the_names_that_callers_know": SLOW_PEER,
    "net/test_outgoing.py::test_a_handshake_that_cannot_be_is_over_at_once": SLOW_PEER,
    "peers/faulty.py::FaultyReceiver._push": SLOW_PEER,
    "peers/scripted.py::silence": SLOW_PEER,
    "peers/scripted.py::drip": SLOW_PEER,
    "sinks/test_skyvern.py::test_a_connection_is_used_again_and_a_closed_one_is_replaced": PASSES,
    "web/test_connection.py::_late": PASSES,
    "web/test_connection.py::test_an_answer_that_is_read_slowly_comes_whole": PASSES,
    "web/test_events.py::test_a_stream_looks_when_something_was_committed": NOTHING,
    "operator/test_fresh.py::test_a_code_that_is_nearly_over_is_not_given": "at any time of a period",
}
"""Where a sleep is no wait, ``file::function``, and why."""

MAY_REACH_IN = {
    "core/trees.py::shape": "a part's text as it is kept; the public way decodes it, which hides differences",
    "trust/test_dns.py::test_a_name_is_asked_for_as_it_stands": "what the system's file would say of search domains",
    "dispatch/test_serving.py::main_of": "to be repaired: the dispatcher has no public way to its targets",
    "peers/skyvern_server.py::resolve": "Skyvern's own look-up, which has no public name",
    "peers/skyvern_server.py::poll": "Skyvern's own poll, which has no public name",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Every module of the tests, by its path."""
    return tuple(_modules())


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(TESTS.rglob("*.py")):
        name = path.relative_to(TESTS).as_posix()
        if not name.startswith(FOLDERS_THAT_MEASURE) and "release_0_1_0" not in name:
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def functions(module: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Outermost functions, those of classes with the class's name before theirs, and then the rest of the module."""
    for node in module.body:
        if isinstance(node, Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                yield (f"{node.name}.{inner.name}" if isinstance(inner, Function) else node.name), inner
        else:
            yield "", node


def is_elapsed(node: ast.AST, names: frozenset[str]) -> bool:
    """Whether an expression is a difference of a clock's readings, or a name that holds one."""
    for one in ast.walk(node):
        if isinstance(one, ast.Name) and one.id in names:
            return True
        if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Sub) and any(map(is_reading, ast.walk(one))):
            return True
    return False


def is_reading(node: ast.AST) -> bool:
    """Whether an expression reads a clock: ``time.monotonic()``, ``loop.time()``."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS and not node.args


def measured(function: ast.AST) -> Iterator[int]:
    """Lines of a function in which an assertion sets a time that passed an upper bound. A lower bound holds on any machine."""
    assigned = (one for one in ast.walk(function) if isinstance(one, ast.Assign) and is_elapsed(one.value, frozenset()))
    names = frozenset(target.id for one in assigned for target in one.targets if isinstance(target, ast.Name))
    for node in ast.walk(function):
        if not isinstance(node, ast.Assert):
            continue
        for one in ast.walk(node.test):
            if isinstance(one, ast.Compare):
                sides = [one.left, *one.comparators]
                for left, operator, right in zip(sides, one.ops, sides[1:], strict=False):
                    is_bound_above = isinstance(operator, ast.Lt | ast.LtE) and is_elapsed(left, names)
                    if is_bound_above or (isinstance(operator, ast.Gt | ast.GtE) and is_elapsed(right, names)):
                        yield node.lineno


def slept(function: ast.AST, *, is_waiting: bool = False) -> Iterator[int]:
    """Lines of a function that sleep, but for those in a ``while`` (a wait for a condition) and those that only let others run."""
    for node in ast.iter_child_nodes(function):
        is_sleep = (
            isinstance(node, ast.Call) and ast.unparse(node.func) in SLEEPS and ast.unparse(node.args[0]) not in ("0", "0.0")
        )
        is_handed_on = isinstance(node, ast.Call) and any(ast.unparse(one) in SLEEPS for one in node.args)
        if (is_sleep and not is_waiting) or is_handed_on:
            yield getattr(node, "lineno", 0)
        yield from slept(node, is_waiting=is_waiting or isinstance(node, ast.While))


def reached(function: ast.AST) -> Iterator[int]:
    """Lines of a function that name what is another's own: ``one._name``, ``from room import _name``."""
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if ast.unparse(node.value) not in ("self", "cls", "os", "sys"):
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and any(is_private(alias.name) for alias in node.names):
            yield node.lineno


def is_private(name: str) -> bool:
    """Whether a name is its owner's own."""
    return name.startswith("_") and not name.endswith("__")


@pytest.mark.parametrize(
    ("rule", "code", "is_found"),
    [
        (measured, "began = time.monotonic()\n    assert time.monotonic() - began < 2", True),
        (measured, "began = loop.time()\n    took = loop.time() - began\n    assert 0.2 <= took < 5", True),
        (measured, "took = time.perf_counter() - began\n    assert 5 > took", True),
        (measured, "took = time.perf_counter() - began\n    assert took >= 0.2", False),
        (measured, "while not holds():\n        assert time.monotonic() < until", False),
        (slept, "time.sleep(0.1)", True),
        (slept, "await asyncio.to_thread(time.sleep, 0.5)", True),
        (slept, "await asyncio.sleep(0)", False),
        (slept, "while not holds():\n        await asyncio.sleep(0.01)", False),
        (reached, "assert store._writer.is_idle", True),
        (reached, "from mailbridge.store import _writer", True),
        (reached, "self._writer.write(b'x')", False),
        (reached, "assert room.__doc__", False),
    ],
)
def test_what_these_rules_find(rule: Callable[[ast.AST], Iterator[int]], code: str, is_found: bool) -> None:
    """Each rule finds what it is for, and leaves alone what is good."""
    assert bool(list(rule(ast.parse(f"async def test_x() -> None:\n    {code}").body[0]))) is is_found


def test_no_test_judges_by_the_wall_clock() -> None:
    """What must not take long is waited for with a generous deadline, or compared with other work in the same run (`tests.cost`)."""
    found = {
        f"{name}::{where}": line for name, module in modules() for where, node in functions(module) for line in measured(node)
    }
    assert found == {}


def test_no_test_waits_by_sleeping() -> None:
    """A condition is waited for (`tests.loop.until`), except where it is the time itself that must pass, or a peer that is slow."""
    found = {f"{name}::{where}": line for name, module in modules() for where, node in functions(module) for line in slept(node)}
    assert {place: line for place, line in found.items() if place not in MAY_SLEEP} == {}
    assert set(MAY_SLEEP) <= set(found), "no longer needed"


def test_no_test_reaches_into_private_names() -> None:
    """What a test needs of a module is what anybody may use of it."""
    found = {
        f"{name}::{where}": line for name, module in modules() for where, node in functions(module) for line in reached(node)
    }
    assert {place: line for place, line in found.items() if place not in MAY_REACH_IN} == {}
    assert set(MAY_REACH_IN) <= set(found), "no longer needed"
