"""Runs inside Skyvern's own environment: its API on a socket that it inherits, and beside it the questions that tests ask of its code.

Started by `tests.peers.skyvern`, never imported by a test: Skyvern's distributions are not those of mailbridge. It ends with the
process that started it, whatever becomes of that one, since it watches the pipe between them.
"""

# mypy: ignore-errors

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable

import uvicorn
from skyvern.forge import app as forge
from skyvern.forge.api_app import create_api_app
from skyvern.forge.sdk.schemas.totp_codes import OTPType
from skyvern.forge.sdk.services.local_org_auth_token_service import ensure_local_org
from skyvern.forge.sdk.workflow.models.workflow import WorkflowRunStatus
from skyvern.services import otp_service
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

Question = Callable[[dict[str, str | None]], Awaitable[dict[str, object]]]


async def key(_: dict[str, str | None]) -> dict[str, object]:
    """The API key that Skyvern made for itself; empty while it is not ready."""
    token = await forge.DATABASE.organizations.get_valid_org_auth_token(await organization(), "api")
    return {"key": token.token if token else ""}


async def resolve(asked: dict[str, str | None]) -> dict[str, object]:
    """The stored code that a run would use: Skyvern's own lookup, with the run's own workflow and start where one is given."""
    run_id, workflow_id, started_at = asked.get("workflow_run_id"), None, None
    if run_id:
        run = await forge.DATABASE.workflow_runs.get_workflow_run(run_id)
        workflow_id, started_at = run.workflow_id, run.started_at
    found = await otp_service._get_otp_value_from_db(
        await organization(),
        asked["identifier"],
        task_id=asked.get("task_id"),
        workflow_id=workflow_id,
        workflow_run_id=run_id,
        created_after=started_at,
        expected_otp_type=kind_of(asked),
    )
    return told(found)


async def poll(asked: dict[str, str | None]) -> dict[str, object]:
    """What one tick of Skyvern's poll of a ``totp_url`` gives."""
    owner = await organization()
    token = await forge.DATABASE.organizations.get_valid_org_auth_token(owner, "api")
    context = otp_service.WebhookOTPVerificationContext()
    ids = {name: asked.get(name) for name in ("task_id", "workflow_run_id", "workflow_permanent_id")}
    found = await otp_service._get_otp_value_from_url(
        owner, asked["url"], token.token, context=context, expected_otp_type=kind_of(asked), **ids
    )
    return {**told(found), "statuses": list(context.statuses), "is_conforming": context.contract_satisfied}


async def run(asked: dict[str, str | None]) -> dict[str, object]:
    """A run of a workflow, started or not, and a task of it: what a browser would be driven by."""
    owner = await organization()
    made = await forge.DATABASE.workflow_runs.create_workflow_run(
        workflow_permanent_id=asked["workflow_permanent_id"], workflow_id=asked["workflow_id"], organization_id=owner
    )
    if asked.get("is_started"):
        await forge.DATABASE.workflow_runs.update_workflow_run(made.workflow_run_id, WorkflowRunStatus.running)
    task = await forge.DATABASE.tasks.create_task(
        url="https://larch.example/login",
        title="sign in",
        navigation_goal="sign in",
        data_extraction_goal=None,
        navigation_payload=None,
        organization_id=owner,
        workflow_run_id=made.workflow_run_id,
    )
    return {"workflow_run_id": made.workflow_run_id, "task_id": task.task_id}


async def organization() -> str:
    """The one organization of a local installation."""
    return (await ensure_local_org()).organization_id


def kind_of(asked: dict[str, str | None]) -> OTPType | None:
    """The kind of code that is waited for, ``totp`` or ``magic_link``; None for either."""
    return OTPType(asked["kind"]) if asked.get("kind") else None


def told(found: otp_service.OTPValue | None) -> dict[str, object]:
    """A value and its kind, as JSON."""
    return {"value": found.value if found else None, "kind": str(found.get_otp_type().value) if found else None}


def route(name: str, question: Question) -> Route:
    """``POST /peer/{name}`` with a JSON object."""

    async def answer(request: Request) -> JSONResponse:
        return JSONResponse(await question(await request.json()))

    return Route(f"/peer/{name}", answer, methods=["POST"])


def leave_with_parent() -> None:
    """End when the other end of standard input does."""
    sys.stdin.buffer.read()
    os._exit(0)


def main(descriptor: int) -> None:
    """Serve until told to end."""
    api = create_api_app()
    for question in (key, resolve, poll, run):
        api.router.routes.insert(0, route(question.__name__, question))
    threading.Thread(target=leave_with_parent, daemon=True).start()
    # uvicorn itself, since Skyvern's own commands listen on every interface.
    config = uvicorn.Config(api, loop="asyncio", log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
