"""The command `penelope`: the tree of its commands, and how errors leave it."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import penelope
from penelope.entry.cli import (
    approvals,
    archive,
    audit,
    autonomy,
    benchmarks,
    constitution,
    context,
    context_correct,
    context_demo,
    context_graph,
    context_index,
    context_replay,
    context_resolve,
    database,
    decisions,
    doctor,
    halts,
    integrity,
    ledger,
    local,
    missions,
    patches,
    playbooks,
    policies,
    remote,
    rollout_calibrate,
    rollout_plan,
    rollout_start,
    rollouts,
    running,
    scanning,
    screens,
    trials,
    verification,
    wisdom,
)
from penelope.entry.cli.options import Options
from penelope.errors import PenelopeError


class _Commands(TyperGroup):
    """The root of the tree; an error of ours ends in two lines and exit code 1 instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PenelopeError as error:
            screens.complain(error.message, error.advice)
            raise typer.Exit(1) from None


def _group(meaning: str) -> typer.Typer:
    return typer.Typer(help=meaning, no_args_is_help=True)


app = typer.Typer(
    name="penelope",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        typer.echo(f"penelope {penelope.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settings file; by default penelope.yaml, if it is there."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting; repeatable."),
    ] = None,
    version: Annotated[  # noqa: ARG001 - the callback has done its work by now
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Penelope turns signals into verified, reversible, audited fixes, or calls a person well prepared."""
    context.obj = Options(config=config, overrides=tuple(overrides or ()))


app.command()(local.serve)
app.command()(remote.status)
app.command()(remote.incidents)
app.command()(remote.show)
app.command()(remote.approve)
app.command()(remote.reject)
app.command()(autonomy.report)
app.command()(constitution.constitution)
app.command()(integrity.actors)
app.command()(running.running)
app.command()(decisions.calibration)
app.command()(halts.halt)
app.command()(halts.resume)
app.command()(halts.halts)
app.command()(doctor.doctor)

_ledger = _group("Check recorded history, and hand out what proves it.")
_ledger.command("verify")(verification.verify_ledger)
_ledger.command("state")(verification.show_state)
_ledger.command("sweep")(integrity.sweep)
_ledger.command("archive")(archive.archive)
_ledger.command("erase")(archive.erase)
_ledger.command("prove")(ledger.prove)
_ledger.command("check")(ledger.check)
_ledger.command("checkpoint")(ledger.checkpoint)
_ledger.command("export")(ledger.export)
_ledger.command("stats")(ledger.stats)
_ledger_key = typer.Typer(invoke_without_command=True)
_ledger_key.callback()(ledger.keys)
_ledger_key.command("rotate")(ledger.rotate)
_ledger_key.command("retire")(ledger.retire)
_ledger.add_typer(_ledger_key, name="key")
app.add_typer(_ledger, name="ledger")

_approvals = _group("See what waits for the word of people, answer, and review broken glasses.")
_approvals.command("list")(approvals.list_approvals)
_approvals.command("show")(approvals.show)
_approvals.command("approve")(approvals.approve)
_approvals.command("reject")(approvals.reject)
_approvals.command("comment")(approvals.comment)
_approvals.command("delegate")(approvals.delegate)
_approvals.command("cancel")(approvals.cancel)
_approvals.command("break")(approvals.break_glass)
_approvals.command("reviews")(approvals.reviews)
_approvals.command("review")(approvals.review)
app.add_typer(_approvals, name="approvals")

_audit = _group("Ask what was decided, how it went, and what it rested on.")
_audit.command("list")(audit.list_decisions)
_audit.command("high-risk")(audit.list_high_risk)
_audit.command("stats")(audit.statistics)
_audit.command("precedents")(audit.precedents)
_audit.command("export")(audit.export)
app.add_typer(_audit, name="audit")

_decision = _group("Explain a decision in figures, or make it again from what it was made from.")
_decision.command("explain")(decisions.explain)
_decision.command("replay")(decisions.replay)
app.add_typer(_decision, name="decision")
_autonomy = typer.Typer(invoke_without_command=True)
_autonomy.callback()(autonomy.standings)
_autonomy.command("set")(autonomy.place)
app.add_typer(_autonomy, name="autonomy")
_wisdom = _group("Search past incidents, and take in those from before Penelope.")
_wisdom.command("search")(wisdom.search)
_wisdom.command("show")(wisdom.show_case)
_wisdom.command("import")(wisdom.import_cases)
app.add_typer(_wisdom, name="wisdom")

_benchmarks = _group("Hold a service against its own past.")
_benchmarks.command("run")(benchmarks.run)
_benchmarks.command("show")(benchmarks.show)
_benchmarks.command("baseline")(benchmarks.baseline)
app.add_typer(_benchmarks, name="benchmarks")

_missions = _group("Group incidents and actions under one goal, and see how far they are.")
_missions.command("list")(missions.list_missions)
_missions.command("show")(missions.show)
_missions.command("create")(missions.create)
_missions.command("add")(missions.add)
_missions.command("remove")(missions.remove)
_missions.command("close")(missions.close)
app.add_typer(_missions, name="missions")

_rollout = _group("Bring traffic to a changed arm in steps, watched all the time, and see how that goes.")
_rollout.command("plan")(rollout_plan.plan)
_rollout.command("start")(rollout_start.start)
_rollout.command("calibrate")(rollout_calibrate.calibrate)
_rollout.command("list")(rollouts.list_deployments)
_rollout.command("show")(rollouts.show)
_rollout.command("watch")(rollouts.watch)
_rollout.command("pause")(rollouts.pause)
_rollout.command("resume")(rollouts.resume)
_rollout.command("step")(rollouts.step)
_rollout.command("promote")(rollouts.promote)
_rollout.command("abort")(rollouts.abort)
_rollout.command("cancel")(rollouts.cancel)
_rollout.command("revise")(rollouts.revise)
app.add_typer(_rollout, name="rollout")

_playbooks = _group("Check, list and show playbooks.")
_playbooks.command("lint")(local.lint_playbooks)
_playbooks.command("list")(local.list_playbooks)
_playbooks.command("show")(playbooks.show)
_playbooks.command("actions")(playbooks.list_actions)
_playbooks.command("scan")(scanning.scan)
_playbooks.command("test")(trials.try_playbooks)
app.add_typer(_playbooks, name="playbooks")

_patches = _group("See how a repository was changed, for which incident, and how it went.")
_patches.command("log")(patches.log)
app.add_typer(_patches, name="patches")

_policy = _group("Check and test policies.")
_policy.command("lint")(policies.lint)
_policy.command("test")(policies.test)
app.add_typer(_policy, name="policy")

context.context.command("resolve")(context_resolve.resolve)
context.context.command("replay")(context_replay.replay)
context.context.command("correct")(context_correct.correct)
context.context.command("withdraw")(context_correct.withdraw)
context.context.command("index")(context_index.index)
context.context.command("search")(context_index.search)
context.context.command("graph")(context_graph.graph)
context.context.command("draw")(context_graph.draw)
context.context.command("demo")(context_demo.demo)
app.add_typer(context.context, name="context")

_config = _group("Check the settings.")
_config.command("check")(local.check_config)
app.add_typer(_config, name="config")

_keys = _group("Make, list and revoke API keys.")
_keys.command("create")(local.create_key)
_keys.command("list")(local.list_keys)
_keys.command("revoke")(local.revoke_key)
app.add_typer(_keys, name="keys")

_database = _group("Bring the database up to date, grant the service's role, check history's guards.")
_database.command("migrate")(database.migrate)
_database.command("grant")(database.grant)
_database.command("check")(database.check)
app.add_typer(_database, name="database")


def main() -> None:
    """Runs the command."""
    app()
