"""The model of docs/scaling.md: what it says where the answer is known, and that the page shows what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from tests.bench.model import RESERVE, Constants, Plan, database_cores_for, first_limit, fitted, latency, replicas_for, uses
from tests.bench.plot import Chart, sheet
from tests.bench.scaling_page import DATA, PAGE, PICTURE, written

KNOWN = Constants(
    main=0.002,
    threads=0.0,
    parser=0.001,
    database=0.003,
    load=0.001,
    floor_ms=4.0,
    queue_ms=10.0,
    mail_octets=5_000.0,
    journal_octets=1_000.0,
    wait_octets=6_000.0,
    mailbox_octets=100_000.0,
    mailbox_seconds=0.0001,
)


def test_a_part_is_busy_by_what_mails_cost_there() -> None:
    """Divided by the replicas, the workers and the cores; on one machine everything counts together."""
    plan = Plan(rate=100, replicas=2, database_cores=4, shared_cores=2, workers=2, mailboxes=1_000)
    assert uses(KNOWN, plan) == pytest.approx(
        {"event loop": 0.1, "parser": 0.025, "database": 0.075, "watching of mailboxes": 0.05, "machine": 0.35}
    )


def test_latency_grows_with_the_busiest_part_until_it_cannot_keep_up() -> None:
    """Half busy: one queue's worth more than nothing; all of the time: for ever."""
    half = Plan(rate=250, replicas=1, database_cores=8)
    assert latency(KNOWN, half) == pytest.approx(14.0)
    assert latency(KNOWN, replace(half, rate=500)) == float("inf")
    name, rate = first_limit(KNOWN, half)
    assert (name, round(rate, 6)) == ("event loop", 350.0)


def test_so_many_as_are_needed_and_no_more() -> None:
    """None is busier than the reserve allows, and one less would be."""
    for rate in (1, 100, 1_000, 10_000):
        replicas, cores = replicas_for(KNOWN, rate), database_cores_for(KNOWN, rate)
        assert max(uses(KNOWN, Plan(rate=rate, replicas=replicas, database_cores=cores)).values()) <= RESERVE + 1e-9
        if replicas > 1:
            assert uses(KNOWN, Plan(rate=rate, replicas=replicas - 1, database_cores=cores))["event loop"] > RESERVE
        if cores > 1:
            assert uses(KNOWN, Plan(rate=rate, replicas=replicas, database_cores=cores - 1))["database"] > RESERVE


def test_a_fit_finds_the_numbers_that_points_were_made_of() -> None:
    """And neither is ever below zero."""
    assert fitted([(u, 4.0 + 10.0 * u / (1 - u)) for u in (0.1, 0.4, 0.7)]) == pytest.approx((4.0, 10.0))
    assert fitted([(0.1, 5.0), (0.5, 4.0), (0.7, 3.0)])[1] == 0.0


def test_the_page_shows_what_the_model_says() -> None:
    """Its figures are those of docs/scaling.json; `python -m tests.bench.scaling_page` writes them anew."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page, json.loads(DATA.read_text(encoding="utf-8")))
    assert PICTURE.read_text(encoding="utf-8").startswith("<svg ")


def test_a_chart_is_well_formed_whatever_it_shows() -> None:
    """Nothing, one point, and names with signs of XML."""
    charts = [
        Chart(title="<a> & b", x="x", y="y"),
        Chart(title="one", x="x", y="y", points={"a": [(1, 0)]}),
        Chart(title="two", x="x", y="y", lines={"a<b": [(0, 1), (2, 3)]}, bands=[(0.5, 1)]),
    ]
    assert ET.fromstring(sheet(charts)).tag.endswith("svg")
