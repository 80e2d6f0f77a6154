"""The rows of the crash matrix: every adapter that is installed, some more than once, each in a playbook and its world."""

from dataclasses import dataclass
from pathlib import Path

from penelope.testing.kit import Kind, Place, Subject, Trial, read_playbook, subject_of
from penelope.testing.kit import known_operations as operations

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation: a step of a playbook, which ships unless a world of the matrix's own is named."""

    action: str
    on: str
    playbook: str
    step: int = 0
    world: str = ""

    def __str__(self) -> str:
        return f"{self.action} ({self.on})"

    @property
    def adapter(self) -> str:
        return self.action.partition(".")[0]

    @property
    def subject(self) -> Subject:
        """Raises as `subject_of`, and where the step does something else."""
        own = HERE / f"{self.playbook}.yaml" if self.world else None
        subject = subject_of(self.playbook, file=own, world=self.world or None)
        step = read_playbook(subject.file, operations(subject.world)).every_step[self.step]
        found = f"{step.adapter}.{step.operation}"
        assert found == self.action, f"step {self.step} of {self.playbook} is {found}"
        return subject

    def trials(self, seed: int) -> list[Trial]:
        subject = self.subject
        return [
            Trial(subject=subject, kind=Kind.DIES, step=self.step, place=place, seed=seed) for place in Place
        ]


_UNITS = "matrix_worlds:UnitWorld"

ROWS = (
    Row(
        action="ansible.play",
        on="this machine",
        playbook="raise-limit",
        world="matrix_worlds:PlayWorld",
    ),
    Row(action="command.run", on="an issuer", playbook="renew-certificate", step=1),
    Row(action="file.replace", on="a certificate", playbook="renew-certificate", step=2),
    Row(action="feature_flag.disable", on="flagd's file", playbook="disable-feature-flag"),
    Row(action="file.remove_old", on="a cache", playbook="clear-disk-space"),
    Row(action="file.truncate_log", on="a log in use", playbook="rotate-full-log"),
    Row(action="git_patch.revert", on="git", playbook="revert-bad-config"),
    Row(action="http.call", on="a service", playbook="shed-load"),
    Row(action="kubernetes.scale", on="a double", playbook="scale-out"),
    Row(action="process.restart", on="supervisord", playbook="restart-hung-process"),
    Row(
        action="process.switch_release",
        on="supervisord",
        playbook="switch-releases",
        world="penelope.testing.world_pairs:RollbackReleaseWorld",
    ),
    Row(action="redis.flush_prefix", on="Valkey", playbook="flush-poisoned-cache"),
    Row(action="sql.create_index", on="PostgreSQL", playbook="add-missing-index"),
    Row(action="sql.update_rows", on="SQLite", playbook="fix-stuck-jobs"),
    Row(action="systemd.restart", on="a double", playbook="mend-units", world=_UNITS),
    Row(action="systemd.start", on="a double", playbook="mend-units", step=1, world=_UNITS),
    Row(action="traffic.set_weights", on="Traefik", playbook="failover-read-traffic"),
    Row(
        action="webhook.send",
        on="a receiver",
        playbook="flush-by-event",
        world="matrix_worlds:EventWorld",
    ),
)

SHIPPED = frozenset(row.playbook for row in ROWS if not row.world)
"""The shipped playbooks of which a step is in the matrix."""
